"""Export and erasure of one owner: nothing that names the owner stays in any table or in any stored object."""

from __future__ import annotations

import io
import json
import re
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client

from tests.integration.asgi_client import ApiClient
from tests.new_uploads import new_upload
from windlass.accounts import api as accounts
from windlass.accounts.models import SignIn
from windlass.events import api as events
from windlass.events.api import Delivery, Event, EventType
from windlass.files import api as files
from windlass.files.api import FileAsset, Rendition, UploadSession
from windlass.jobs.api import Attempt, Job
from windlass.kernel.acting_caller import ActingCaller, acting_as
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal
from windlass.operations.owner_data import erase as erasing
from windlass.operations.owner_data.erase import EraseError, erase_owner
from windlass.operations.owner_data.export import ExportError, export_owner
from windlass.operations.owner_data.records import owner_rows, row_counts
from windlass.storage.registry import store

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow


@dataclass
class Person:
    """A user with something in every table. Every text of the person contains ``mark``."""

    mark: str
    client: ApiClient
    owner: str
    file_id: uuid.UUID
    objects: list[str] = field(default_factory=list)

    def pattern(self) -> re.Pattern[str]:
        return re.compile(rf"{self.mark}|{re.escape(self.owner)}(?!\d)|{address_of(self.mark)}")


def address_of(mark: str) -> str:
    return f"2001:db8::{mark[-4:]}:{mark[-8:-4]}:{mark[-12:-8]}"


@pytest.fixture
def make_person(user: Callable[..., ApiClient], configure: Callable[..., None]) -> Callable[[], Person]:
    from windlass.asgi import application

    configure(AUTH_MODE="required", WEBHOOK_ALLOWED_NETWORKS="*")

    def make() -> Person:
        mark = f"mark{uuid.uuid4().hex[:12]}"
        client = user(app=application)
        person = get_user_model().objects.get(pk=client.owner.removeprefix("user:"))
        person.username, person.email = f"{mark}-name", f"{mark}@example.org"
        person.save()
        return _with_records(mark, client, person)

    return make


def _with_records(mark: str, client: ApiClient, person: Any) -> Person:
    owner = client.owner
    Client().force_login(person)
    accounts.create_token(person.username, name=f"{mark} token")
    accounts.create_ticket(Principal(owner))
    expiry = now() + timedelta(days=1)
    SignIn.objects.create(user=person, handle=mark, digest=mark, password_mark=mark, expires_at=expiry)
    accounts.create_grant(owner, profile="default", expires_in=60, reference=f"{mark}-granted")
    reply = client(
        "POST",
        "/files/",
        files={"file": (f"{mark}.txt", f"text of {mark}".encode())},
        data={"reference": f"{mark}-reference", "metadata": json.dumps({"title": f"{mark} title"})},
        headers={"Idempotency-Key": f"{mark}-key"},
    )
    assert reply.status_code == 201, reply.text
    file_id = uuid.UUID(reply.json()["id"])
    made = Person(mark, client, owner, file_id)
    asset = FileAsset.objects.get(id=file_id)
    made.objects = [asset.blob.key, f"renditions/{file_id}/text", f"blobs/{uuid.uuid4()}"]
    _add_processing(mark, asset, made.objects[1])
    _add_upload(mark, owner, made.objects[2])
    _add_webhook(mark, owner, file_id)
    with acting_as(ActingCaller(owner, address_of(mark), "token")):
        files.set_quota_limits(owner, bytes=10_000_000)
        staff = get_user_model().objects.create(username=f"staff-{uuid.uuid4().hex[:12]}", is_staff=True)
    for changed, name in ((person, person.username), (asset, asset.original_filename)):
        kind = ContentType.objects.get_for_model(changed)
        LogEntry.objects.create(
            user_id=staff.pk, content_type=kind, object_id=str(changed.pk), object_repr=name, action_flag=CHANGE
        )
    events.chain_pending()
    return made


def _add_processing(mark: str, asset: FileAsset, key: str) -> None:
    text = f"text of {mark}".encode()
    store().put(key, io.BytesIO(text), len(text))
    kinds = {"name": "text", "kind": "text", "mime_type": "text/plain"}
    Rendition.objects.create(file=asset, store=store().name, key=key, size=len(text), **kinds)
    files.StepRun.objects.create(file=asset, run=1, stage="intake", step="type", position=0, detail=f"{mark} detail")
    job, _ = Job.objects.get_or_create(
        file_id=asset.id, run=1, stage="intake", defaults={"due_at": now(), "max_attempts": 3}
    )
    Job.objects.filter(id=job.id).update(last_error=f"{mark} error")
    Attempt.objects.create(job=job, number=1, epoch=1, worker="w", message=f"{mark} message", started_at=now())


