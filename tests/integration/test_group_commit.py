"""Work that waits together is committed together; none is reported before the commit, none fails with another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from tests import django_home

django_home.set_up()

from windlass.database import rows  # noqa: E402  after Django
from windlass.database.connection import on_commit  # noqa: E402
from windlass.events.api import Event, EventType, recording  # noqa: E402
from windlass.executors import in_transaction  # noqa: E402
from windlass.files.api import Blob  # noqa: E402


@pytest.fixture(scope="module")
def database() -> Path:
    return django_home.migrated() / "windlass.sqlite3"


@pytest.fixture(autouse=True)
def _empty(database: Path) -> Iterator[None]:
    Event.objects.all().delete()
    yield
    Event.objects.all().delete()


def visible_events(database: Path) -> int:
    """What another process sees."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as other:
        (count,) = other.execute("SELECT count(*) FROM windlass_events_event").fetchone()
    return int(count)


def record_event() -> uuid.UUID:
    file_id = uuid.uuid4()
    with recording() as recorder:
        recorder.add(EventType.FILE_CREATED, owner="somebody", file_id=file_id)
    return file_id


@asynccontextmanager
async def occupied_committer() -> AsyncIterator[None]:
    """Keep the committing thread busy, so that what is handed over meanwhile waits in its queue."""
    started, release = threading.Event(), threading.Event()

    def occupy() -> None:
        started.set()
        release.wait(60)

    occupation = asyncio.ensure_future(in_transaction(occupy))
    await asyncio.to_thread(started.wait, 60)
    try:
        yield
    finally:
        release.set()
        await occupation


def record_the_same_row_twice() -> None:
    record_event()
    Event.objects.create(id=10**9, type=EventType.FILE_READY, owner="somebody")
    Event.objects.create(id=10**9, type=EventType.FILE_READY, owner="somebody", at=None)


def test_waiting_work_is_committed_together_and_reported_afterwards(database: Path) -> None:
    """Invariant: work that has been reported as done is visible to others. While the first piece occupies the thread,
    the rest wait in its queue, so they become visible all at once."""
    seen = []

    async def one() -> None:
        await in_transaction(record_event)
        seen.append(visible_events(database))

    async def run() -> None:
        async with occupied_committer():
            many = [asyncio.ensure_future(one()) for _ in range(20)]
            await asyncio.sleep(0)  # each task runs up to its wait for the committer
            assert visible_events(database) == 0
        await asyncio.gather(*many)

    asyncio.run(run())
    assert seen == [20] * 20


def test_failed_work_is_rolled_back_alone(database: Path) -> None:
    def fail() -> None:
        record_event()
        raise LookupError("not this one")

    async def run() -> list[object]:
        work = [record_event, fail, record_the_same_row_twice, record_event]
        return await asyncio.gather(*(in_transaction(one) for one in work), return_exceptions=True)

    first, failed, broken, last = asyncio.run(run())
    assert isinstance(first, uuid.UUID)
    assert isinstance(last, uuid.UUID)
    assert isinstance(failed, LookupError)
    assert isinstance(broken, IntegrityError)
    assert set(Event.objects.values_list("file_id", flat=True)) == {first, last}


def test_work_that_goes_on_after_a_failed_block_keeps_nothing_of_the_block(database: Path) -> None:
    """A block is rolled back alone, on whatever it is that its work goes on with; on_commit actions run once."""
    announced: list[str] = []

    def go_on() -> uuid.UUID:
        on_commit(lambda: announced.append("before"))
        with suppress(LookupError), recording() as recorder:
            recorder.add(EventType.FILE_CREATED, owner="somebody", file_id=uuid.uuid4())
            Event.objects.create(type=EventType.FILE_READY, owner="nobody")
            on_commit(lambda: announced.append("inside"))
            raise LookupError("this block")
        return record_event()

    async def run() -> list[object]:
        async with occupied_committer():
            work = [asyncio.ensure_future(in_transaction(one)) for one in (record_event, go_on, record_event)]
            await asyncio.sleep(0)
        return await asyncio.gather(*work)

    kept = asyncio.run(run())
    assert set(Event.objects.values_list("file_id", flat=True)) == set(kept)
    assert announced == ["before"]


def test_work_that_goes_on_after_a_failed_statement_succeeds(database: Path) -> None:
    """A violated constraint ends a PostgreSQL transaction, and Django lets nothing follow it without a savepoint."""
    taken = record_event()

    def go_on() -> uuid.UUID:
        with suppress(IntegrityError), recording():
            Event.objects.create(id=Event.objects.get(file_id=taken).id, type=EventType.FILE_READY, owner="nobody")
        return record_event()

    kept = asyncio.run(in_transaction(go_on))
    assert set(Event.objects.values_list("file_id", flat=True)) == {taken, kept}


