"""Work that waits together is committed together, and none of it is told before, or spoiled by, its neighbours."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
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


def tell() -> uuid.UUID:
    made = uuid.uuid4()
    with recording() as recorder:
        recorder.add(EventType.FILE_CREATED, owner="somebody", file_id=made)
    return made


def tell_twice_the_same_row() -> None:
    tell()
    first = Event.objects.order_by("-id").values_list("id", flat=True).first()
    Event.objects.create(id=first or 1, type=EventType.FILE_READY, owner="somebody")
    Event.objects.create(id=first or 1, type=EventType.FILE_READY, owner="somebody", at=None)


def test_what_waits_together_is_committed_at_once_and_told_after(database: Path) -> None:
    """Invariant: an answered piece of work is visible to others. While the first holds the thread, the rest gather;
    so the rest appears all at once."""
    release, seen = threading.Event(), []

    def hold() -> None:
        release.wait(10)

    async def one() -> None:
        await in_transaction(tell)
        seen.append(rows(database))

    async def run() -> None:
        holder = asyncio.ensure_future(in_transaction(hold))
        await asyncio.sleep(0.1)
        many = [asyncio.ensure_future(one()) for _ in range(20)]
        await asyncio.sleep(0.1)
        assert rows(database) == 0
        release.set()
        await asyncio.gather(holder, *many)

    asyncio.run(run())
    assert seen == [20] * 20


def test_one_that_fails_is_rolled_back_alone(database: Path) -> None:
    def fail() -> None:
        tell()
        raise LookupError("not this one")

    async def run() -> list[object]:
        work = [tell, fail, tell_twice_the_same_row, tell]
        return await asyncio.gather(*(in_transaction(one) for one in work), return_exceptions=True)

    first, failed, broken, last = asyncio.run(run())
    assert isinstance(first, uuid.UUID)
    assert isinstance(last, uuid.UUID)
    assert isinstance(failed, LookupError)
    assert isinstance(broken, IntegrityError)
    assert set(Event.objects.values_list("file_id", flat=True)) == {first, last}


def test_what_was_given_up_while_it_waited_is_not_done(database: Path) -> None:
    async def run() -> None:
        release = threading.Event()
        holder = asyncio.ensure_future(in_transaction(release.wait, 10))
        await asyncio.sleep(0.1)
        given_up = asyncio.ensure_future(in_transaction(tell))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.sleep(0.05)
        release.set()
        await holder

    asyncio.run(run())
    assert rows(database) == 0


def test_a_writer_waits_for_another_process_and_then_goes_on(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ["COMMIT"]).start()
    tell()
    assert rows(database) == 1
    other.close()


def test_a_writer_gives_up_after_the_configured_time(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    options = connection.settings_dict["OPTIONS"]
    patience = options["timeout"]
    options["timeout"] = 0.2
    began = time.monotonic()
    try:
        with pytest.raises(OperationalError, match="locked"):
            tell()
        assert time.monotonic() - began >= 0.2
    finally:
        options["timeout"] = patience
        other.execute("ROLLBACK")
        other.close()
    with transaction.atomic():
        assert Event.objects.count() == 0
    connections.close_all()
