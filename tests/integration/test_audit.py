"""The audit log: what is recorded, by whom, and that nothing in it can be changed unnoticed."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from tests.integration.asgi_client import ApiClient, make_file
from windlass.events import api as events
from windlass.events.api import AuditAction, AuditEntry
from windlass.events.audit import chain as chaining
from windlass.events.audit.models import AppendOnlyError, AuditChain, AuditIdentity, PendingAuditEntry
from windlass.files import api as files
from windlass.kernel.acting_caller import ActingCaller, acting_as
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def owner(configure: Callable[..., None]) -> Iterator[str]:
    configure(AUTH_MODE="required")
    yield f"owner-{uuid.uuid4().hex[:12]}"
    events.chain_pending()
    assert events.verify_audit_log().findings == []


@pytest.fixture
def app(configure: Callable[..., None]) -> Any:
    from windlass.asgi import application

    return application


def entries(owner: str) -> list[dict[str, Any]]:
    events.chain_pending()
    return list(events.audit_entries(concerning=owner))


def record(owner: str, *actions: AuditAction) -> list[AuditEntry]:
    with acting_as(ActingCaller(owner, "192.0.2.7", "token")):
        for action in actions:
            events.record_action(action, owner=owner)
    events.chain_pending()
    return list(AuditEntry.objects.filter(owner__name=owner).order_by("sequence"))


THREE = (AuditAction.FILE_CREATED, AuditAction.FILE_TRASHED, AuditAction.FILE_DELETED)


@pytest.mark.usefixtures("owner")
def test_a_request_is_recorded_with_its_caller_address_credential_and_request_id(
    user: Callable[..., ApiClient], app: Any
) -> None:
    alice = user(app=app)
    asset = make_file(alice.owner, b"content", gate_passed=True, status="READY")

    reply = alice("DELETE", f"/files/{asset.id}/", headers={"X-Request-ID": "deleting-1"})

    assert reply.status_code == 204
    account, created, deleted = entries(alice.owner)
    assert (account["action"], created["action"]) == ("user.created", "token.created")
    assert deleted["action"] == "file.deleted"
    assert deleted["file_id"] == str(asset.id)
    seen = {name: deleted[name] for name in ("actor_name", "actor_address", "credential", "request_id", "owner_name")}
    assert seen == {
        "actor_name": alice.owner,
        "actor_address": "127.0.0.1",
        "credential": "token",
        "request_id": "deleting-1",
        "owner_name": alice.owner,
    }


def test_an_upload_is_recorded_in_its_own_transaction_and_not_if_that_is_rolled_back(owner: str) -> None:
    class Undone(Exception):
        pass

    def delete_and_fail() -> None:
        with events.recording() as recorder:
            recorder.add(events.EventType.FILE_DELETED, owner=owner, file_id=uuid.uuid4())
            raise Undone

    with pytest.raises(Undone):
        delete_and_fail()
    with events.recording() as recorder:
        with pytest.raises(Undone):
            delete_and_fail()
        recorder.add(events.EventType.FILE_RELEASED, owner=owner, file_id=uuid.uuid4())

    assert [each["action"] for each in entries(owner)] == ["file.released"]


@pytest.mark.usefixtures("owner")
def test_downloads_are_recorded_where_the_setting_says_so(
    user: Callable[..., ApiClient], app: Any, configure: Callable[..., None]
) -> None:
    alice = user(app=app)
    asset = make_file(alice.owner, b"content", gate_passed=True, status="READY", mime_type="text/plain")

    assert alice("GET", f"/files/{asset.id}/download/").content == b"content"
    configure(AUDIT_DOWNLOADS="true")
    assert alice("HEAD", f"/files/{asset.id}/download/").status_code == 200
    assert alice("GET", f"/files/{asset.id}/download/", headers={"Range": "bytes=0-1"}).status_code == 206
    assert alice("GET", f"/files/zip?ids={asset.id}").status_code == 200

    recorded = [each for each in entries(alice.owner) if each["action"] == "file.downloaded"]
    assert [each["detail"] for each in recorded] == [{"part": "file"}, {"part": "archive"}]


def test_sign_ins_are_recorded_where_the_setting_says_so(
    owner: str, user: Callable[..., ApiClient], configure: Callable[..., None]
) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client

    alice = user()
    person = get_user_model().objects.get(pk=alice.owner.removeprefix("user:"))
    person.set_password("a long passphrase")
    person.save()

    assert not Client().login(username=person.get_username(), password="wrong")
    assert Client().login(username=person.get_username(), password="a long passphrase")
    assert not Client().login(username=f"unknown-{owner}", password="wrong")
    configure(AUDIT_SIGN_INS="false")
    assert Client().login(username=person.get_username(), password="a long passphrase")

    signed_in = [each for each in entries(alice.owner) if each["action"].startswith("sign_in.")]
    assert [each["action"] for each in signed_in] == ["sign_in.refused", "sign_in.succeeded"]
    assert f"unknown-{owner}" not in json.dumps(list(events.audit_entries()))


def test_signing_in_by_the_api_is_recorded_with_the_address(
    owner: str, user: Callable[..., ApiClient], app: Any
) -> None:
    from django.contrib.auth import get_user_model

    person = get_user_model().objects.create(username=owner)
    person.set_password("a long passphrase")
    person.save()
    anybody = ApiClient(app)

    for password, status in (("wrong", 401), ("a long passphrase", 200)):
        reply = anybody("POST", "/api/v1/auth/token", json={"username": owner, "password": password})
        assert reply.status_code == status, reply.text

    refused, signed_in = entries(f"user:{person.pk}")[2:]  # after the account and its password
    assert (refused["action"], signed_in["action"]) == ("sign_in.refused", "sign_in.succeeded")
    assert signed_in["actor_name"] == signed_in["owner_name"] == f"user:{person.pk}"
    assert (signed_in["actor_address"], signed_in["credential"]) == ("127.0.0.1", "password")


@pytest.mark.usefixtures("owner")
def test_staff_list_the_log_by_pages_and_filters(user: Callable[..., ApiClient]) -> None:
    staff, alice = user(staff=True), user()
    recorded = record(alice.owner, *THREE)

    page = staff("GET", f"/api/v1/audit/?owner={alice.owner}&limit=3").json()
    rest = staff("GET", page["next"]).json()
    deleted = staff("GET", f"/api/v1/audit/?owner={alice.owner}&action=file.deleted").json()

    listed = [each["sequence"] for each in page["results"] + rest["results"]]
    assert listed[:3] == [each.sequence for each in reversed(recorded[-3:])]
    assert rest["next"] is None
    assert [each["action"] for each in deleted["results"]] == ["file.deleted"]
    assert staff("GET", "/api/v1/audit/?action=none").status_code == 422
    assert staff("GET", "/api/v1/audit/?cursor=x").status_code == 422
    assert alice("GET", "/api/v1/audit/").status_code == 403


def test_nothing_is_recorded_where_the_log_is_off(owner: str, configure: Callable[..., None]) -> None:
    configure(AUDIT_LOG="false")
    with events.recording() as recorder:
        recorder.add(events.EventType.FILE_DELETED, owner=owner, file_id=uuid.uuid4())
    record(owner, *THREE)

    assert entries(owner) == []


def test_entries_can_be_neither_changed_nor_deleted(owner: str) -> None:
    entry = record(owner, *THREE)[0]
    entry.credential = "session"

    for refused in (entry.save, entry.delete, AuditEntry.objects.all().delete, AuditEntry.objects.all()._refuse):
        with pytest.raises(AppendOnlyError):
            refused()
    table = AuditEntry._meta.db_table
    for statement in (f"UPDATE {table} SET credential = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(DatabaseError, match="entries of the audit log"), transaction.atomic():
            connection.cursor().execute(statement)


class Tampering:
    """What somebody with the database's password could do. It is rolled back."""

    def __init__(self, recorded: list[AuditEntry]) -> None:
        self.first, self.second, self.third = recorded
        self.table = AuditEntry._meta.db_table

    def change(self) -> str:
        self._execute(f"UPDATE {self.table} SET credential = 'jwt' WHERE sequence = {self.second.sequence}")
        return f"entry {self.second.sequence} was changed"

    def change_with_a_new_hash(self) -> str:
        before = AuditEntry.objects.get(sequence=self.second.sequence - 1)
        self.second.credential = "jwt"
        new = chaining.hash_of(before.hash, self.second)
        where = f"WHERE sequence = {self.second.sequence}"
        self._execute(f"UPDATE {self.table} SET credential = 'jwt', hash = '{new}' {where}")
        return f"entry {self.third.sequence} was changed, or the one before it"

    def remove(self) -> str:
        self._execute(f"DELETE FROM {self.table} WHERE sequence = {self.second.sequence}")
        return f"entry {self.second.sequence} was removed"

    def remove_the_end(self) -> str:
        self._execute(f"DELETE FROM {self.table} WHERE sequence >= {self.second.sequence}")
        return f"the entries after {self.first.sequence} were removed"

    def insert(self) -> str:
        forged = AuditEntry(sequence=self.third.sequence + 1, at=now(), action="file.deleted")
        forged.hash = chaining.hash_of(self.third.hash, forged)
        forged.save()
        return f"the last entry, {forged.sequence}, was not written by this server"

    def rename(self) -> str:
        AuditIdentity.objects.filter(id=self.first.actor_id).update(name="somebody else")
        return f"the name of {self.first.actor_id} was changed"

    def remove_a_name(self) -> str:
        AuditIdentity.objects.filter(id=self.first.actor_id).update(name="", address="", salt="", erased_at=now())
        return f"the name of {self.first.actor_id} was removed, and no entry says"

    @staticmethod
    def _execute(statement: str) -> None:
        with connection.cursor() as cursor:
            for name in ("update", "delete")[: 1 if connection.vendor == "postgresql" else 2]:
                on = f" ON {AuditEntry._meta.db_table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER windlass_audit_{name}{on}")
            cursor.execute(statement)


