"""Every byte is in: prove what was announced, then record the file and its first job in one transaction."""

from __future__ import annotations

import hashlib
import uuid

from windlass.events.api import recording
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.errors import ChecksumMismatch, Problem
from windlass.protocols.digests import Hash
from windlass.receiving import digest as digests
from windlass.receiving.admission import check_size, profile_of
from windlass.receiving.offload import in_thread, in_transaction
from windlass.storage.contract import State, Store
from windlass.storage.registry import store


async def prove(
    store: Store, key: str, known: str | None, expected: str | None, expected_sha512: str | None = None
) -> str | None:
    """The SHA-256 if somebody saw every byte, checked against what was announced. Raises ChecksumMismatch.

    Where one was announced and nobody saw every byte, the stored object is read; a SHA-512 always is.
    """
    if expected_sha512 is not None or (expected is not None and known is None):
        sha512 = hashlib.sha512()
        known = await in_thread(_read, store, key, sha512)
        _must_be("SHA-512", expected_sha512, sha512.hexdigest())
    _must_be("SHA-256", expected, known)
    return known


def _must_be(name: str, expected: str | None, actual: str | None) -> None:
    if expected is not None and actual != expected:
        raise ChecksumMismatch(
            f"The bytes have the {name} {actual}; {expected} was announced. Nothing was stored.",
            expected=expected,
            actual=actual,
        )


async def complete(
    lease: files.Lease,
    session: files.UploadSession,
    *,
    size: int,
    known: str | None,
    last_append_offset: int = 0,
    request_id: str = "",
) -> None:
    """A leased session's object is whole: prove it and record the file. ``known`` is its SHA-256 if somebody saw it.

    Raises ChecksumMismatch and InvalidField, with which the upload is over, and LeaseLost.
    """
    target = store(session.store)
    try:
        if session.size is None:  # else it was checked when it was said
            check_size(profile_of(session), size)
        sha256 = await prove(target, lease.store_key, known, session.expected_sha256, session.expected_sha512)
    except Problem as problem:
        await in_transaction(files.uploads.end, session.id, files.UploadStatus.FAILED, problem.detail)
        await in_thread(target.discard, lease.store_key, lease.state)
        raise
    await in_transaction(
        record,
        lease,
        session,
        size=size,
        sha256=sha256,
        last_append_offset=last_append_offset,
        request_id=request_id,
    )


def record(
    lease: files.Lease,
    session: files.UploadSession,
    *,
    size: int,
    sha256: str | None,
    last_append_offset: int = 0,
    request_id: str = "",
) -> files.FileAsset:
    """The session ends, the file and its intake job begin: one transaction. Raises LeaseLost."""
    with recording() as tell:
        asset = files.uploads.complete(
            tell, lease, session, size=size, sha256=sha256, last_append_offset=last_append_offset
        )
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, run=asset.run, request_id=request_id)
    session.status = files.UploadStatus.COMPLETED
    session.offset = session.size = size
    session.file_id = asset.id
    return asset


def record_whole(
    new: files.NewUpload,
    *,
    upload_id: uuid.UUID,
    key: str,
    state: State,
    size: int,
    sha256: str | None,
    request_id: str,
) -> files.FileAsset:
    """Session, file and intake job of bytes that came whole: one transaction."""
    with recording() as tell:
        _session, asset = files.uploads.create_whole(
            tell, new, upload_id=upload_id, key=key, state=state, size=size, sha256=sha256
        )
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, run=asset.run, request_id=request_id)
    return asset


def _read(store: Store, key: str, sha512: Hash) -> str:
    with store.open(key) as source:
        return digests.of_file(source, sha512)
