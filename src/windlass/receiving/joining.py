"""Uploads that are made of others (tus's concatenation): joined in the store, step by step, each step committed, so
that whoever takes over goes on. No transaction spans the copying, and the event loop only waits for it.

The joining is a task of its own: the request that asked for it may end before. Where nobody is left to do it, because
the process died or a part came late, the next request or the sweep does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import Problem, UploadGone
from windlass.receiving import completion, writing
from windlass.receiving import lease as leases
from windlass.receiving.admission import check_size
from windlass.storage.contract import ObjectMissing, Store, StoreError, SyncFailed, Writer, WriterBusy
from windlass.storage.copying import copy_between
from windlass.storage.registry import store

#: Small parts are many; so many are copied before their offset is committed.
PIECES_AT_ONCE = 1000

log = structlog.get_logger(__name__)

_running: dict[uuid.UUID, asyncio.Task[None]] = {}


def start(upload_id: uuid.UUID, request_id: str = "") -> asyncio.Task[None]:
    """Join it, unless somebody does or its parts are not whole. The task raises what ``concatenate`` does."""
    running = _running.get(upload_id)
    if running is None:
        running = _running[upload_id] = asyncio.get_running_loop().create_task(_join(upload_id, request_id))
        running.add_done_callback(lambda ended: _ended(upload_id, ended))
    return running


def start_those_waiting_for(part: files.UploadSession, request_id: str) -> None:
    """A part has become whole, perhaps the last one."""

    async def look() -> None:
        for upload_id in await in_database(files.concatenations_of, part):
            start(upload_id, request_id)

    task = _running[part.id] = asyncio.get_running_loop().create_task(look())
    task.add_done_callback(lambda ended: _ended(part.id, ended))


def join_abandoned(*, seconds: float) -> int:
    """For the sweep: go on with what nobody is joining, for about so long. Blocks. Returns how many were looked at."""
    waiting = files.unfinished_concatenations()
    if waiting:
        asyncio.run(_join_all(waiting, monotonic() + seconds))
    return len(waiting)


async def _join_all(waiting: Sequence[uuid.UUID], until: float) -> None:
    for upload_id in waiting:
        if monotonic() < until:
            try:
                await _join(upload_id, "", until)
            except (Problem, StoreError) as error:
                log.info("upload.not_joined", upload_id=str(upload_id), error=str(error))


def _ended(key: uuid.UUID, task: asyncio.Task[None]) -> None:
    _running.pop(key, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("upload.not_joined", upload_id=str(key), error=str(error))


async def _join(upload_id: uuid.UUID, request_id: str, until: float | None = None) -> None:
    parts = await in_database(_whole_parts, upload_id)
    if parts is None:
        return
    try:
        lease = await in_transaction(leases.take, upload_id)
    except files.UploadCompleted:
        return
    session = None if lease is None else await in_transaction(files.leased_upload, lease)
    if lease is not None and session is not None:
        await _Joining(session, lease, parts, request_id, until).run()


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes to copy. The object is finished."""

    store: str
    key: str
    size: int


def _whole_parts(upload_id: uuid.UUID) -> list[Part] | None:
    """What to join; None where there is nothing to do yet, or any more. Raises UploadGone, FileTooLarge.

    An upload that can never be joined is failed: a part has ended, or together they are larger than is allowed.
    """
    session = files.load_upload(upload_id)
    if session is None or session.status != files.UploadStatus.ACTIVE:
        return None
    try:
        found = files.living_partial_uploads(session.part_ids)
        if found is None:
            raise UploadGone("A part of this upload has ended.")
        if not all(map(files.is_complete_partial, found)):
            return None
        check_size(files.profile(session.profile), sum(part.offset for part in found))
    except Problem as problem:
        files.lifecycle.end_upload(session, files.UploadStatus.FAILED, problem.detail)
        raise
    return [Part(part.store, part.store_key, part.offset) for part in found]