@pytest.mark.parametrize("act", [name for name in vars(Tampering) if not name.startswith("_")])
def test_verification_finds_what_was_changed_removed_or_inserted(owner: str, act: str) -> None:
    tampering = Tampering(record(owner, *THREE))
    with transaction.atomic():
        expected = getattr(tampering, act)()
        found = events.verify_audit_log().findings
        transaction.set_rollback(True)

    assert len(found) == 1
    assert expected in found[0]


def test_a_log_that_was_made_anew_does_not_have_the_known_head(owner: str) -> None:
    last = record(owner, *THREE)[-1]
    known = events.AuditHead(last.sequence, last.hash)
    record(owner, *THREE)

    assert events.verify_audit_log(known).findings == []
    other = events.AuditHead(last.sequence, "0" * 64)
    assert events.verify_audit_log(other).findings == [
        f"entry {last.sequence} is not the one that was known: its hash was {'0' * 64}"
    ]


def test_concurrent_sweeps_chain_each_entry_once(owner: str) -> None:
    for number in range(40):
        events.record_action(AuditAction.QUOTA_CHANGED, owner=owner, detail={"bytes": number})

    def sweep() -> None:
        try:
            events.chain_pending()
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [each["detail"]["bytes"] for each in entries(owner)] == list(range(40))


