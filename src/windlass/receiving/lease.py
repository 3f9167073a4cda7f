"""The exclusive right to write to an upload: take it, renew it, wait for it, give it up to a newer request.

One request at a time may write, across processes. The newest one wins: a client that comes back from a dead network
uses a new connection while the old one still looks alive.
"""

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
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.kernel.ids import new_id
from windlass.kernel.owners import Owners
from windlass.kernel.problem_types import UploadLocked
from windlass.kernel.shared_counts import shared_counts

#: A lease expires this long after its process stopped renewing it (seconds).
LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0

#: How often a process checks whether another one requested one of its leases (seconds).
POLL_SECONDS = 0.5

#: How long a request waits for the holder to release the lease before it is refused with 423 (seconds).
WAIT_SECONDS = 10.0

#: How long a status query waits for requests that are about to commit (seconds).
COMMIT_WAIT_SECONDS = 1.0

#: How long a status query waits for a request that is still receiving, whose client may be gone (seconds).
RECEIVING_WAIT_SECONDS = 0.1

_NOT_RELEASED = "Another request is writing to this upload and has not released it. Try again shortly."

log = structlog.get_logger(__name__)

_holder = f"web-{new_id()}"


def set_holder(name: str) -> None:
    """Set this process's name in the database. A process frees at its start what is still leased under its name."""
    global _holder
    _holder = name


def holder() -> str:
    return _holder


@dataclass
class LeaseKeeper:
    """Renews the leases of this process, and asks their holders to stop when another request wants one.

    ``unrequested(holder)`` and ``renew(holder, seconds)`` belong to the rows whose columns the leases are.
    """

    unrequested: Callable[[str], Collection[uuid.UUID]] = files.UPLOAD_LEASES.unrequested
    renew: Callable[[str, float], int] = files.UPLOAD_LEASES.renew
    #: The server is stopping, and asked all holders to stop for that reason.
    stopping: bool = False
    _stop_requests: dict[uuid.UUID, Callable[[], object]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    @contextmanager
    def holding(self, row_id: uuid.UUID, request_stop: Callable[[], object]) -> Iterator[None]:
        """Renew the lease inside. ``request_stop`` is called, perhaps repeatedly, when the lease is to be released."""
        self._stop_requests[row_id] = request_stop
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._renew_and_poll())
        try:
            yield
        finally:
            if self._stop_requests.get(row_id) == request_stop:
                del self._stop_requests[row_id]

    def request_stop(self, row_id: uuid.UUID) -> bool:
        """Ask the holder to stop. False if this process has none."""
        request_stop = self._stop_requests.get(row_id)
        if request_stop is None:
            return False
        request_stop()
        return True

    def stop_all(self) -> None:
        """The server is stopping: every holder flushes, commits and releases its lease."""
        self.stopping = True
        for request_stop in list(self._stop_requests.values()):
            request_stop()

    async def _renew_and_poll(self) -> None:
        renewed = monotonic()
        while self._stop_requests:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._stop_requested_holders()
                if monotonic() - renewed >= RENEW_SECONDS:
                    await in_transaction(self.renew, _holder, LEASE_SECONDS)
                    renewed = monotonic()
            except DatabaseError as error:
                log.warning("lease.not_renewed", error=str(error))  # the next round may succeed before it expires

    async def _stop_requested_holders(self) -> None:
        """Stop the holders whose lease was requested, or lost because its upload ended or was taken over."""
        held = list(self._stop_requests.items())  # before the query, which does not see leases taken meanwhile
        unrequested = await in_database(self.unrequested, _holder)
        for row_id, request_stop in held:
            if row_id not in unrequested:
                request_stop()


keeper = LeaseKeeper()


