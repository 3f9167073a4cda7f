"""The chunk core: claims that are fenced, incremental hashes, and a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
import uuid
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from windlass.executors import BYTE_THREADS, in_thread
from windlass.files import api as files
from windlass.files.models import UploadChunk
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import ChecksumMismatch, UploadGone
from windlass.protocols.intents import CreateInChunks, Description, PutChunk
from windlass.receiving import chunk_completion, chunked
from windlass.receiving.body import BytesInMemory
from windlass.receiving.digest import IncrementalHashes
from windlass.receiving.writer_threads import close_in_thread, open_in_thread
from windlass.storage.contract import SyncFailed
from windlass.storage.local import LocalStore

T = TypeVar("T")

CALLER = Principal("user:chunks")
SIZE = 1024


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def begin(data: bytes, **described: Any) -> files.UploadSession:
    intent = CreateInChunks(Description(**described), len(data), SIZE)
    return await chunked.create(intent, CALLER, dialect="chunks")


async def put(session: files.UploadSession, index: int, data: bytes) -> chunked.ChunkOutcome:
    body = data[index * SIZE : (index + 1) * SIZE]
    return await chunked.put(PutChunk(session.id, index), lambda: CALLER, BytesInMemory(body), dialect="chunks")


async def complete(session: files.UploadSession) -> files.UploadSession:
    return await chunk_completion.complete(session.id, lambda: CALLER, dialect="chunks", wait=30)


def test_an_expired_claim_is_taken_over_and_its_holder_fenced(database: Path) -> None:
    session = run(begin(bytes(3 * SIZE)))
    first = files.claim_chunk(session, 1, "one", 10)
    assert isinstance(first, files.ChunkClaim)
    assert isinstance(files.claim_chunk(session, 1, "two", 10), files.ClaimedChunk)
    assert isinstance(files.claim_chunk(session, 2, "two", 10), files.ChunkClaim)
    UploadChunk.objects.filter(id=first.id).update(claim_until=now() - timedelta(seconds=1))
    second = files.claim_chunk(session, 1, "two", 10)
    assert isinstance(second, files.ChunkClaim)
    with pytest.raises(files.ClaimLost):
        files.accept_chunk(first, session, SIZE, "aa" * 32, ttl_hours=1)
    files.release_chunk(first)
    files.accept_chunk(second, session, SIZE, "bb" * 32, ttl_hours=1)
    assert files.claim_chunk(session, 1, "three", 10) == files.ReceivedChunk("bb" * 32)
    session.refresh_from_db()
    assert session.offset == SIZE


def test_claims_of_a_restarted_process_are_released_and_fenced(database: Path) -> None:
    session = run(begin(bytes(SIZE)))
    name = f"web-{uuid.uuid4()}"
    old = files.claim_chunk(session, 0, name, 1000)
    assert isinstance(old, files.ChunkClaim)
    assert files.CHUNK_CLAIMS.release_all(name) == 1
    with pytest.raises(files.ClaimLost):
        files.accept_chunk(old, session, SIZE, "aa" * 32, ttl_hours=1)
    assert isinstance(files.claim_chunk(session, 0, "other", 10), files.ChunkClaim)


def test_no_chunk_is_accepted_of_an_upload_that_has_ended(database: Path) -> None:
    session = run(begin(bytes(SIZE)))
    held = files.claim_chunk(session, 0, "one", 10)
    assert isinstance(held, files.ChunkClaim)
    files.mark_upload_ended(session.id, files.UploadStatus.CANCELLED)
    with pytest.raises(files.ClaimLost):
        files.accept_chunk(held, session, SIZE, "aa" * 32, ttl_hours=1)
    assert files.received_chunks(session) == []


def test_a_cancelled_request_leaves_the_place_of_its_chunk_unlocked(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled while its bytes wait for a thread to write them."""
    released, written = threading.Event(), threading.Event()
    open_writer, write_all = chunked._PutOperation._open_writer, chunked._PutOperation._write_all

    async def opens(operation: Any, claim: files.ChunkClaim) -> Any:
        writer = await open_writer(operation, claim)
        busy = [asyncio.ensure_future(in_thread(released.wait)) for _ in range(BYTE_THREADS)]
        await asyncio.sleep(0)  # they have every thread
        current = asyncio.current_task()
        assert current is not None
        asyncio.get_running_loop().call_soon(current.cancel)
        current.add_done_callback(lambda _: (released.set(), busy.clear()))
        return writer

    def writes(*arguments: Any) -> Any:
        try:
            return write_all(*arguments)
        finally:
            written.set()

    async def put_twice() -> None:
        session = await begin(bytes(SIZE))
        with monkeypatch.context() as patched:
            patched.setattr(chunked._PutOperation, "_open_writer", opens)
            patched.setattr(chunked._PutOperation, "_write_all", writes)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(put(session, 0, bytes(SIZE)))
            assert await asyncio.to_thread(written.wait, 20)
        assert not (await put(session, 0, bytes(SIZE))).duplicate

    run(put_twice())


