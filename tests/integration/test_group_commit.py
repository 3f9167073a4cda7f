"""Work that waits together is committed together; none is reported before the commit, none fails with another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from tests import django_home

django_home.set_up()

from windlass.events.api import Event, EventType, recording  # noqa: E402  after Django
from windlass.executors import in_transaction  # noqa: E402


@pytest.fixture(scope="module")
def database() -> Path:
    return django_home.migrated() / "windlass.sqlite3"


@pytest.fixture(autouse=True)
def _empty(database: Path) -> Iterator[None]:
    Event.objects.all().delete()
    yield
    Event.objects.all().delete()


def rows(database: Path) -> int:
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
    first = Event.objects.order_by("-id").values_list("id", flat=True).first()
    Event.objects.create(id=first or 1, type=EventType.FILE_READY, owner="somebody")
    Event.objects.create(id=first or 1, type=EventType.FILE_READY, owner="somebody", at=None)


def test_waiting_work_is_committed_together_and_reported_afterwards(database: Path) -> None:
    """Invariant: work that has been reported as done is visible to others. While the first piece occupies the thread,
    the rest wait in its queue, so they become visible all at once."""
    seen = []

    async def one() -> None:
        await in_transaction(record_event)
        seen.append(rows(database))

    async def run() -> None:
        async with occupied_committer():
            many = [asyncio.ensure_future(one()) for _ in range(20)]
            await asyncio.sleep(0)  # each task runs up to its wait for the committer
            assert rows(database) == 0
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


def test_work_cancelled_while_it_waits_is_not_done(database: Path) -> None:
    async def run() -> None:
        async with occupied_committer():
            cancelled = asyncio.ensure_future(in_transaction(record_event))
            await asyncio.sleep(0)  # it is in the committer's queue
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        await in_transaction(rows, database)  # the committer has gone past it

    asyncio.run(run())
    assert rows(database) == 0


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
    assert rows(database) == 1
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
