"""Windlass's pages in the Django admin: columns, filters, actions, and that a list costs the same for many rows."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import make_file
from windlass.kernel.clock import now
from windlass.kernel.sizes import human_size

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture(autouse=True)
def no_endpoints_left(records_home: Path) -> Iterator[None]:
    """Every host of a webhook has a circuit breaker, which other tests of this process would see."""
    from windlass.events.api import WebhookEndpoint

    yield
    WebhookEndpoint.objects.all().delete()


FILES, UPLOADS = "/admin/windlass_files/fileasset/", "/admin/windlass_files/uploadsession/"
TOKENS = "/admin/windlass_accounts/apitoken/"
WEBHOOKS, DELIVERIES = "/admin/windlass_events/webhookendpoint/", "/admin/windlass_events/delivery/"


@pytest.fixture
def staff(records_home: Path) -> Callable[..., Any]:
    """A client of a superuser, or of a member of staff with some permissions."""

    def make(*permissions: str) -> Any:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Permission
        from django.test import Client

        users, name = get_user_model().objects, f"admin-{uuid.uuid4().hex}"
        account = users.create_user(name, is_staff=True) if permissions else users.create_superuser(name)
        account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(headers={"host": "localhost"})
        client.force_login(account)
        return client

    return make


def act(client: Any, page: str, action: str, *rows: Any, **fields: str) -> str:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows], **fields}
    reply = client.post(page, chosen, follow=True)
    assert reply.status_code == 200
    text: str = reply.content.decode()
    return text


def new_user() -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_user(f"user-{uuid.uuid4().hex[:12]}")


def new_upload(owner: str) -> Any:
    from windlass.files.api import UploadSession
    from windlass.storage.registry import store

    key = f"objects/00/{uuid.uuid4()}"
    state = store().create(key)
    expires = now() + timedelta(hours=1)
    described = {"dialect": "tus", "profile": "default", "filename": "big.iso", "store": store().name}
    return UploadSession.objects.create(
        owner=owner, size=4 * 2**20, offset=2**20, store_key=key, store_state=state, expires_at=expires, **described
    )


def new_rows() -> None:
    """A row of each of the tables that grow, of a new user."""
    from windlass.accounts.api import create_grant
    from windlass.accounts.models import SignIn, Ticket
    from windlass.accounts.tokens import create_token
    from windlass.events.api import AuditAction, Delivery, EventType, chain_pending, record_action, recording
    from windlass.events.webhooks.endpoints import create_endpoint
    from windlass.files.models import IdempotencyKey, OwnerAccount, Rendition, RetainedObject, UploadChunk
    from windlass.jobs.api import Job, JobState

    user, moment, name = new_user(), now(), uuid.uuid4().hex
    owner = f"user:{user.pk}"
    file = make_file(owner, b"abc")
    Rendition.objects.create(
        file=file, name="thumbnail", kind="thumbnail", mime_type="image/webp", store="s", key=name, size=1
    )
    session = new_upload(owner)
    UploadChunk.objects.create(session=session, index=0, size=1)
    OwnerAccount.objects.create(owner=owner, bytes_used=1536)
    RetainedObject.objects.create(store="s", key=name, size=1, until=moment)
    IdempotencyKey.objects.create(caller=owner, key=name, fingerprint="", expires_at=moment)
    Job.objects.create(stage="intake", file_id=file.id, state=JobState.DONE, due_at=moment, max_attempts=5)
    with recording() as recorder:
        recorder.add(EventType.FILE_READY, owner=owner, file_id=file.id)
    record_action(AuditAction.FILE_DELETED, owner=owner, file_id=file.id)
    chain_pending()
    endpoint = create_endpoint(owner, "https://example.org/hook", ["file.ready"])
    described = {"event_type": "file.ready", "due_at": moment, "created_at": moment}
    Delivery.objects.create(id=uuid.uuid4(), endpoint=endpoint, file_id=file.id, **described)
    create_token(user.get_username())
    create_grant(owner, profile="default", max_size=None, reference=None, origin="", expires_in=60)
    SignIn.objects.create(user=user, handle=name, digest="", password_mark="", expires_at=moment)
    Ticket.objects.create(digest=name, owner=owner, staff=False, expires_at=moment)


def pages() -> list[str]:
    from django.contrib import admin

    registered = [model._meta for model in admin.site._registry if model.__module__.startswith("windlass.")]
    return sorted(f"/admin/{meta.app_label}/{meta.model_name}/" for meta in registered)


def test_no_list_needs_more_queries_for_more_rows(staff: Callable[..., Any]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = staff()

    def queries() -> dict[str, int]:
        asked = {}
        for page in pages():
            with CaptureQueriesContext(connection) as captured:
                reply = client.get(page)
            assert reply.status_code == 200, page
            asked[page] = len(captured)
            statements = [query["sql"] for query in captured.captured_queries]
            whole = [sql for sql in statements if sql.startswith("SELECT DISTINCT") and " WHERE " not in sql]
            assert not whole, "the values of a filter are those of the whole table"
        return asked

    new_rows()
    few = queries()
    for _ in range(3):
        new_rows()
    assert queries() == few
    assert max(few.values()) < 12, few


def test_a_list_does_not_count_a_large_table(monkeypatch: pytest.MonkeyPatch, staff: Callable[..., Any]) -> None:
    from windlass.database import record_admin

    monkeypatch.setattr(record_admin, "MOST_COUNTED", 3)
    for _ in range(5):
        make_file("counted", b"abc")
    page = staff().get(f"{FILES}?owner=counted").content.decode()
    assert "more than 3 file assets" in page
    assert "2 file assets" not in page


@pytest.mark.parametrize("most_counted", [1000, 3], ids=["pages follow", "the last page that is counted"])
def test_a_list_goes_on_from_its_last_row(
    monkeypatch: pytest.MonkeyPatch, staff: Callable[..., Any], most_counted: int
) -> None:
    from windlass.database import record_admin
    from windlass.files.admin import FileAssetAdmin

    monkeypatch.setattr(record_admin, "MOST_COUNTED", most_counted)
    monkeypatch.setattr(FileAssetAdmin, "list_per_page", 3)
    names = [f"row-{number}-{uuid.uuid4().hex}.txt" for number in range(5)]
    for name in names:
        make_file("positions", original_filename=name)
    client, address, seen = staff(), f"{FILES}?owner=positions", set()
    for _ in range(3):
        page = client.get(address).content.decode()
        seen |= {name for name in names if name in page}
        link = re.search(r'href="([^"]+)">Go on from the last row', page)
        if link is None:
            break
        address = FILES + html.unescape(link[1])
    assert seen == set(names)
    assert "created_at__lte" in address


def test_the_search_finds_old_files_by_parts_and_by_what_is_whole(
    monkeypatch: pytest.MonkeyPatch, staff: Callable[..., Any]
) -> None:
    """A part of a name is found in any file, however many are newer and however many contain another part."""
    from windlass.database import record_admin

    monkeypatch.setattr(record_admin, "RECENT", 2)
    word, checksum = uuid.uuid4().hex, uuid.uuid4().hex * 2
    make_file("searched", original_filename=f"Old {word}.txt", reference=f"ref-{word}", checksum=checksum)
    for _ in range(5):
        make_file("searched", original_filename="newer.txt")
    client = staff()

    def found(text: str) -> bool:
        return f"Old {word}.txt" in client.get(FILES, {"q": text}).content.decode()

    assert found(word[5:20])
    assert found(f"old {word}")
    assert found(f"ref-{word}")
    assert found(checksum.upper())
    assert not found(f"ref-{word[:-1]}")
    assert not found(uuid.uuid4().hex)


class TestFiles:
    def test_a_list_shows_names_sizes_pictures_and_links(self, staff: Callable[..., Any]) -> None:
        from windlass.files.models import Rendition

        user = new_user()
        file = make_file(f"user:{user.pk}", bytes(1536), status="READY", gate_passed=True)
        other = make_file("somebody else", b"abc")
        Rendition.objects.create(
            file=file, name="thumbnail", kind="thumbnail", mime_type="image/webp", store="s", key=str(file.id), size=1
        )
        client = staff()
        page = client.get(f"{FILES}?owner=user:{user.pk}").content.decode()
        for part in (
            user.get_username(),
            "1.5\xa0KB",
            f'<img src="/files/{file.id}/thumbnail/"',
            f'href="/files/{file.id}/download/"',
            f'href="/f/{file.id}"',
        ):
            assert part in page
        assert str(other.id) not in page
        assert str(other.id) in client.get(FILES, {"q": str(other.id)}).content.decode()
        change = client.get(f"{FILES}{file.id}/change/").content.decode()
        assert "1.5\xa0KB" in change
        assert '<input type="text"' not in change

    def test_actions_do_what_the_api_does(self, staff: Callable[..., Any]) -> None:
        from windlass.files.api import FileAsset, FileStatus
        from windlass.jobs.api import Job

        client = staff()
        file, other = (make_file("of the admin", b"abc", status="READY", gate_passed=True) for _ in range(2))
        assert "Processed again: 1 file." in act(client, FILES, "reprocess_selected", file)
        file.refresh_from_db()
        assert (file.status, file.run) == (FileStatus.PENDING, 2)
        assert Job.objects.filter(file_id=file.id, run=2).exists()
        text = act(client, FILES, "reprocess_selected", file, other)
        assert "This file is being processed" in text, "and the other one is processed nevertheless"
        assert "Processed again: 1 file." in text

        question = act(client, FILES, "release_selected", other)
        assert "deleted for good" in question
        other.refresh_from_db()
        assert other.status != FileStatus.RELEASED, "nothing happens before the answer"
        assert "Released: 1 file." in act(client, FILES, "release_selected", other, confirmed="yes")
        other.refresh_from_db()
        assert other.status == FileStatus.RELEASED
        act(client, FILES, "delete_selected_files", file, confirmed="yes")
        assert not FileAsset.objects.filter(pk=file.pk).exists()

    def test_a_file_is_restored_from_the_trash(self, staff: Callable[..., Any]) -> None:
        moment = now()
        file = make_file(
            "of the trash", b"abc", status="READY", trashed_at=moment, trash_until=moment + timedelta(hours=1)
        )
        assert "Restored: 1 file." in act(staff(), FILES, "restore_selected", file)
        file.refresh_from_db()
        assert file.trashed_at is None

    def test_actions_need_their_permissions(self, staff: Callable[..., Any]) -> None:
        file = make_file("kept", b"abc", status="READY", gate_passed=True)
        client = staff("view_fileasset")
        for action in ("reprocess_selected", "release_selected", "delete_selected_files", "delete_selected"):
            act(client, FILES, action, file, confirmed="yes", post="yes")
        file.refresh_from_db()
        assert (file.status, file.run) == ("READY", 1)


def test_uploads_can_expire_before_their_time(staff: Callable[..., Any]) -> None:
    from windlass.events.audit.models import PendingAuditEntry

    client, session = staff(), new_upload("sender")
    assert "Are you sure?" in act(client, UPLOADS, "expire_selected", session)
    said = act(client, UPLOADS, "expire_selected", session, confirmed="yes")
    assert "1 upload is expired. 0 bytes are freed." in said, "its object was created and nothing written"
    session.refresh_from_db()
    assert (session.status, session.failure) == ("expired", "Expired by staff.")
    assert PendingAuditEntry.objects.filter(action="upload.expired").exists()
    assert "0 uploads are expired." in act(client, UPLOADS, "expire_selected", session, confirmed="yes")


def test_uploads_show_their_progress_and_can_be_cancelled(staff: Callable[..., Any]) -> None:
    from windlass.storage.contract import ObjectMissing
    from windlass.storage.registry import store

    session, client = new_upload("sender"), staff()
    assert "1.0 MB of 4.0 MB (25 %)" in client.get(f"{UPLOADS}?owner=sender").content.decode()
    assert "Are you sure?" in act(client, UPLOADS, "cancel_selected", session)
    assert "1 upload is cancelled." in act(client, UPLOADS, "cancel_selected", session, confirmed="yes")
    session.refresh_from_db()
    assert (session.status, session.failure) == ("cancelled", "Cancelled by staff.")
    with pytest.raises(ObjectMissing):
        store().info(session.store_key)


def test_tokens_that_are_revoked_are_in_the_audit_log(staff: Callable[..., Any]) -> None:
    from windlass.accounts.models import ApiToken
    from windlass.accounts.tokens import create_token
    from windlass.events.audit.models import PendingAuditEntry

    name, client = new_user().get_username(), staff()
    for _ in range(2):
        create_token(name)
    first, second = ApiToken.objects.order_by("-pk")[:2]
    assert name in client.get(TOKENS).content.decode()
    assert "1 token is revoked." in act(client, TOKENS, "revoke_selected", first)
    assert client.post(f"{TOKENS}{second.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ApiToken.objects.filter(pk__in=[first.pk, second.pk]).exists()
    for token in (first, second):
        assert PendingAuditEntry.objects.filter(action="token.revoked", subject=str(token.pk)).exists()
    assert 'value="delete_selected"' not in client.get(TOKENS).content.decode()


def test_webhooks_are_switched_tested_and_sent_again(staff: Callable[..., Any]) -> None:
    from windlass.events.api import Delivery, DeliveryState
    from windlass.events.webhooks.endpoints import create_endpoint

    client = staff()
    endpoint = create_endpoint(f"user:{new_user().pk}", "https://example.org/hook", ["file.ready"])
    assert "Deliveries that are sent now: 1." in act(client, WEBHOOKS, "test_selected", endpoint)
    delivery = Delivery.objects.get(endpoint=endpoint)
    Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.DEAD, attempts=9, finished_at=now())
    act(client, DELIVERIES, "replay_selected", delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 0)
    assert "Webhooks disabled: 1." in act(client, WEBHOOKS, "disable_selected", endpoint)
    assert "Deliveries that are sent now: 0." in act(client, WEBHOOKS, "test_selected", endpoint)
    assert "Webhooks enabled: 1." in act(client, WEBHOOKS, "enable_selected", endpoint)
    endpoint.refresh_from_db()
    assert endpoint.enabled


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""),
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KB"),
        (2**20 - 1, "1.0 MB"),
        (5 * 2**40, "5.0 TB"),
        (2**60, "1024.0 PB"),
    ],
)
def test_sizes_in_words(size: int | None, text: str) -> None:
    assert human_size(size) == text
