"""Every byte is in: prove what was announced, then record the file and its first job in one transaction."""

from __future__ import annotations

import uuid

from windlass.events.api import recording
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.errors import ChecksumMismatch
from windlass.receiving import digest as digests
from windlass.receiving.offload import in_thread
from windlass.storage.contract import State, Store


async def prove(store: Store, key: str, known: str | None, expected: str | None) -> str | None:
    """The SHA-256 if somebody saw every byte, checked against what was announced. Raises ChecksumMismatch.

    Where one was announced and nobody saw every byte, the stored object is read.
    """
    if expected is None:
        return known
    actual = known or await in_thread(_read, store, key)
    if actual != expected:
        raise ChecksumMismatch(
            f"The bytes have the SHA-256 {actual}; {expected} was announced. Nothing was stored.",
            expected=expected,
            actual=actual,
        )
    return actual


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


def _read(store: Store, key: str) -> str:
    with store.open(key) as source:
        return digests.of_file(source)