def test_a_writer_is_closed_if_its_request_is_cancelled_while_it_waits_for_a_thread(tmp_path: Path) -> None:
    """Before the writer is open, and before it is closed."""
    store = LocalStore(tmp_path)

    async def cancelled(work: Coroutine[Any, Any, object]) -> None:
        waiting = threading.Event()
        busy = [asyncio.ensure_future(in_thread(waiting.wait)) for _ in range(BYTE_THREADS)]
        await asyncio.sleep(0)  # they have every thread
        task = asyncio.create_task(work)
        asyncio.get_running_loop().call_later(0.05, waiting.set)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.gather(*busy)

    async def write() -> None:
        state = store.create("objects/ab/c")
        await cancelled(open_in_thread(partial(store.open_writer, "objects/ab/c", state)))
        writer = await open_in_thread(partial(store.open_writer, "objects/ab/c", state))
        closed = threading.Event()
        await cancelled(close_in_thread(lambda: (writer.close(), closed.set())))
        assert await asyncio.to_thread(closed.wait, 20)
        store.require_no_writer("objects/ab/c", state)

    run(write())


def test_a_failed_sync_fails_the_whole_upload(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the failed sync has lost is not known, so the whole upload has failed."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    data = os.urandom(2 * SIZE)
    session = run(begin(data))
    run(put(session, 0, data))
    with monkeypatch.context() as broken:
        broken.setattr("windlass.storage.posix_files.os.fdatasync", fail)
        with pytest.raises(SyncFailed):
            run(put(session, 1, data))
    session.refresh_from_db()
    assert (session.status, session.offset) == (files.UploadStatus.FAILED, SIZE)
    with pytest.raises(UploadGone):
        run(put(session, 1, data))
    with pytest.raises(UploadGone):
        run(complete(session))


def test_the_incremental_hash_follows_gaps_and_rereads_evicted_uploads(database: Path) -> None:
    async def play() -> None:
        known = IncrementalHashes(capacity=1)
        first, second = os.urandom(5 * SIZE + 3), os.urandom(3 * SIZE)
        one, two = await begin(first), await begin(second)
        for index in (3, 0, 4, 1, 5):
            await put(one, index, first)
            await known.advance(one)
        follower = known._hashes[one.id]
        assert (follower.chunks, follower.offset) == (2, 2 * SIZE)
        for index in (2, 1, 0):
            await put(two, index, second)
        await known.advance(two)
        assert list(known._hashes) == [two.id]
        await put(one, 2, first)
        assert await known.finish(one) == hashlib.sha256(first).hexdigest()
        assert await known.finish(two) == hashlib.sha256(second).hexdigest()

    run(play())


def test_hashed_bytes_are_not_read_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, ``complete`` reads nothing but what came last."""
    data = os.urandom(8 * SIZE)

    async def play() -> files.UploadSession:
        session = await begin(data, sha256=hashlib.sha256(data).hexdigest())
        for index in range(8):
            await put(session, index, data)
            await chunked.incremental_hashes().advance(session)
        assert chunked.incremental_hashes()._hashes[session.id].offset == len(data)
        monkeypatch.setattr("windlass.receiving.digest._hash_stored_bytes", None)
        return await complete(session)

    assert run(play()).status == files.UploadStatus.COMPLETED


def test_a_wrong_digest_fails_every_completion_and_deletes_the_bytes(database: Path) -> None:
    data = os.urandom(SIZE + 1)

    async def play() -> files.UploadSession:
        session = await begin(data, sha256="ab" * 32)
        await put(session, 1, data)
        await put(session, 0, data)
        for _ in range(2):
            with pytest.raises(ChecksumMismatch):
                await complete(session)
        return session

    session = run(play())
    session.refresh_from_db()
    assert session.actual_sha256 == hashlib.sha256(data).hexdigest()
    assert session.file_id is None


def test_an_object_being_assembled_is_no_orphan(database: Path) -> None:
    from windlass.storage.registry import store

    data = os.urandom(SIZE)
    session = run(begin(data))
    run(put(session, 0, data))
    assert files.start_assembly(session, "somebody", 10) is not None
    files.delete_orphans(store(), older_than_hours=-1)
    assert store().info(session.store_key).size == SIZE
    with pytest.raises(UploadGone):
        files.take_lease(session.id, "other", 1)
    assert files.mark_upload_ended(session.id, files.UploadStatus.EXPIRED)