def test_refusals_that_changed_nothing_cost_no_savepoint(database: Path) -> None:
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    def refuse() -> None:
        Event.objects.filter(owner="nobody").update(owner="somebody")
        raise LookupError("nothing to change")

    async def run() -> None:
        def watch() -> None:
            connection.execute_wrappers.append(note)

        await in_transaction(watch)
        with pytest.raises(LookupError):
            await in_transaction(refuse)
        await in_transaction(connection.execute_wrappers.clear)

    asyncio.run(run())
    assert [sql for sql in statements if "UPDATE" in sql]
    assert not [sql for sql in statements if "SAVEPOINT" in sql]


def new_blob(key: str) -> Blob:
    return rows.new(Blob, owner="group", store="local", key=f"group/{key}", size=1)


def stored_blobs() -> set[str]:
    return set(Blob.objects.filter(owner="group").values_list("key", flat=True))


def test_deferred_rows_of_a_group_are_few_statements(database: Path) -> None:
    """Seven rows: four, two and one."""
    keys = {f"group/{uuid.uuid4()}" for _ in range(7)}
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    async def run() -> None:
        await in_transaction(lambda: connection.execute_wrappers.append(note))
        async with occupied_committer():
            work = [in_transaction(rows.insert_deferred, new_blob(key.partition("/")[2])) for key in keys]
            many = [asyncio.ensure_future(each) for each in work]
            await asyncio.sleep(0)
        await asyncio.gather(*many)
        await in_transaction(connection.execute_wrappers.clear)

    asyncio.run(run())
    assert keys <= stored_blobs()
    assert len([sql for sql in statements if sql.startswith("INSERT INTO")]) == 3


@pytest.mark.parametrize(
    "find",
    [
        lambda blob: rows.find(Blob, id=blob.id),
        lambda blob: rows.update(Blob, {"id": blob.id}, {"size": 2}),
        lambda blob: Blob.objects.filter(id=blob.id).first(),
        lambda blob: Blob.objects.filter(id=blob.id).update(size=2),
    ],
    ids=["rows", "rows, update", "orm", "orm, update"],
)
def test_a_deferred_row_is_there_for_the_next_statement(database: Path, find: Any) -> None:
    def insert_and_find() -> Any:
        blob = new_blob(str(uuid.uuid4()))
        rows.insert_deferred(blob)
        return find(blob)

    assert asyncio.run(in_transaction(insert_and_find))


def test_a_deferred_row_that_is_refused_fails_its_own_work_only(database: Path) -> None:
    taken, free = new_blob(str(uuid.uuid4())), new_blob(str(uuid.uuid4()))
    twin = new_blob(taken.key.partition("/")[2])

    async def run() -> Any:
        await in_transaction(rows.insert_deferred, taken)
        async with occupied_committer():
            work = [asyncio.ensure_future(in_transaction(rows.insert_deferred, each)) for each in (twin, free)]
            await asyncio.sleep(0)
        return await asyncio.gather(*work, return_exceptions=True)

    refused, done = asyncio.run(run())
    assert isinstance(refused, IntegrityError)
    assert done is None
    assert free.key in stored_blobs()


def test_what_fails_after_it_deferred_a_row_leaves_none(database: Path) -> None:
    key = str(uuid.uuid4())

    def insert_and_fail() -> None:
        rows.insert_deferred(new_blob(key))
        raise LookupError("afterwards")

    with pytest.raises(LookupError):
        asyncio.run(in_transaction(insert_and_fail))
    assert f"group/{key}" not in stored_blobs()


def test_work_cancelled_while_it_waits_is_not_done(database: Path) -> None:
    async def run() -> None:
        async with occupied_committer():
            cancelled = asyncio.ensure_future(in_transaction(record_event))
            await asyncio.sleep(0)  # it is in the committer's queue
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        await in_transaction(visible_events, database)  # the committer has gone past it

    asyncio.run(run())
    assert visible_events(database) == 0


def test_a_writer_waits_for_another_process(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = threading.Event()

    def commit_once_somebody_waits() -> None:
        waiting.wait(60)
        other.execute("COMMIT")

    committer = threading.Thread(target=commit_once_somebody_waits)
    committer.start()
    connection.ensure_connection()
    connection.connection.set_trace_callback(lambda _statement: waiting.set())  # called as a statement begins
    try:
        record_event()
    finally:
        connection.connection.set_trace_callback(None)
        committer.join()
    assert visible_events(database) == 1
    other.close()


def test_a_writer_gives_up_after_the_configured_time(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    options = connection.settings_dict["OPTIONS"]
    configured = options["timeout"]
    options["timeout"] = 0.2
    began = time.monotonic()
    try:
        with pytest.raises(OperationalError, match="locked"):
            record_event()
        assert time.monotonic() - began >= 0.2
    finally:
        options["timeout"] = configured
        other.execute("ROLLBACK")
        other.close()
    with transaction.atomic():
        assert Event.objects.count() == 0
    connections.close_all()
