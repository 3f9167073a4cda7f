"""Completing an upload in chunks: every chunk lies in its place already, so what is left is the digest of the whole.

It is worked out in the background, once, whoever asks how often; who asks waits a while for it.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import structlog
from django.db import DatabaseError

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import ChecksumMismatch, Conflict, Problem
from windlass.kernel.principals import Caller
from windlass.receiving import completion, writing
from windlass.receiving import lease as leases
from windlass.receiving.chunks import find, incremental_hashes
from windlass.receiving.digest import chunked_object
from windlass.storage.contract import StoreError, SyncFailed
from windlass.storage.registry import store

#: How often a session that another process assembles is looked at (seconds).
LOOK_SECONDS = 0.1
#: Missing chunks that a refusal names; ``missing_count`` tells how many there are.
NAMED_MISSING = 1000

log = structlog.get_logger(__name__)

_running: dict[uuid.UUID, asyncio.Task[None]] = {}


async def complete(
    upload_id: uuid.UUID,
    caller: Caller,
    *,
    dialect: str,
    described: dict[str, Any] | None = None,
    request_id: str = "",
    wait: float | None = None,
) -> files.UploadSession:
    """The session, completed, or still assembling after ``wait`` (COMPLETE_WAIT_SECONDS) seconds.

    ``described``: what the client says of the file only now, as values of the session. Raises NotFound, UploadGone,
    Conflict while chunks are missing, ChecksumMismatch (each time), StoreError.
    """
    deadline = monotonic() + (conf.get().complete_wait_seconds if wait is None else wait)
    while True:
        session, lease = await in_transaction(_begin, upload_id, caller, dialect, described)
        if lease is not None:
            _start(session, lease, request_id)
        left = deadline - monotonic()
        if session.status == files.UploadStatus.COMPLETED or left <= 0:
            return session
        await _wait(upload_id, left)


def _start(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    task = asyncio.create_task(_assemble(session, lease, request_id), name=f"windlass-assembly-{session.id}")
    task.add_done_callback(_was_heard)
    _running[session.id] = task


def _was_heard(task: asyncio.Task[None]) -> None:
    """It was logged; a waiter may have been told too."""
    if not task.cancelled():
        task.exception()


async def _wait(upload_id: uuid.UUID, seconds: float) -> None:
    """Until something may have changed. Raises what stopped the work, if it runs here."""
    task = _running.get(upload_id)
    if task is None:
        await asyncio.sleep(min(LOOK_SECONDS, seconds))
        return
    await asyncio.wait({task}, timeout=seconds)
    if task.done() and not task.cancelled():
        task.result()


def _begin(
    upload_id: uuid.UUID, caller: Caller, dialect: str, described: dict[str, Any] | None
) -> tuple[files.UploadSession, files.Lease | None]:
    session = find(upload_id, caller, dialect)
    _must_not_be_disproved(session)
    files.require_living(session)
    if session.status == files.UploadStatus.COMPLETED:
        return session, None
    if session.status == files.UploadStatus.ACTIVE:
        _must_be_whole(session)
        if described:
            files.describe_upload(session, described)
    lease = files.start_assembly(session, leases.holder(), leases.LEASE_SECONDS)
    return session, lease


def _must_be_whole(session: files.UploadSession) -> None:
    layout = files.chunk_layout(session)
    there = set(files.received_chunks(session))
    if len(there) == layout.total:
        return
    missing = [index for index in range(layout.total) if index not in there]
    raise Conflict(
        f"{len(missing)} of {layout.total} chunks are missing.",
        missing_chunks=missing[:NAMED_MISSING],
        missing_count=len(missing),
    )


def _must_not_be_disproved(session: files.UploadSession) -> None:
    if session.status == files.UploadStatus.FAILED and session.actual_sha256:
        raise ChecksumMismatch(session.failure, expected=session.expected_sha256, actual=session.actual_sha256)


async def _assemble(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    """The session ends, unless what goes wrong may go right the next time: then its lease is free again."""
    task = asyncio.current_task()
    assert task is not None
    try:
        with leases.keeper.holding(session.id, lambda: _stop(task)):
            await _prove(session, lease, request_id)
    except (Problem, files.LeaseLost) as error:
        log.info("upload.not_assembled", upload_id=str(session.id), reason=str(error))
    except (StoreError, DatabaseError) as error:
        log.warning("upload.not_assembled", upload_id=str(session.id), reason=str(error))
        raise
    finally:
        if _running.get(session.id) is task:
            del _running[session.id]
        await asyncio.shield(in_transaction(files.release_lease, lease))


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _prove(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    """Where unfinished objects can be read, the object is hashed before it is made whole, so that nothing is read back
    from where that brings it. Else after, since only then it can be read."""
    size = files.chunk_layout(session).size
    await in_thread(_must_be_still, session)
    if store(session.store).capabilities.reads_unfinished:
        actual = await _hashed(session)
        await _finish(session, size)
    else:
        await _finish(session, size)
        actual = await _hashed(session)
    incremental_hashes().forget(session.id)
    await in_transaction(completion.record, lease, session, size=size, sha256=actual, request_id=request_id)


async def _hashed(session: files.UploadSession) -> str:
    """Raises ChecksumMismatch, with which the upload is over."""
    actual = await incremental_hashes().finish(chunked_object(session))
    announced = completion.announced_by(session.expected_sha256, session.expected_sha512)
    try:
        await completion.prove(store(session.store), session.store_key, actual, announced)
    except ChecksumMismatch as problem:
        incremental_hashes().forget(session.id)
        await in_database(_disprove, session, actual, problem.detail)
        raise
    return actual


def _must_be_still(session: files.UploadSession) -> None:
    """Raises WriterBusy while anybody still writes to the object, where the store can tell."""
    store(session.store).require_no_writer(session.store_key, session.store_state)


async def _finish(session: files.UploadSession, size: int) -> None:
    """The object is whole."""
    chunks = await in_database(files.chunk_store_states, session)
    try:
        await in_thread(writing.finish, store(session.store), session.store_key, session.store_state, size, chunks)
    except SyncFailed:
        reason = "Its bytes could not be made durable."
        await in_database(files.lifecycle.end_upload, session, files.UploadStatus.FAILED, reason)
        raise


def _disprove(session: files.UploadSession, actual: str, reason: str) -> None:
    if files.fail_with_wrong_digest(session, actual, reason):
        store(session.store).discard(session.store_key, session.store_state)