def _add_upload(mark: str, owner: str, key: str) -> None:
    described = new_upload(owner, 100, filename=f"{mark}-unfinished.bin", metadata={"title": mark})
    state = store().create(key, durable=False, at_most=100)
    writer = store().open_writer(key, state)
    writer.write(0, [f"bytes of {mark}".encode()])
    writer.sync()
    writer.close()
    files.create_upload(described, upload_id=uuid.uuid4(), key=key, state=state)


def _add_webhook(mark: str, owner: str, file_id: uuid.UUID) -> None:
    endpoint = events.create_endpoint(owner, f"https://{mark}.example/", ["file.ready"])
    event = Event.objects.filter(owner=owner, file_id=file_id).first()
    assert event is not None
    log = [{"reply_head": mark, "error": "", "status": 200, "seconds": 1, "at": "2026-01-01T00:00:00Z"}]
    Delivery.objects.create(
        id=uuid.uuid4(), endpoint=endpoint, event_id=event.id, due_at=now(), created_at=now(), attempt_log=log
    )


def tables_with(pattern: re.Pattern[str]) -> set[str]:
    """The tables of the whole database that have the pattern in any column of any row."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            if any(pattern.search(text) for row in cursor.fetchall() for value in row for text in _texts(value)):
                found.add(table)
    return found


def _texts(value: Any) -> Iterator[str]:
    """The value as text; bytes also decompressed."""
    if isinstance(value, bytes | memoryview):
        yield bytes(value).decode(errors="replace")
        with suppress(zlib.error):
            yield zlib.decompress(bytes(value)).decode(errors="replace")
    else:
        yield str(value)


def objects_with(pattern: re.Pattern[str], home: Path) -> list[str]:
    """The files below the home directory, but for the database and the log, that have the pattern."""
    paths = [path for path in home.rglob("*") if path.is_file() and "sqlite3" not in path.name]
    return [str(path) for path in paths if pattern.search(path.read_bytes().decode(errors="replace"))]


#: Where a person is found before the erasure. The marks of other tables are ids.
NAMED_IN = {
    "auth_user",
    "django_admin_log",
    "windlass_accounts_apitoken",
    "windlass_accounts_grant",
    "windlass_accounts_signin",
    "windlass_accounts_ticket",
    "windlass_events_auditidentity",
    "windlass_events_delivery",
    "windlass_events_event",
    "windlass_events_webhookendpoint",
    "windlass_files_blob",
    "windlass_files_fileasset",
    "windlass_files_idempotencykey",
    "windlass_files_owneraccount",
    "windlass_files_steprun",
    "windlass_files_uploadsession",
    "windlass_jobs_attempt",
    "windlass_jobs_job",
}
#: The index of parts of names, which is a table in SQLite only.
NAMED_IN_SQLITE = {"windlass_files_nametrigrams", "windlass_files_nametrigrams_content"}


def named_in() -> set[str]:
    return NAMED_IN | NAMED_IN_SQLITE if connection.vendor == "sqlite" else NAMED_IN


def require_erased(person: Person, home: Path) -> None:
    assert tables_with(person.pattern()) == set()
    assert objects_with(person.pattern(), home) == []
    assert row_counts(person.owner) == {}
    assert list(accounts.sessions_of(person.owner)) == []
    assert events.verify_audit_log().findings == []


def test_an_erased_owner_is_found_in_no_table_and_no_object(make_person: Callable[[], Person], database: Path) -> None:
    alice, bob = make_person(), make_person()
    assert tables_with(alice.pattern()) == named_in()
    assert len(objects_with(alice.pattern(), database)) >= 3
    assert len(list(accounts.sessions_of(alice.owner))) == 1
    of_bob = row_counts(bob.owner)

    report = erase_owner(alice.owner, with_user=True)

    require_erased(alice, database)
    assert (report.files, report.uploads, report.user) == (1, 1, True)
    assert report.bytes_freed >= 40
    assert report.identities >= 3  # as an owner, at the address of the test, at an address of its own
    assert row_counts(bob.owner) == of_bob
    assert tables_with(bob.pattern()) == named_in()
    assert bob.client("GET", f"/files/{bob.file_id}/").status_code == 200
    assert alice.client("GET", f"/files/{bob.file_id}/").status_code == 401


#: Fields that name an owner.
NAMING = {"owner", "user", "caller"}
#: Tables whose names ``audit.chain.pseudonymize`` moves or deletes.
OF_AUDIT_LOG = {"AuditEntry", "PendingAuditEntry"}


def test_each_table_that_names_an_owner_belongs_to_the_owners_data() -> None:
    naming = {
        model.__name__
        for app in apps.get_app_configs()
        if app.name.startswith("windlass.")
        for model in app.get_models()
        if NAMING & {each.name for each in model._meta.get_fields()}
    }
    assert naming - {rows.model.__name__ for rows in owner_rows("nobody").values()} == OF_AUDIT_LOG


def test_listeners_of_staff_still_learn_that_the_files_were_deleted(make_person: Callable[[], Person]) -> None:
    alice = make_person()
    erase_owner(alice.owner, with_user=True)

    left = list(Event.objects.filter(file_id=alice.file_id))
    assert [each.type for each in left] == [EventType.FILE_DELETED]
    assert left[0].owner.startswith("erased:")


STEPS = [
    ("accounts", "close_account"),
    ("files", "mark_upload_ended"),
    ("files", "delete_bytes_of_upload"),
    ("files", "delete_bytes_of_file"),
    ("processing", "delete"),
    ("events", "erase_events"),
    ("events", "pseudonymize"),
    ("accounts", "delete_user"),
]


class Killed(BaseException):
    """Ends the erasure as a kill would: nothing after it runs."""


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
def test_an_erasure_that_was_killed_after_a_step_is_completed_by_the_next(
    make_person: Callable[[], Person], database: Path, module: str, name: str
) -> None:
    alice = make_person()
    username = f"{alice.mark}-name"
    with pytest.MonkeyPatch.context() as patch:
        original = getattr(getattr(erasing, module), name)

        def killed(*arguments: Any, **named: Any) -> None:
            original(*arguments, **named)
            raise Killed

        patch.setattr(getattr(erasing, module), name, killed)
        with pytest.raises(Killed):
            erase_owner(accounts.owner_named(username), with_user=True)

    assert accounts.owner_named(username) == (username if name == "delete_user" else alice.owner)
    erase_owner(alice.owner, with_user=True)
    require_erased(alice, database)


def test_nothing_is_erased_while_a_backup_runs(make_person: Callable[[], Person]) -> None:
    alice = make_person()
    before, run = row_counts(alice.owner), files.start_backup("/backup")
    try:
        with pytest.raises(EraseError, match="a backup is running"):
            erase_owner(alice.owner, with_user=True)
    finally:
        files.abandon_backup(run)
    assert row_counts(alice.owner) == before


def test_a_user_of_another_project_stays_without_access(make_person: Callable[[], Person]) -> None:
    alice = make_person()
    assert not erase_owner(alice.owner, with_user=False).user
    assert not get_user_model().objects.get(username=f"{alice.mark}-name").is_active
    assert row_counts(alice.owner) == {}


def test_an_export_has_every_record_and_file_and_no_secret(make_person: Callable[[], Person], tmp_path: Path) -> None:
    alice, bob = make_person(), make_person()
    target = tmp_path / "export"

    report = export_owner(alice.owner, target)

    counted = row_counts(alice.owner)
    assert {name: report.rows[name] for name in counted} == counted
    assert (report.files, report.unread) == (1, {})
    assert (target / "files" / str(alice.file_id) / f"{alice.mark}.txt").read_text() == f"text of {alice.mark}"
    assert (target / "files" / str(alice.file_id) / "renditions" / "text").read_text() == f"text of {alice.mark}"
    everything = "".join(path.read_text() for path in target.rglob("*") if path.is_file())
    assert not bob.pattern().search(everything)
    written = {path.stem: path.read_text() for path in (target / "records").iterdir()}
    for name in counted:
        assert len(written[name].splitlines()) == counted[name], name
    assert address_of(alice.mark) in written["audit"]
    keys = {key for text in written.values() for line in text.splitlines() for key in json.loads(line)}
    assert not keys & {"digest", "secret", "old_secret", "answer_body", "password", "handle", "password_mark", "proof"}
    document = json.loads((target / "owner.json").read_text())
    assert (document["user_name"], document["complete"]) == (f"{alice.mark}-name", True)
    assert [path for path in target.rglob("*") if path.stat().st_mode & 0o077] == []


def test_an_export_is_written_anew_but_never_over_something_else(
    make_person: Callable[[], Person], tmp_path: Path
) -> None:
    alice, bob = make_person(), make_person()
    export_owner(alice.owner, tmp_path / "export")
    assert export_owner(alice.owner, tmp_path / "export").files == 1

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    for wrong in (tmp_path / "other", tmp_path / "export"):
        with pytest.raises(ExportError, match="is not empty"):
            export_owner(bob.owner, wrong)
    assert (tmp_path / "other" / "letter.txt").read_text() == "mine"


def test_bytes_that_cannot_be_read_are_reported(make_person: Callable[[], Person], tmp_path: Path) -> None:
    alice = make_person()
    store().delete(alice.objects[0])

    report = export_owner(alice.owner, tmp_path / "export")

    assert list(report.unread) == [str(alice.file_id)]
    assert UploadSession.objects.filter(owner=alice.owner).count() == report.rows["uploads"]
