"""Who may write to an upload. One request at a time, across processes; the newest wins, because a client that comes
back from a dead network is on a new connection while the old one still looks alive."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import structlog
from django.db import DatabaseError

from windlass.executors import in_database, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import UploadLocked
from windlass.kernel.ids import new_id

#: A lease lapses this long after its process stopped renewing it (seconds).
LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0

#: How often a process asks whether somebody wants a lease of its own (seconds).
LISTEN_SECONDS = 0.5

#: How long a request waits for the holder to let go before it is told 423 (seconds).
WAIT_SECONDS = 10.0

#: How long a reader of the status waits for requests that are about to commit (seconds).
SETTLE_SECONDS = 1.0

#: How long at most the loss of a connection goes unnoticed by the request that receives from it (seconds).
NOTICE_SECONDS = 0.1

_DID_NOT_LET_GO = "Another request is writing to this upload and did not let go. Try again shortly."

log = structlog.get_logger(__name__)

_holder = f"web-{new_id()}"


def set_holder(name: str) -> None:
    """This process's name in the database. One that starts under a name frees what that name held."""
    global _holder
    _holder = name


def holder() -> str:
    return _holder


@dataclass
class Keeper:
    """The leases of this process: renews them, and asks their holders to let go when another process wants one.

    ``unwanted(holder)`` and ``renew(holder, seconds)`` are of the records that the leases are columns of.
    """

    unwanted: Callable[[str], Collection[uuid.UUID]] = files.unrequested_leases
    renew: Callable[[str, float], int] = files.renew_leases
    #: The server is stopping, which is why its holders are asked to let go.
    stopping: bool = False
    _stops: dict[uuid.UUID, Callable[[], None]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    @contextmanager
    def holding(self, upload_id: uuid.UUID, stop: Callable[[], None]) -> Iterator[None]:
        """Inside, the lease is renewed. ``stop`` is called, perhaps more than once, when it is to be let go."""
        self._stops[upload_id] = stop
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            yield
        finally:
            if self._stops.get(upload_id) == stop:
                del self._stops[upload_id]

    def ask(self, upload_id: uuid.UUID) -> bool:
        """Ask a holder in this process. False where there is none."""
        stop = self._stops.get(upload_id)
        if stop is None:
            return False
        stop()
        return True

    def ask_all(self) -> None:
        """The server is stopping: every holder flushes, commits and lets go."""
        self.stopping = True
        for stop in list(self._stops.values()):
            stop()

    async def _watch(self) -> None:
        renewed = monotonic()
        while self._stops:
            await asyncio.sleep(LISTEN_SECONDS)
            try:
                await self._let_go()
                if monotonic() - renewed >= RENEW_SECONDS:
                    await in_transaction(self.renew, _holder, LEASE_SECONDS)
                    renewed = monotonic()
            except DatabaseError as error:
                log.warning("lease.not_renewed", error=str(error))  # the next round may succeed before it lapses

    async def _let_go(self) -> None:
        """Stop who is asked to let go, and who has lost the lease already: its upload was ended, or taken over."""
        held = list(self._stops.items())  # before the question: what is leased meanwhile is not in the answer
        kept = await in_database(self.unwanted, _holder)
        for upload_id, stop in held:
            if upload_id not in kept:
                stop()


keeper = Keeper()


class Writers:
    """The requests of this process that write to an upload, from the moment they arrive until they have ended.

    A request whose client is gone may still be waiting for the lease, and will commit what came: whoever tells how far
    the upload is waits for it first.
    """

    def __init__(self) -> None:
        self._ended: dict[uuid.UUID, list[asyncio.Event]] = {}
        self._streaming: set[uuid.UUID] = set()

    @contextmanager
    def arrived(self, upload_id: uuid.UUID) -> Iterator[None]:
        """Enter before anything is awaited."""
        ended = asyncio.Event()
        self._ended.setdefault(upload_id, []).append(ended)
        try:
            yield
        finally:
            ended.set()
            self._ended[upload_id].remove(ended)
            if not self._ended[upload_id]:
                del self._ended[upload_id]

    @contextmanager
    def streaming(self, upload_id: uuid.UUID) -> Iterator[None]:
        """Inside, the holder of the lease receives a body that may take long."""
        self._streaming.add(upload_id)
        try:
            yield
        finally:
            self._streaming.discard(upload_id)

    async def let_go(self, upload_id: uuid.UUID) -> bool:
        """Wait until those that are there now have ended, each asked to let go as soon as it has the lease. False
        where there was none. Raises UploadLocked after WAIT_SECONDS."""
        await _what_came_before_is_read()
        deadline, there = monotonic() + WAIT_SECONDS, list(self._ended.get(upload_id, ()))
        for ended in there:
            while not ended.is_set():
                if monotonic() > deadline:
                    raise UploadLocked(_DID_NOT_LET_GO)
                keeper.ask(upload_id)
                await _within(ended, 0.05)
        return bool(there)

    async def settle(self, upload_id: uuid.UUID) -> bool:
        """Wait for those that are about to commit, and for a moment also for one that is receiving, because its client
        may be gone already. Nobody is asked to let go. False where there was none."""
        await _what_came_before_is_read()
        began, there = monotonic(), list(self._ended.get(upload_id, ()))
        for ended in there:
            while not ended.is_set():
                longest = NOTICE_SECONDS if upload_id in self._streaming else SETTLE_SECONDS
                if monotonic() - began > longest:
                    break
                await _within(ended, 0.02)
        return bool(there)


writers = Writers()


def take(upload_id: uuid.UUID) -> files.Lease | None:
    """The lease, if it is free. Blocks on the database. Raises UploadCompleted, UploadGone."""
    return files.take_lease(upload_id, _holder, LEASE_SECONDS)


async def wait_for(upload_id: uuid.UUID) -> files.Lease:
    """The lease, once its holder let go. Raises UploadLocked after WAIT_SECONDS, UploadCompleted, UploadGone."""
    deadline = monotonic() + WAIT_SECONDS
    pause = 0.01
    while monotonic() < deadline:
        if not keeper.ask(upload_id):
            await in_transaction(files.request_lease, upload_id)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)
        lease = await in_transaction(take, upload_id)
        if lease is not None:
            return lease
    raise UploadLocked(_DID_NOT_LET_GO)


async def _what_came_before_is_read() -> None:
    """A request on a connection that was made a moment ago has its head read some rounds of the event loop later than
    one on a connection that is kept open, which may have come after it: accept, read, parse, begin."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
