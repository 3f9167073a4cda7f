"""Complete a chunked upload: every chunk is at its place already, so only the digest of the whole is left to compute.

It is computed once, in a background task, however many requests ask for it; a request waits a while for the result.
"""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import Any

import structlog
from django.db import DatabaseError

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Caller
from windlass.kernel.problem_types import ChecksumMismatch, Conflict, Problem
from windlass.receiving import completion
from windlass.receiving import lease as leases
from windlass.receiving.chunked import incremental_hashes
from windlass.receiving.durability import syncs_complete_files
from windlass.receiving.session import fail_after_sync_error, find_session
from windlass.storage.contract import StoreError, SyncFailed
from windlass.storage.registry import store

#: How often the status of a session that another process completes is queried (seconds).
POLL_SECONDS = 0.1
#: Missing chunks that a refusal lists; ``missing_count`` is their number.
MAX_LISTED_MISSING = 1000

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
    """Return the session, completed, or still assembling after ``wait`` (COMPLETE_WAIT_SECONDS) seconds.

    ``described``: attributes of the session that the client declares only now. Raises NotFound, UploadGone, Conflict
    if chunks are missing, ChecksumMismatch (each time), StoreError.
    """
    deadline = monotonic() + (conf.get().complete_wait_seconds if wait is None else wait)
    while True:
        session, lease = await in_transaction(_start_assembly, upload_id, caller, dialect, described)
        if lease is not None:
            _start_task(session, lease, request_id)
        left = deadline - monotonic()
        if session.status == files.UploadStatus.COMPLETED or left <= 0:
            return session
        await _wait_for_progress(upload_id, left)


def _start_task(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    task = asyncio.create_task(_complete(session, lease, request_id), name=f"windlass-assembly-{session.id}")
    _running[session.id] = task
    task.add_done_callback(partial(_forget_task, session.id))


def _forget_task(upload_id: uuid.UUID, task: asyncio.Task[None]) -> None:
    if _running.get(upload_id) is task:
        del _running[upload_id]
    if not task.cancelled():
        task.exception()  # retrieved: it was logged, and a request that waits for the task raises it


async def _wait_for_progress(upload_id: uuid.UUID, seconds: float) -> None:
    """Wait until the session may have changed. Raises what stopped the task, if it runs in this process."""
    task = _running.get(upload_id)
    if task is None:
        await asyncio.sleep(min(POLL_SECONDS, seconds))
        return
    await asyncio.wait({task}, timeout=seconds)
    if task.done() and not task.cancelled():
        task.result()


def _start_assembly(
    upload_id: uuid.UUID, caller: Caller, dialect: str, described: dict[str, Any] | None
) -> tuple[files.UploadSession, files.Lease | None]:
    """Return the session, with its lease if nobody else completes it."""
    session = find_session(upload_id, caller, dialect)
    if session.status == files.UploadStatus.FAILED and session.actual_sha256:
        raise ChecksumMismatch(session.failure, expected=session.expected_sha256, actual=session.actual_sha256)
    files.require_living(session)
    if session.status == files.UploadStatus.COMPLETED:
        return session, None
    if session.status == files.UploadStatus.ACTIVE:
        _require_all_chunks(session)
        if described:
            files.describe_upload(session, described)
    lease = files.start_assembly(session, leases.holder(), leases.LEASE_SECONDS)
    return session, lease


def _require_all_chunks(session: files.UploadSession) -> None:
    layout = files.chunk_layout(session)
    received = set(files.received_chunks(session))
    if len(received) == layout.total:
        return
    missing = [index for index in range(layout.total) if index not in received]
    raise Conflict(
        f"{len(missing)} of {layout.total} chunks are missing.",
        missing_chunks=missing[:MAX_LISTED_MISSING],
        missing_count=len(missing),
    )


async def _complete(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    """Verify and record the file. After an error that may be transient the lease is free for another attempt."""
    task = asyncio.current_task()
    assert task is not None
    try:
        with leases.keeper.holding(session.id, task.cancel):
            await _verify_and_record(session, lease, request_id)
    except (Problem, files.LeaseLost) as error:
        log.info("upload.not_assembled", upload_id=str(session.id), reason=str(error))
    except (StoreError, DatabaseError) as error:
        log.warning("upload.not_assembled", upload_id=str(session.id), reason=str(error))
        raise
    finally:
        await asyncio.shield(in_transaction(files.release_lease, lease))


async def _verify_and_record(session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
    """Hash the object before it is completed if the store can read it then, so that a store that moves it does not have
    to be read; else afterwards."""
    size = files.chunk_layout(session).size
    target = store(session.store)
    await in_thread(target.require_no_writer, session.store_key, session.store_state)
    if target.capabilities.reads_unfinished:
        actual = await _verified_digest(session)
        await _complete_object(session, size)
    else:
        await _complete_object(session, size)
        actual = await _verified_digest(session)
    incremental_hashes().forget(session.id)
    await in_transaction(completion.record_file, lease, session, size=size, sha256=actual, request_id=request_id)


async def _verified_digest(session: files.UploadSession) -> str:
    """Return the SHA-256 (hex) of the object. Raises ChecksumMismatch, with which the session has failed."""
    actual = await incremental_hashes().finish(session)
    announced = completion.announced_checksums(session.expected_sha256, session.expected_sha512)
    try:
        await completion.verify_checksums(store(session.store), session.store_key, actual, announced)
    except ChecksumMismatch as problem:
        incremental_hashes().forget(session.id)
        await in_database(_fail_with_wrong_digest, session, actual, problem.detail)
        raise
    return actual


async def _complete_object(session: files.UploadSession, size: int) -> None:
    chunks = await in_database(files.chunk_store_states, session)
    complete = store(session.store).complete
    durable = syncs_complete_files()
    try:
        await in_thread(complete, session.store_key, session.store_state, size, durable=durable, chunks=chunks)
    except SyncFailed:
        await fail_after_sync_error(session)
        raise


def _fail_with_wrong_digest(session: files.UploadSession, actual: str, reason: str) -> None:
    if files.fail_with_wrong_digest(session, actual, reason):
        store(session.store).discard(session.store_key, session.store_state)