class ActiveWriters:
    """The requests that write to an upload, from their arrival to their end: events of those of this process, and
    whether other processes of the same ``windlass serve`` have any.

    A request whose client is gone may still wait for the lease and commit what it received. Whoever reports the offset
    of the upload waits for it first.
    """

    def __init__(self) -> None:
        self._ended: dict[uuid.UUID, list[asyncio.Event]] = {}
        self._streaming: set[uuid.UUID] = set()

    @contextmanager
    def registered(self, upload_id: uuid.UUID) -> Iterator[None]:
        """Register a request. Enter this before anything is awaited."""
        ended = asyncio.Event()
        self._ended.setdefault(upload_id, []).append(ended)
        shared_counts.add(f"writer {upload_id}", 1)
        try:
            yield
        finally:
            ended.set()
            shared_counts.add(f"writer {upload_id}", -1)
            self._ended[upload_id].remove(ended)
            if not self._ended[upload_id]:
                del self._ended[upload_id]

    @contextmanager
    def streaming(self, upload_id: uuid.UUID) -> Iterator[None]:
        """Mark that the holder of the lease is receiving a body that may take long."""
        self._streaming.add(upload_id)
        try:
            yield
        finally:
            self._streaming.discard(upload_id)

    async def arrived(self, upload_id: uuid.UUID) -> list[asyncio.Event]:
        """Return the ends of the writers that arrived before this call and are active.

        Call this before the session is loaded: one of them may commit and end while it is loaded, and what was loaded
        is then out of date.
        """
        for _ in range(10):  # a head on a new connection is read some rounds later: accept, read, parse, start
            await asyncio.sleep(0)
        return list(self._ended.get(upload_id, ()))

    @staticmethod
    def are_elsewhere(upload_id: uuid.UUID) -> bool:
        """Whether writers have arrived at other processes and are active. Call it, too, before the session is loaded.

        May be true without any, if rarely (``shared_counts``): wait for them no longer than COMMIT_WAIT_SECONDS.
        """
        return shared_counts.of_others(f"writer {upload_id}") > 0

    async def stop_and_wait(self, upload_id: uuid.UUID, arrived: Collection[asyncio.Event]) -> None:
        """Ask these writers to stop and wait for their end. Raises UploadLocked after WAIT_SECONDS."""
        deadline = monotonic() + WAIT_SECONDS
        for ended in arrived:
            while not ended.is_set():
                if monotonic() > deadline:
                    raise UploadLocked(_NOT_RELEASED)
                keeper.request_stop(upload_id)
                await _wait_at_most(ended, 0.05)

    async def wait_for_commits(self, upload_id: uuid.UUID, arrived: Collection[asyncio.Event]) -> None:
        """Wait a short time for these writers to commit, without stopping them."""
        began = monotonic()
        for ended in arrived:
            while not ended.is_set():
                longest = RECEIVING_WAIT_SECONDS if upload_id in self._streaming else COMMIT_WAIT_SECONDS
                if monotonic() - began > longest:
                    break
                await _wait_at_most(ended, 0.02)


writers = ActiveWriters()


def take_lease(upload_id: uuid.UUID) -> files.Lease | None:
    """Take the lease if it is free. Blocks on the database. Raises UploadCompleted, UploadGone."""
    return files.take_lease(upload_id, _holder, LEASE_SECONDS)


def lease_upload(upload_id: uuid.UUID, owners: Owners) -> files.UploadSession | None:
    """Take the lease and return the session; None if another request holds the lease, or there is no session of these
    owners that takes bytes. Blocks on the database."""
    return files.lease_upload(upload_id, _holder, LEASE_SECONDS, owners)


async def wait_for_lease(upload_id: uuid.UUID) -> files.Lease:
    """Ask the holder to release the lease, and take it. Raises UploadLocked after WAIT_SECONDS, UploadCompleted,
    UploadGone."""
    deadline = monotonic() + WAIT_SECONDS
    pause = 0.01
    while monotonic() < deadline:
        if not keeper.request_stop(upload_id):
            await in_transaction(files.UPLOAD_LEASES.request, upload_id, LEASE_SECONDS)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)
        lease = await in_transaction(take_lease, upload_id)
        if lease is not None:
            process_counters.lease_handovers.add(1, "obtained")
            return lease
    process_counters.lease_handovers.add(1, "refused")
    raise UploadLocked(_NOT_RELEASED)


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