def test_retention_deletes_the_oldest_entries_and_the_rest_still_verifies(
    owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(owner, *THREE)
    later = now() + timedelta(days=40)
    monkeypatch.setattr(chaining, "now", lambda: later)

    assert events.prune_audit_log(0) == 0
    assert events.prune_audit_log(30) >= 3

    assert entries(owner) == []
    assert not AuditIdentity.objects.filter(name=owner).exists()
    report = events.verify_audit_log()
    assert report.findings == []
    assert AuditEntry.objects.get().action == "audit.pruned"
    assert AuditEntry.objects.get().detail["through"] == AuditChain.objects.get().base_sequence


def test_a_pseudonymized_owner_leaves_no_name_and_a_chain_that_verifies(owner: str) -> None:
    staff = f"staff-of-{owner}"
    record(owner, *THREE)
    with acting_as(ActingCaller(staff, "192.0.2.9", "session")):
        events.record_action(AuditAction.FILE_RELEASED, owner=owner)
        count = len(entries(owner))

        assert events.pseudonymize(owner) == 2  # one name with the address, one as an owner
        assert events.pseudonymize(owner) == 0

    assert count == 4
    assert entries(owner) == []
    everything = json.dumps([list(kind.objects.values()) for kind in (AuditIdentity, PendingAuditEntry)], default=str)
    assert owner not in everything.replace(staff, "")
    assert "192.0.2.7" not in everything
    kept = [
        each for each in events.audit_entries() if each["action"] == "file.released" and each["actor_name"] == staff
    ]
    assert [each["owner_name"] for each in kept] == [None]
    assert events.verify_audit_log().erased == 2


def test_acts_of_staff_on_accounts_are_recorded(owner: str) -> None:
    principal = Principal(owner)
    with acting_as(ActingCaller("user:1", "192.0.2.1", "session")):
        files.set_quota_limits(owner, bytes=1000)
        endpoint = events.create_endpoint(owner, "https://hooks.example/", ["file.ready"])
        webhook_id = str(endpoint.id)
        events.rotate_secret(endpoint)
        events.change_endpoint(endpoint, enabled=False)
        events.delete_endpoint(endpoint)

    assert not events.visible_endpoints(principal).exists()
    recorded = entries(owner)
    assert [each["action"] for each in recorded] == [
        "quota.changed",
        "webhook.created",
        "webhook.secret_rotated",
        "webhook.changed",
        "webhook.deleted",
    ]
    assert recorded[0]["detail"] == {"bytes": 1000}
    assert {each["subject"] for each in recorded[1:]} == {webhook_id}
    assert {each["actor_name"] for each in recorded} == {"user:1"}


@pytest.fixture
def person(owner: str) -> Iterator[Any]:
    from django.contrib.auth import get_user_model

    made = get_user_model().objects.create_user(owner, password="a long passphrase")
    yield made
    if made.pk is not None:
        made.delete()


def actions(owner: str) -> list[str]:
    return [each["action"] for each in entries(owner)]


def test_what_is_done_to_an_account_is_recorded_with_who_did_it(person: Any) -> None:
    from windlass.accounts import api as accounts

    owner = f"user:{person.pk}"
    with acting_as(ActingCaller("os:root", credential="command")):
        person.set_password("another passphrase")
        person.save()
        accounts.set_active(person, active=False)
        accounts.set_active(person, active=True)
        accounts.ensure_user(person.get_username(), staff=True)
        person.refresh_from_db()
        person.is_staff = False
        person.save()
        person.save(update_fields=["last_login"])
        person.delete()

    recorded = entries(owner)
    assert [each["action"] for each in recorded] == [
        "user.created",
        "user.password_changed",
        "user.disabled",
        "user.enabled",
        "user.promoted",
        "user.demoted",
        "user.deleted",
    ]
    assert {(each["actor_name"], each["credential"]) for each in recorded[1:]} == {("os:root", "command")}


def test_the_accounts_of_another_project_are_its_own_business(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.accounts import audited_users

    monkeypatch.setattr(audited_users, "is_standalone", lambda: False)
    person.is_staff = True
    person.save()
    assert actions(f"user:{person.pk}") == ["user.created"]
    with acting_as(ActingCaller("os:root", credential="command")):
        person.is_staff = False
        person.save()
    assert actions(f"user:{person.pk}") == ["user.created", "user.demoted"]


def test_use_and_reuse_of_a_refresh_token_and_signing_out_are_recorded(
    person: Any, app: Any, configure: Callable[..., None]
) -> None:
    def call(what: str, status: int, **body: str) -> dict[str, Any]:
        reply = ApiClient(app)("POST", f"/api/v1/auth/{what}", json=body)
        assert reply.status_code == status, reply.text
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found

    configure(RATE_LIMIT_PER_MINUTE="0")
    owner, credentials = f"user:{person.pk}", {"username": person.get_username(), "password": "a long passphrase"}
    first = call("token", 200, **credentials)["refresh"]
    second = call("refresh", 200, refresh=first)["refresh"]
    call("revoke", 204, refresh=second)
    stolen = call("token", 200, **credentials)["refresh"]
    call("refresh", 200, refresh=stolen)
    call("refresh", 401, refresh=stolen)

    recorded = entries(owner)[1:]
    assert [each["action"] for each in recorded] == [
        "sign_in.succeeded",
        "sign_in.refreshed",
        "sign_in.ended",
        "sign_in.succeeded",
        "sign_in.refreshed",
        "sign_in.reused",
    ]
    assert [each["actor_name"] for each in recorded] == [owner] * 5 + [None], "who used it again is not known"
    assert {each["actor_address"] for each in recorded[:5]} == {"127.0.0.1"}
    assert {each["credential"] for each in recorded if each["action"] == "sign_in.refreshed"} == {"refresh-token"}


def test_the_end_of_a_session_is_recorded(person: Any) -> None:
    from django.test import Client

    client = Client()
    assert client.login(username=person.get_username(), password="a long passphrase")
    client.logout()

    assert actions(f"user:{person.pk}")[1:] == ["sign_in.succeeded", "sign_in.ended"]


@pytest.mark.usefixtures("owner")
def test_made_and_revoked_tokens_and_grants_are_recorded(user: Callable[..., ApiClient]) -> None:
    from windlass.accounts import api as accounts

    alice = user()
    accounts.create_grant(alice.owner, profile="default", expires_in=60)
    (number,) = [each.pk for each, _ in accounts.list_tokens() if f"user:{each.user_id}" == alice.owner]
    accounts.revoke_token(number)

    recorded = [each for each in entries(alice.owner) if not each["action"].startswith("user.")]
    assert [each["action"] for each in recorded] == ["token.created", "grant.created", "token.revoked"]
    assert recorded[2]["subject"] == recorded[0]["subject"] == str(number)


@pytest.mark.usefixtures("owner")
def test_the_operation_of_the_server_is_recorded_if_a_person_does_it(user: Callable[..., ApiClient], app: Any) -> None:
    """A pinned level, a reset breaker, retried and deleted dead letters; not what the server does by itself."""
    from tests.integration.test_dead_letters import new_dead
    from windlass.events.circuit_breakers import change_circuit, read_circuit, reset_circuit
    from windlass.jobs import api as jobs
    from windlass.resilience.circuits import Circuit, State

    def open_breaker(name: str) -> None:
        before = read_circuit(name)
        assert change_circuit(name, before, Circuit(State.OPEN, before.generation + 1, 3))

    staff, retried, deleted, old = user(staff=True, app=app), new_dead(), new_dead(), new_dead(hours_ago=2400)
    names = ["scanner", "webhook.hooks.of-alice.example"]
    for name in [*names, "scanner"]:
        open_breaker(name)
        with acting_as(ActingCaller(staff.owner, "192.0.2.7", "session")):
            reset_circuit(name)
    open_breaker("scanner")
    reset_circuit("scanner")
    assert jobs.delete_old_dead_letters(30) >= 1  # other tests may have left some
    assert not jobs.Job.objects.filter(id=old.id).exists()
    calls = [
        ("PUT", "/error-handling/service-level", {"level": "degraded"}),
        ("PUT", "/error-handling/service-level", {"automatic": True}),
        ("POST", "/error-handling/retry-tasks", {"task_ids": [str(retried.id)]}),
        ("DELETE", f"/error-handling/failed-tasks/{deleted.id}", None),
    ]
    for method, path, body in calls:
        reply = staff(method, path, json=body)
        assert reply.status_code < 300, reply.text

    done = [each for each in entries(staff.owner) if each["actor_name"] == staff.owner]
    assert [(each["action"], each["subject"], each["file_id"]) for each in done] == [
        ("breaker.reset", "scanner", None),
        ("breaker.reset", "webhook", None),
        ("breaker.reset", "scanner", None),
        ("level.changed", "", None),
        ("level.changed", "", None),
        ("dead_letter.retried", str(retried.id), str(retried.file_id)),
        ("dead_letter.deleted", str(deleted.id), str(deleted.file_id)),
    ]
    everything = json.dumps(list(events.audit_entries()))
    assert "of-alice" not in everything
    assert str(old.id) not in everything
    jobs.Job.objects.filter(id=retried.id).delete()


def test_every_action_is_explained_where_readers_look() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/audit-and-erase.md").read_text()
    assert [action for action in AuditAction.values if f"`{action}`" not in page] == []
