"""Uploads made of others (tus concatenation): create one, and copy its partial uploads together in the store.

The parts are copied step by step, and each step is committed, so that another process can continue. No transaction
spans the copying. It is a task of its own: the request that started it may end before. If nobody runs it, because a
process died or a part arrived late, the next request or the sweep starts it.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Forbidden, InvalidField, NotFound, Problem, UploadGone
from windlass.protocols.intents import Concatenate
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, check_size
from windlass.receiving.completion import complete_upload
from windlass.receiving.durability import syncs_acknowledgements, syncs_complete_files
from windlass.receiving.leased_writer import open_leased_writer, validity_of
from windlass.receiving.session import Outcome, create_session, fail_session, holding_lease, state_of
from windlass.receiving.writer_threads import close_in_thread, open_in_thread
from windlass.storage.contract import ObjectMissing, State, StoreError, Writer, WriterBusy
from windlass.storage.copying import copy_between
from windlass.storage.registry import store

#: How long the request that asks for a concatenation waits for its end before it is answered (seconds).
WAIT_SECONDS = 20.0
#: Pieces that are copied before their offset is committed, at most: small parts are many.
MAX_PIECES_PER_STEP = 1000

log = structlog.get_logger(__name__)

_running: dict[uuid.UUID, asyncio.Task[None]] = {}


async def concatenate(intent: Concatenate, principal: Principal, *, dialect: str, request_id: str = "") -> Outcome:
    """Create an upload out of others and wait a while for its end. A repeated request returns the same upload.

    Raises Forbidden, NotFound for a part that is missing or that the caller may not use, InvalidField, FileTooLarge,
    QuotaExceeded, StorageFull, ChecksumMismatch, UploadGone, StoreError.
    """
    if principal.grant is not None:
        raise Forbidden("A grant allows one upload; an upload made of others needs several.")
    new = await in_database(_admit, intent, principal, dialect)
    session = await in_database(files.find_concatenation, new.concat_key)
    session = session or await create_session(new, files.create_concatenation)
    session = session or await in_database(files.find_concatenation, new.concat_key)  # another request created it
    if session is None:
        raise UploadGone("The same upload was created and ended a moment ago.")
    if session.status == files.UploadStatus.ACTIVE:
        await asyncio.wait({(task := start(session.id, request_id))}, timeout=WAIT_SECONDS)
        if task.done():
            task.result()
        session = await in_database(_load_living, session.id)
    return Outcome(state_of(session))


def start(upload_id: uuid.UUID, request_id: str = "") -> asyncio.Task[None]:
    """Start to concatenate, unless that runs already or the parts are incomplete; return the task.

    The task raises the same errors as ``concatenate``.
    """
    running = _running.get(upload_id)
    if running is None:
        running = _running[upload_id] = asyncio.get_running_loop().create_task(_concatenate(upload_id, request_id))
        running.add_done_callback(lambda ended: _forget_task(upload_id, ended))
    return running


def start_those_waiting_for(part: files.UploadSession, request_id: str) -> None:
    """Start the concatenations of a partial upload that has become complete."""

    async def start_all() -> None:
        for upload_id in await in_database(files.concatenations_of, part):
            start(upload_id, request_id)

    task = _running[part.id] = asyncio.get_running_loop().create_task(start_all())
    task.add_done_callback(lambda ended: _forget_task(part.id, ended))


def continue_abandoned(*, seconds: float) -> int:
    """Continue what nobody is concatenating, for about so long; return how many were tried. Blocks. For the sweep."""
    waiting = files.unfinished_concatenations()
    if waiting:
        asyncio.run(_concatenate_all(waiting, monotonic() + seconds))
    return len(waiting)


async def _concatenate_all(waiting: Sequence[uuid.UUID], until: float) -> None:
    for upload_id in waiting:
        if monotonic() < until:
            try:
                await _concatenate(upload_id, "", until)
            except (Problem, StoreError) as error:
                log.info("upload.not_concatenated", upload_id=str(upload_id), error=str(error))


def _forget_task(key: uuid.UUID, task: asyncio.Task[None]) -> None:
    _running.pop(key, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("upload.not_concatenated", upload_id=str(key), error=str(error))


def _admit(intent: Concatenate, principal: Principal, dialect: str) -> files.NewUpload:
    """Return the session to create, made of parts that the caller may use. Blocks on the database."""
    key = _concat_key(intent, principal)
    if files.find_concatenation(key) is None:
        existing = files.uploads_by_id(intent.parts)
        for part in set(intent.parts):
            if part not in existing or not principal.may_access(existing[part].owner):
                raise NotFound(f"There is no upload {part}.")
            if not existing[part].is_partial:
                raise InvalidField(f"The upload {part} is no partial upload, and cannot be concatenated with others.")
    parts = files.living_partial_uploads(intent.parts) or []
    sizes = [part.size for part in parts]
    size = sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
    new = admit(intent.description, size, principal, dialect, of_admitted=True)
    return replace(new, concat=intent.header_value, parts=intent.parts, concat_key=key)


def _concat_key(intent: Concatenate, principal: Principal) -> str:
    """Return a key that is the same for the same owner, parts and description."""
    words = [principal.owner, intent.description.profile, intent.description.client_metadata or ""]
    return hashlib.sha256("\0".join([*words, *map(str, intent.parts)]).encode()).hexdigest()


def _load_living(upload_id: uuid.UUID) -> files.UploadSession:
    session = files.load_upload(upload_id)
    if session is None:
        raise UploadGone("This upload was deleted while its parts were concatenated.")
    files.require_living(session)
    return session


async def _concatenate(upload_id: uuid.UUID, request_id: str, until: float | None = None) -> None:
    parts = await in_database(_complete_parts, upload_id)
    if parts is None:
        return
    try:
        lease = await in_transaction(leases.take_lease, upload_id)
    except files.UploadCompleted:
        return
    session = None if lease is None else await in_transaction(files.leased_upload, lease)
    if lease is not None and session is not None:
        await _Concatenation(session, lease, parts, request_id, until).run()


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes to copy: a complete object of a store."""

    store: str
    key: str
    size: int


