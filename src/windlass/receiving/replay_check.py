"""Decide whether a request repeats the one that completed its upload.

A client that lost the answer to its last request sends that request again and must get the same answer. It must not be
able to pass other bytes off as the ones that it sent.
"""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO

from windlass.executors import in_database, in_thread
from windlass.files import api as files
from windlass.kernel.errors import BodyDigestMismatch, PastDeclaredLength, UploadComplete, UploadGone
from windlass.protocols.digests import Proof
from windlass.protocols.intents import Append
from windlass.receiving.body import ByteSource, ClientGone
from windlass.storage.contract import Buffer, ObjectMissing
from windlass.storage.registry import store


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
        while (buffer := await _read(source)) is not None:
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


async def _read(source: ByteSource) -> Buffer | None:
    with suppress(ClientGone):
        return await source.read()
    return None


def _equals_stored(stored: BinaryIO, buffer: Buffer, proof: Proof) -> bool:
    proof.update([buffer])
    return stored.read(len(buffer)) == bytes(buffer)
