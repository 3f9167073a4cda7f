"""Every byte is in: prove what was announced, then record the file and its first job in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from windlass.events.api import recording
from windlass.executors import in_thread, in_transaction
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.errors import ChecksumMismatch, Problem
from windlass.protocols.digests import Checksum, Proof
from windlass.receiving import digest as digests
from windlass.receiving.admission import check_size, profile_of
from windlass.storage.contract import State, Store
from windlass.storage.registry import store


async def prove(store: Store, key: str, known: str | None, expected: Sequence[Checksum]) -> str | None:
    """The SHA-256 if somebody saw every byte, checked against what was announced. Raises ChecksumMismatch.

    Where nobody saw every byte, or another digest was announced, the stored object is read.
    """
    if not expected:
        return known
    if known is not None and all(each.algorithm == "sha256" for each in expected):
        wrong = [each for each in expected if each.value.hex() != known]
    else:
        known, wrong = await in_thread(_read, store, key, expected)
    for each in wrong:
        raise ChecksumMismatch(
            f"The bytes do not have the {each.algorithm} {each.value.hex()} that was announced; "
            f"their sha256 is {known}. Nothing was stored.",
            expected=each.value.hex(),
            actual=known,
        )
    return known


def announced_by(sha256: str | None, sha512: str | None) -> list[Checksum]:
    """The digests of a session, as ``prove`` expects them."""
    said = {"sha256": sha256, "sha512": sha512}
    return [Checksum(name, bytes.fromhex(value)) for name, value in said.items() if value is not None]


async def complete(
    lease: files.Lease,
    session: files.UploadSession,
    *,
    size: int,
    known: str | None,
    also: Sequence[Checksum] = (),
    last_append_offset: int = 0,
    request_id: str = "",
) -> None:
    """A leased session's object is whole: prove it and record the file. ``known`` is its SHA-256 if somebody saw it,
    ``also`` are digests that it must have beside those that were announced when it began.

    Raises ChecksumMismatch and InvalidField, with which the upload is over, and LeaseLost.
    """
    target = store(session.store)
    try:
        if session.size is None:  # else it was checked when it was said
            check_size(profile_of(session), size)
        expected = [*announced_by(session.expected_sha256, session.expected_sha512), *also]
        sha256 = await prove(target, lease.store_key, known, expected)
    except Problem as problem:
        await in_transaction(files.mark_upload_ended, session.id, files.UploadStatus.FAILED, problem.detail)
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
        asset = files.complete_upload(
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
        _session, asset = files.create_complete_upload(
            tell, new, upload_id=upload_id, key=key, state=state, size=size, sha256=sha256
        )
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, run=asset.run, request_id=request_id)
    return asset


def _read(store: Store, key: str, expected: Sequence[Checksum]) -> tuple[str, list[Checksum]]:
    """The SHA-256 of a stored object, and which digests it does not have."""
    proof = Proof(expected)
    with store.open(key) as source:
        found = digests.hash_file(source, proof)
    failed = proof.failed()
    return found, [each for each in expected if each.algorithm in failed]
