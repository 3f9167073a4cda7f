"""``database.rows`` reads and writes the same values as the ORM."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from tests import django_home

django_home.set_up()

from windlass.database import rows  # noqa: E402  after Django
from windlass.events.api import Event  # noqa: E402
from windlass.files.api import Blob, FileAsset, FileStatus, StepRun, StepState  # noqa: E402


@pytest.fixture(autouse=True)
def owner() -> Iterator[str]:
    django_home.migrated()
    name = f"rows-{uuid.uuid4()}"
    yield name
    FileAsset.objects.filter(owner=name).delete()
    Blob.objects.filter(owner=name).delete()


def blob(owner: str, **values: Any) -> Blob:
    return Blob(owner=owner, store="local", key=f"objects/{uuid.uuid4()}", size=7, **values)


def file(owner: str) -> FileAsset:
    known = {"extra_attributes": {"tags": ["ä", 1.5, None]}, "metadata": {}, "duration": 2.5, "rejection": None}
    held = Blob.objects.create(owner=owner, store="local", key=f"objects/{uuid.uuid4()}", size=7)
    return FileAsset(owner=owner, blob_id=held.id, original_filename='a "b" %s.txt', size=7, profile="default", **known)


def values_of(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_an_inserted_row_is_found_by_rows_and_by_the_orm(owner: str) -> None:
    asset = file(owner)
    rows.insert([asset])
    theirs, mine = FileAsset.objects.get(id=asset.id), rows.find(FileAsset, id=asset.id, owner=owner)
    assert values_of(mine) == values_of(theirs)
    assert values_of(theirs) == values_of(asset)
    assert not mine._state.adding, "saving it changes its row"


def test_a_missing_row_is_not_found(owner: str) -> None:
    asset = file(owner)
    assert rows.find(FileAsset, id=asset.id) is None
    assert not rows.exists(FileAsset, id=asset.id)
    rows.insert([asset])
    assert rows.exists(FileAsset, id=asset.id, owner=owner)
    assert not rows.exists(FileAsset, id=asset.id, owner="another")
    assert rows.exists(FileAsset, id=asset.id, mime_type=None)
    assert not rows.exists(FileAsset, id=asset.id, blob_id=None)


def test_select_sorts_and_limits_rows(owner: str) -> None:
    made = [blob(owner, sha256="ab") for _ in range(3)]
    rows.insert(made)
    for age, one in enumerate(made):
        rows.update(Blob, {"id": one.id}, {"created_at": one.created_at - timedelta(hours=age)})
    found = rows.select(Blob, most=2, order=("created_at", "id"), owner=owner, sha256="ab")
    assert [one.id for one in found] == [made[2].id, made[1].id]


def test_update_returns_the_number_of_changed_rows(owner: str) -> None:
    asset = file(owner)
    rows.insert([asset])
    facts = {"a": [1, {"b": "c"}]}
    changed = {"status": "PROCESSING", "extra_attributes": facts, "duration": None, "duplicate_of_id": asset.id}
    assert rows.update(FileAsset, {"id": asset.id, "status": "PENDING"}, changed) == 1
    assert rows.update(FileAsset, {"id": asset.id, "status": "PENDING"}, changed) == 0
    now = FileAsset.objects.get(id=asset.id)
    assert (now.status, now.extra_attributes, now.duration, now.duplicate_of_id) == (
        "PROCESSING",
        facts,
        None,
        asset.id,
    )


def test_conditions_compare_and_list_values_and_have_alternatives(owner: str) -> None:
    sizes = [blob(owner, sha256="ab"), blob(owner), blob(owner, damage="gone")]
    for number, one in enumerate(sizes):
        one.size = number
    rows.insert(sizes)

    def matching(either: dict[str, Any] | None = None, **where: Any) -> set[int]:
        """The sizes of those that an UPDATE with this condition finds."""
        rows.update(Blob, {"owner": owner}, {"damage_detail": ""})
        rows.update(Blob, {"owner": owner, **where}, {"damage_detail": "found"}, either=either)
        return set(Blob.objects.filter(owner=owner, damage_detail="found").values_list("size", flat=True))

    assert matching(size=rows.Below(1)) == {0}
    assert matching(size=rows.Above(0)) == {1, 2}
    assert matching(sha256=rows.NotNull()) == {0}
    assert matching(size=rows.OneOf([0, 2])) == {0, 2}
    assert matching(id=rows.NoneOf([sizes[0].id])) == {1, 2}
    assert matching(id=rows.NoneOf([])) == {0, 1, 2}
    assert matching(either={"size": rows.Below(1), "damage": "gone"}) == {0, 2}
    assert matching(either={"size": 0, "damage": "gone"}, sha256=None) == {2}
    assert rows.count(Blob, {"owner": owner, "size": rows.Above(0)}) == 2


def test_a_changed_row_is_returned_as_it_is_now(owner: str) -> None:
    asset = file(owner)
    rows.insert([asset])
    expected = {"id": asset.id, "status": "PENDING"}
    changed = rows.update_one(FileAsset, expected, {"size": rows.Plus(3), "status": "READY"})
    assert changed is not None
    assert values_of(changed) == values_of(FileAsset.objects.get(id=asset.id))
    assert (changed.size, changed.status) == (asset.size + 3, "READY")
    assert rows.update_one(FileAsset, expected, {"size": rows.Plus(3)}) is None


def test_a_row_that_exists_is_kept_where_nothing_is_replaced(owner: str) -> None:
    first, second = blob(owner), blob(owner)
    second.key, second.size = first.key, 8
    assert rows.insert([first], unique=("store", "key")) == 1
    assert rows.insert([second], unique=("store", "key")) == 0
    assert Blob.objects.get(owner=owner).size == 7


def test_members_of_enumerations_are_written_as_their_values(owner: str) -> None:
    asset = file(owner)
    asset.status = FileStatus.READY
    rows.insert([asset])
    assert rows.exists(FileAsset, id=asset.id, status=rows.OneOf([FileStatus.READY, FileStatus.FAILED]))
    assert FileAsset.objects.filter(id=asset.id, status="READY").exists()


def test_insert_sets_generated_primary_keys(owner: str) -> None:
    told = [Event(type="file.stage", owner=owner, data={"n": n}) for n in range(3)]
    rows.insert(told)
    assert [event.data["n"] for event in Event.objects.filter(id__in=[each.id for each in told]).order_by("id")] == [
        0,
        1,
        2,
    ]


def test_an_upsert_changes_the_row_and_keeps_its_primary_key(owner: str) -> None:
    asset = file(owner)
    rows.insert([asset])

    def put(state: str, position: int) -> StepRun:
        step = StepRun(file_id=asset.id, run=1, stage="intake", step="type", position=position, state=state)
        rows.insert([step], unique=("file", "run", "step"), replace=("state",))
        return step

    first, second = put(StepState.RUNNING, 3), put(StepState.DONE, 4)
    (row,) = StepRun.objects.filter(file=asset)
    assert (row.state, row.position) == (StepState.DONE, 3)
    assert first.id == second.id == row.id


ASK = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('select count(*) from django_migrations').fetchone()"


def test_another_connection_releases_no_locks() -> None:
    """POSIX drops a process's locks on a file when the process closes any descriptor of it; who comes next would take
    the database for unused, and remove its log from under the connections that are open."""
    Event.objects.count()  # a connection that stays
    name = str(connection.settings_dict["NAME"])
    assert Path(f"{name}-wal").exists()
    thread = threading.Thread(target=_connect_once)
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", ASK, name], check=True)
    assert Path(f"{name}-wal").exists()


def _connect_once() -> None:
    Event.objects.count()
    connection.close()


def test_a_new_instance_is_what_the_constructor_makes(owner: str) -> None:
    held = blob(owner)
    values: dict[str, Any] = {"id": uuid.uuid4(), "owner": owner, "size": 7, "blob": held, "metadata": {"a": 1}}
    made, expected = rows.new(FileAsset, **values), FileAsset(**values)
    assert values_of(made) == values_of(expected)
    assert made.blob is held
    assert made._state.adding
    assert rows.new(FileAsset).id != rows.new(FileAsset).id


def test_the_cursor_is_another_one_after_the_connection_was_closed(owner: str) -> None:
    rows.insert([blob(owner)])
    connection.close()
    assert len(rows.select(Blob, owner=owner)) == 1


def test_a_connection_that_fails_its_health_check_is_replaced(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of PostgreSQL: the next statement is not to fail."""
    rows.insert([blob(owner)])
    database = connections["default"]
    lost = database.connection
    database.close_if_unusable_or_obsolete()
    monkeypatch.setattr(database, "health_check_enabled", True)
    monkeypatch.setattr(database, "is_usable", lambda: False)
    assert len(rows.select(Blob, owner=owner)) == 1
    assert database.connection is not lost


def test_statements_are_seen_by_a_debugging_cursor(owner: str) -> None:
    rows.select(Blob, owner=owner)
    with CaptureQueriesContext(connection) as seen:
        rows.select(Blob, owner=owner)
    assert len(seen) == 1