def _complete_parts(upload_id: uuid.UUID) -> list[Part] | None:
    """Return the parts to copy; None if some are incomplete or the upload is not active any more.

    The upload fails if it can never be complete. Raises UploadGone if a part has ended, FileTooLarge, InvalidField.
    """
    session = files.load_upload(upload_id)
    if session is None or session.status != files.UploadStatus.ACTIVE:
        return None
    try:
        parts = files.living_partial_uploads(session.part_ids)
        if parts is None:
            raise UploadGone("A part of this upload has ended.")
        if not all(map(files.is_complete_partial, parts)):
            return None
        check_size(files.profile(session.profile), sum(part.offset for part in parts))
    except Problem as problem:
        files.end_upload(session, files.UploadStatus.FAILED, problem.detail)
        raise
    return [Part(part.store, part.store_key, part.offset) for part in parts]


#: A part, the offset in it, and the number of bytes to copy from there.
Piece = tuple[Part, int, int]


def steps(parts: Sequence[Part], offset: int, size: int) -> Iterator[list[Piece]]:
    """Group the pieces left to copy from ``offset`` into steps of about ``size`` bytes, which are committed each."""
    step: list[Piece] = []
    step_size = 0
    for piece in pieces(parts, offset, size):
        step.append(piece)
        step_size += piece[2]
        if step_size >= size or len(step) == MAX_PIECES_PER_STEP:
            yield step
            step, step_size = [], 0
    if step:
        yield step


def pieces(parts: Sequence[Part], offset: int, max_size: int) -> Iterator[Piece]:
    """List what is left to copy from ``offset`` of the whole, in pieces of at most ``max_size`` bytes."""
    part_offset = 0
    for part in parts:
        start = max(0, offset - part_offset)
        while start < part.size:
            size = min(max_size, part.size - start)
            yield part, start, size
            start += size
        part_offset += part.size


@dataclass(eq=False)
class _Concatenation:
    """One process that concatenates one upload, whose lease it holds. ``until``: when to stop (monotonic seconds)."""

    session: files.UploadSession
    lease: files.Lease
    parts: Sequence[Part]
    request_id: str
    until: float | None
    stop_requested: bool = False

    def __post_init__(self) -> None:
        self.store = store(self.session.store)
        self.size = sum(part.size for part in self.parts)
        self.offset, self.state = self.lease.offset, self.lease.state

    async def run(self) -> None:
        """Raises UploadGone, ChecksumMismatch, InvalidField, QuotaExceeded, StoreError."""
        try:
            async with holding_lease(self.session, self.lease, self._request_stop):
                if await self._copy_all():
                    await self._complete()
                else:
                    await in_transaction(files.release_lease, self.lease)
        except ObjectMissing as error:
            reason = "The bytes of a part of this upload were deleted."
            await fail_session(self.session, reason)
            raise UploadGone(reason) from error
        except (files.LeaseLost, WriterBusy):
            return  # the upload was ended, or another process is concatenating it

    def _request_stop(self) -> None:
        self.stop_requested = True

    async def _copy_all(self) -> bool:
        """Copy what is left and complete the object. False if this was stopped before."""
        ttl_hours = files.profile(self.session.profile).upload_ttl_hours
        valid = validity_of(self.lease)
        writer = await open_in_thread(partial(open_leased_writer, self.store, self.lease, valid))
        try:
            for step in steps(self.parts, self.offset, conf.get().checkpoint_bytes):
                if self.stop_requested or (self.until is not None and monotonic() > self.until):
                    return False
                self.offset, self.state = await in_thread(self._copy_step, writer, step)
                await in_transaction(
                    files.commit_offset, self.lease, self.offset, self.state, ttl_hours=ttl_hours, size=self.size
                )
        finally:
            await close_in_thread(writer.close)
        durable = syncs_complete_files()
        await in_thread(self.store.complete, self.lease.store_key, self.state, self.size, durable=durable)
        return True

    def _copy_step(self, writer: Writer, step: Sequence[Piece]) -> tuple[int, State]:
        """Copy pieces, from other stores too: each partial upload has a profile of its own.

        Return the offset and the state to commit.
        """
        offset = self.offset
        for part, start, size in step:
            copy_between(self.store, writer, offset, store(part.store), part.key, start, size)
            offset += size
        return offset, writer.sync(durable=syncs_acknowledgements())

    async def _complete(self) -> None:
        self.session.size = self.size
        await complete_upload(self.lease, self.session, size=self.size, known=None, request_id=self.request_id)
        await in_transaction(files.release_partial_uploads, self.session.part_ids)