Piece = tuple[Part, int, int]


def steps(parts: Sequence[Part], offset: int, size: int) -> Iterator[list[Piece]]:
    """The pieces that are left to copy from ``offset`` on, so many at a time that together they have about ``size``
    bytes, and never more than PIECES_AT_ONCE."""
    step: list[Piece] = []
    filled = 0
    for piece in pieces(parts, offset, size):
        step.append(piece)
        filled += piece[2]
        if filled >= size or len(step) == PIECES_AT_ONCE:
            yield step
            step, filled = [], 0
    if step:
        yield step


def pieces(parts: Sequence[Part], offset: int, step: int) -> Iterator[Piece]:
    """What is left to copy from ``offset`` of the whole on: (part, start, size), each of at most ``step`` bytes."""
    begins = 0
    for part in parts:
        start = max(0, offset - begins)
        while start < part.size:
            size = min(step, part.size - start)
            yield part, start, size
            start += size
        begins += part.size


class _Joining:
    """One process joining one upload, whose lease it holds."""

    def __init__(
        self,
        session: files.UploadSession,
        lease: files.Lease,
        parts: Sequence[Part],
        request_id: str,
        until: float | None,
    ) -> None:
        self._session = session
        self._lease = lease
        self._parts = parts
        self._size = sum(part.size for part in parts)
        self._request_id = request_id
        self._until = until
        self._store: Store = store(session.store)
        self._offset = lease.offset
        self._state = lease.state
        self._asked = False

    async def run(self) -> None:
        try:
            with leases.keeper.holding(self._session.id, self._request_stop):
                if await self._copy_all():
                    await self._complete()
                else:
                    await in_transaction(files.release_lease, self._lease)
        except SyncFailed:
            reason = "Its bytes could not be made durable."
            await in_database(files.lifecycle.end_upload, self._session, files.UploadStatus.FAILED, reason)
            raise
        except ObjectMissing as error:
            reason = "The bytes of a part of this upload were deleted."
            await in_database(files.lifecycle.end_upload, self._session, files.UploadStatus.FAILED, reason)
            raise UploadGone(reason) from error
        except (files.LeaseLost, WriterBusy):
            await in_transaction(files.release_lease, self._lease)  # it was ended, or another process is at it
        except BaseException:
            await in_transaction(files.release_lease, self._lease)
            raise

    def _request_stop(self) -> None:
        self._asked = True

    async def _copy_all(self) -> bool:
        """Whether the object is whole; False where it was asked to stop before."""
        writer = await in_thread(writing.open_leased, self._store, self._lease)
        try:
            for step in steps(self._parts, self._offset, conf.get().checkpoint_bytes):
                if self._asked or (self._until is not None and monotonic() > self._until):
                    return False
                self._state = await in_thread(self._copy_step, writer, step)
                await self._commit_step(sum(size for _, _, size in step))
        finally:
            await in_thread(writer.close)
        await in_thread(writing.finish, self._store, self._lease.store_key, self._state, self._size)
        return True

    def _copy_step(self, writer: Writer, step: Sequence[Piece]) -> dict[str, object]:
        """A store copies among its own objects. A part may lie in another, since each has a profile of its own."""
        offset = self._offset
        for part, start, size in step:
            copy_between(self._store, writer, offset, store(part.store), part.key, start, size)
            offset += size
        return writing.save(writer)

    async def _commit_step(self, size: int) -> None:
        self._offset += size
        await in_transaction(
            files.commit_offset,
            self._lease,
            self._offset,
            self._state,
            ttl_hours=files.profile(self._session.profile).upload_ttl_hours,
            size=self._size,
        )

    async def _complete(self) -> None:
        self._session.size = self._size
        await completion.complete(self._lease, self._session, size=self._size, known=None, request_id=self._request_id)
        await in_transaction(files.expire_partial_uploads, self._session.part_ids)
