"""Asking for one upload out of others (tus's concatenation): who may, of which parts, and once for all."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from dataclasses import replace

from windlass.executors import in_database
from windlass.files import api as files
from windlass.kernel.errors import Forbidden, InvalidField, NotFound, UploadGone
from windlass.kernel.principals import Principal
from windlass.protocols.intents import Concatenate
from windlass.receiving import joining
from windlass.receiving.admission import admit
from windlass.receiving.session import Outcome, create_session, state_of

#: How long the request that asks for a join waits for its end before it is answered (seconds).
WAIT_SECONDS = 20.0


async def concatenate(intent: Concatenate, principal: Principal, *, dialect: str, request_id: str = "") -> Outcome:
    """One upload out of others. The same one asked for again is the same one.

    Raises NotFound for a part that is missing or another's, InvalidField, FileTooLarge, QuotaExceeded, StorageFull,
    ChecksumMismatch, StoreError.
    """
    if principal.grant is not None:
        raise Forbidden("A grant is for one upload; one made of others takes several.")
    new = await in_database(_admit, intent, principal, dialect)
    session = await in_database(files.find_concatenation, new.concat_key) or await _begin(new)
    if session.status == files.UploadStatus.ACTIVE:
        await asyncio.wait({(task := joining.start(session.id, request_id))}, timeout=WAIT_SECONDS)
        if task.done():
            task.result()
        session = await in_database(_must_be_there, session.id)
    return Outcome(state_of(session))


def _admit(intent: Concatenate, principal: Principal, dialect: str) -> files.NewUpload:
    """The session to begin; its parts are the caller's own. Blocks on the database."""
    key = _key_of(intent, principal)
    if files.find_concatenation(key) is None:
        named = files.uploads_by_id(intent.parts)
        for part in set(intent.parts):
            if part not in named or named[part].owner != principal.owner:
                raise NotFound(f"There is no upload {part} of this caller's own.")
            if not named[part].is_partial:
                raise InvalidField(f"The upload {part} is no partial upload, and cannot be joined with others.")
    known = files.living_partial_uploads(intent.parts) or []
    sizes = [part.size for part in known]
    size = sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
    new = admit(intent.description, size, principal, dialect)
    return replace(new, concat=intent.header_value, parts=intent.parts, concat_key=key)


def _key_of(intent: Concatenate, principal: Principal) -> str:
    """The same for the same owner, parts and description."""
    words = [principal.owner, intent.description.profile, intent.description.client_metadata or ""]
    return hashlib.sha256("\0".join([*words, *map(str, intent.parts)]).encode()).hexdigest()


async def _begin(new: files.NewUpload) -> files.UploadSession:
    made = await create_session(new, files.create_concatenation)
    if made is not None:
        return made
    found = await in_database(files.find_concatenation, new.concat_key)
    if found is None:
        raise UploadGone("The same upload was begun and ended a moment ago.")
    return found


def _must_be_there(upload_id: uuid.UUID) -> files.UploadSession:
    session = files.load_upload(upload_id)
    if session is None:
        raise UploadGone("This upload was deleted while it was joined.")
    files.require_living(session)
    return session
