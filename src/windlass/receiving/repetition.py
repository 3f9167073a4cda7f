"""A client that lost the answer to its last request sends that request again. It must get the same answer, and it must
not be able to pass other bytes off as the ones it sent."""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO

from windlass.executors import in_database, in_thread
from windlass.files import api as files
from windlass.kernel.errors import BodyDigestMismatch, PastDeclaredLength, UploadComplete, UploadGone
from windlass.protocols.digests import Proof
from windlass.protocols.intents import Append
from windlass.receiving.source import ClientGone, Source
from windlass.storage.contract import Buffer, ObjectMissing
from windlass.storage.registry import store


async def check(session: files.UploadSession, intent: Append, source: Source) -> None:
    """Return if this is the completing request once more, by offset, length and bytes.

    The body is compared with the stored bytes as it comes. Where an upload ends at its length, an empty body at the
    very end is right too, and one that goes beyond the end is told so.

    Raises UploadComplete, PastDeclaredLength, BodyDigestMismatch.
    """
    offset, by_length = intent.offset, intent.ends is None
    if offset != session.last_append_offset and not (by_length and offset == session.offset):
        raise _other(session, offset)
    if by_length and offset + (intent.body_length or 0) > session.offset:
        raise _beyond(session)
    stored = await in_database(_open, session)
    try:
        await in_thread(stored.seek, offset)
        position, proof = offset, Proof(intent.digests)
        while (buffer := await _read(source)) is not None:
            same = await in_thread(_same, stored, buffer, proof)
            position += len(buffer)
            if by_length and position > session.offset:
                raise _beyond(session)
            if not same:
                raise _other(session, offset)
        if position != session.offset:
            raise _other(session, offset)
        if failed := proof.failed():
            raise BodyDigestMismatch(f"The body does not have the {', '.join(failed)} that came with it.")
    finally:
        await in_thread(stored.close)


def _open(session: files.UploadSession) -> BinaryIO:
    """The bytes that the upload brought, where they lie now: equal content of one owner is stored once, so that they
    may be an earlier file's. Raises UploadGone."""
    for _ in range(2):  # they may be put together between the look and the opening
        asset = files.assets.load(session.file_id) if session.file_id is not None else None
        if session.file_id is not None and asset is None:
            break  # in the trash its bytes are still there, but not for anybody
        blob = asset.blob if asset is not None else None
        name, key = (blob.store, blob.key) if blob is not None else (session.store, session.store_key)
        with suppress(ObjectMissing):
            return store(name).open(key)
    raise UploadGone("This upload is complete and its bytes have been deleted since.")


def _other(session: files.UploadSession, offset: int) -> UploadComplete:
    return UploadComplete(
        f"This upload is complete with {session.offset} bytes, and the request at byte {offset} is not the one that "
        "completed it.",
        expected_offset=session.offset,
        provided_offset=offset,
    )


def _beyond(session: files.UploadSession) -> PastDeclaredLength:
    return PastDeclaredLength(
        f"This upload is complete with {session.offset} bytes; this request goes beyond.", limit=session.offset
    )


async def _read(source: Source) -> Buffer | None:
    try:
        return await source.read()
    except ClientGone:
        return None


def _same(stored: BinaryIO, buffer: Buffer, proof: Proof) -> bool:
    proof.update([buffer])
    return stored.read(len(buffer)) == bytes(buffer)
