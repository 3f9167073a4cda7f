"""Complete an upload: verify the announced checksums, then record the file and its first job in one transaction.

The replay check decides whether a request repeats the one that completed its upload. A client that lost the answer to
its last request sends that request again and must get the same answer. It must not be able to pass other bytes off as
the ones that it sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from windlass.events.api import recording
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.problem_types import (
    BodyDigestMismatch,
    ChecksumMismatch,
    PastDeclaredLength,
    Problem,
    UploadComplete,
    UploadGone,
)
from windlass.protocols.digests import Checksum, Proof
from windlass.protocols.intents import Append
from windlass.receiving.admission import check_size, profile_of
from windlass.receiving.body import ByteSource, ClientGone
from windlass.receiving.digest import READ_SIZE
from windlass.receiving.session import fail_session
from windlass.storage.contract import Buffer, ObjectMissing, Store
from windlass.storage.registry import store


def announced_checksums(sha256: str | None, sha512: str | None) -> list[Checksum]:
    """Return the digests (hex) announced for a session as checksums."""
    announced = {"sha256": sha256, "sha512": sha512}
    return [Checksum(name, bytes.fromhex(value)) for name, value in announced.items() if value is not None]


async def verify_checksums(store: Store, key: str, known: str | None, expected: Sequence[Checksum]) -> str | None:
    """Compare a stored object with the announced checksums; return its SHA-256 (hex) if it is known now.

    ``known``: its SHA-256 if every byte was hashed while it was received. The object is read if that does not suffice.
    Raises ChecksumMismatch.
    """
    if not expected:
        return known
    if known is not None and all(each.algorithm == "sha256" for each in expected):
        wrong = [each for each in expected if each.value.hex() != known]
    else:
        known, wrong = await in_thread(_hash_object, store, key, expected)
    for each in wrong:
        raise ChecksumMismatch(
            f"The bytes do not have the {each.algorithm} {each.value.hex()} that was announced; "
            f"their sha256 is {known}. Nothing was stored.",
            expected=each.value.hex(),
            actual=known,
        )
    return known


async def complete_upload(
    lease: files.Lease,
    session: files.UploadSession,
    *,
    size: int,
    known: str | None,
    upload_digests: Sequence[Checksum] = (),
    last_append_offset: int = 0,
    request_id: str = "",
) -> None:
    """Verify a leased session whose object is complete, and record its file.

    ``known``: as in ``verify_checksums``. ``upload_digests``: checksums besides those that were announced on creation.
    Raises ChecksumMismatch and InvalidField, with which the session has failed, LeaseLost, QuotaExceeded, StoreError.
    """
    try:
        if session.size is None:  # otherwise it was checked when it was declared
            check_size(profile_of(session), size)
        expected = [*announced_checksums(session.expected_sha256, session.expected_sha512), *upload_digests]
        sha256 = await verify_checksums(store(session.store), lease.store_key, known, expected)
    except Problem as problem:
        await fail_session(session, problem.detail)
        raise
    await in_transaction(
        record_file,
        lease,
        session,
        size=size,
        sha256=sha256,
        last_append_offset=last_append_offset,
        request_id=request_id,
    )


def record_file(
    lease: files.Lease,
    session: files.UploadSession,
    *,
    size: int,
    sha256: str | None,
    last_append_offset: int = 0,
    request_id: str = "",
) -> files.FileAsset:
    """End the session and create its file and intake job, in one transaction. Raises LeaseLost, QuotaExceeded."""
    with recording() as recorder:
        asset = files.complete_upload(
            recorder, lease, session, size=size, sha256=sha256, last_append_offset=last_append_offset
        )
        cost = jobs.cost_class(asset.size)
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, cost=cost, run=asset.run, request_id=request_id, is_new_file=True)
    session.status = files.UploadStatus.COMPLETED
    session.offset = session.size = size
    session.file_id = asset.id
    return asset


def _hash_object(store: Store, key: str, expected: Sequence[Checksum]) -> tuple[str, list[Checksum]]:
    """Return the SHA-256 of a stored object, and the checksums that it does not have."""
    digest, proof = hashlib.sha256(), Proof(expected)
    with store.open(key) as source:
        while block := source.read(READ_SIZE):
            digest.update(block)
            proof.update([block])
    failed = proof.failed()
    return digest.hexdigest(), [each for each in expected if each.algorithm in failed]


async def check_replay(session: files.UploadSession, intent: Append, source: ByteSource) -> None:
    """Return if this request has the offset, length and bytes of the one that completed the upload.

    The body is compared with the stored bytes while it arrives. Where the upload ends at its declared length, an empty
    body at its end is accepted too, and a body that goes beyond the end is PastDeclaredLength.

    Raises UploadComplete, PastDeclaredLength, BodyDigestMismatch, UploadGone.
    """
    offset, by_length = intent.offset, intent.completes is None
    if offset != session.last_append_offset and not (by_length and offset == session.offset):
        raise _not_a_replay(session, offset)
    if by_length and offset + (intent.body_length or 0) > session.offset:
        raise _beyond_end(session)
    stored = await in_database(_open_stored_bytes, session)
    try:
        await in_thread(stored.seek, offset)
        position, proof = offset, Proof(intent.body_digests)
        with suppress(ClientGone):
            while (buffer := await source.read()) is not None:
                equal = await in_thread(_equals_stored, stored, buffer, proof)
                position += len(buffer)
                if by_length and position > session.offset:
                    raise _beyond_end(session)
                if not equal:
                    raise _not_a_replay(session, offset)
        if position != session.offset:
            raise _not_a_replay(session, offset)
        if failed := proof.failed():
            raise BodyDigestMismatch(f"The body does not have the {', '.join(failed)} that came with it.")
    finally:
        await in_thread(stored.close)


def _open_stored_bytes(session: files.UploadSession) -> BinaryIO:
    """Open the uploaded bytes where they are stored now. Raises UploadGone.

    Identical content of one owner is stored once, so they may be in the object of an earlier file.
    """
    for _ in range(2):  # they may be deduplicated between reading the row and opening the object
        asset = files.load_file(session.file_id) if session.file_id is not None else None
        if session.file_id is not None and asset is None:
            break  # it is deleted, or in the trash, whose bytes are not served
        blob = asset.blob if asset is not None else None
        name, key = (blob.store, blob.key) if blob is not None else (session.store, session.store_key)
        with suppress(ObjectMissing):
            return store(name).open(key)
    raise UploadGone("This upload is complete and its bytes have been deleted since.")


def _not_a_replay(session: files.UploadSession, offset: int) -> UploadComplete:
    return UploadComplete(
        f"This upload is complete with {session.offset} bytes, and the request at byte {offset} is not the one that "
        "completed it.",
        expected_offset=session.offset,
        provided_offset=offset,
    )


def _beyond_end(session: files.UploadSession) -> PastDeclaredLength:
    return PastDeclaredLength(
        f"This upload is complete with {session.offset} bytes; this request goes beyond.", limit=session.offset
    )


def _equals_stored(stored: BinaryIO, buffer: Buffer, proof: Proof) -> bool:
    proof.update([buffer])
    return stored.read(len(buffer)) == bytes(buffer)
