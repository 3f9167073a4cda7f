"""Uploads that clients send to the store itself: begin, let parts in, tell what is there, give up. No byte of them
passes here; ``taking`` makes files of them.

What a client may do is what was signed for it: under a key of ours, for a short time, of the length that was said.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import BadRequest, Conflict, FileTooLarge, NotFound, NotSupported, UploadGone
from windlass.kernel.principals import Caller, Principal
from windlass.protocols.intents import CreateDirect
from windlass.receiving import layouts
from windlass.receiving.admission import admit, check_declared_type, profile_of
from windlass.receiving.session import create_session
from windlass.storage.contract import (
    DirectStore,
    ObjectMissing,
    SignedRequest,
    State,
    Store,
    UploadedPart,
    direct_store,
)
from windlass.storage.registry import store


@dataclass(frozen=True, slots=True)
class Begun:
    """``invitation``: where it is sent in one request; parts are asked for one by one."""

    session: files.UploadSession
    key: str
    invitation: SignedRequest | None = None


def life() -> int:
    """Of a signed URL (seconds)."""
    return conf.get().upload_url_seconds


def admitted(intent: CreateDirect, principal: Principal, *, dialect: str) -> files.NewUpload:
    """The session to begin, by all that is declared.

    Raises NotSupported where the store lets nobody in, UnsupportedMediaType, FileTooLarge, InvalidField, BadRequest.
    """
    new = admit(intent.description, intent.size, principal, dialect)
    target = direct_store_of(new.store)
    check_declared_type(new.profile, intent.description)
    if intent.in_parts:
        return new
    if intent.size is not None and intent.size > target.max_single_size:
        raise FileTooLarge(target.max_single_size, intent.size, "file, where it comes in one request,")
    if intent.size is None and not intent.as_form:
        raise BadRequest("A request that is no form is signed for a size: say it as metadata[size].", field="size")
    return replace(new, max_size=min(new.profile.max_size, target.max_single_size))


async def begin(new: files.NewUpload, intent: CreateDirect) -> Begun:
    """Raises BadRequest, QuotaExceeded, StorageFull, StoreError."""
    target = direct_store_of(new.store)
    part_size = layouts.part_size(target, intent) if intent.in_parts else 0
    session = await create_session(new, files.create_upload, partial(_make, part_size, intent.in_parts))
    if intent.in_parts:
        return Begun(session, key_of(session))
    return await in_thread(_invited, session, intent, new.profile.min_size)


async def part_urls(
    upload_id: uuid.UUID, key: str, numbers: Sequence[int], caller: Caller, *, dialect: str
) -> dict[int, str]:
    """Where to send these parts. Raises NotFound, Conflict, UploadGone, BadRequest, FileTooLarge."""
    session = await in_database(_in_parts, upload_id, key, caller, dialect)
    if files.is_extendable(session):
        await in_transaction(files.extend_direct_upload, upload_id, files.profile(session.profile).upload_ttl_hours)
    return await in_thread(_signed, session, numbers)


async def parts(upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str) -> list[UploadedPart]:
    """What is at the store. Raises NotFound, Conflict, UploadGone, StoreError."""
    session = await in_database(_of_parts, upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        return layouts.taken_parts(session)
    try:
        found = await in_thread(direct_store_of(session.store).uploaded_parts, session.store_key, session.store_state)
    except ObjectMissing as error:
        raise UploadGone("The store has nothing of this upload any more. Start a new one.") from error
    await in_transaction(files.record_stored_bytes, session.id, sum(part.size for part in found))
    return found


async def abort(upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str) -> None:
    """Give it up and free what the store has of it; again answers the same. Raises NotFound, Conflict."""
    session = await in_database(find, upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete. Its file has a record of its own, which can be deleted.")
    if await in_transaction(files.mark_upload_ended, upload_id, files.UploadStatus.CANCELLED):
        await in_thread(store(session.store).discard, session.store_key, session.store_state)


def find(upload_id: uuid.UUID, key: str, caller: Caller, dialect: str) -> files.UploadSession:
    """The caller's session, whatever its status, if it was begun in this dialect and has this key.

    Raises NotFound, Conflict. Blocks on the database.
    """
    session = files.get_upload(upload_id, caller())
    if session.dialect != dialect:
        raise Conflict(f"This upload was begun as {session.dialect}; it cannot go on as {dialect}.")
    if key != key_of(session):
        raise NotFound(f"The upload {upload_id} has another key.")
    return session


def key_of(session: files.UploadSession) -> str:
    """As clients are told it."""
    return direct_store_of(session.store).client_key(session.store_key, session.store_state)


def bucket_of(session: files.UploadSession) -> str:
    return direct_store_of(session.store).bucket


def takes_forms(new: files.NewUpload) -> bool:
    return direct_store_of(new.store).supports_forms


def direct_store_of(name: str) -> DirectStore:
    """Raises NotSupported."""
    target = direct_store(store(name))
    if target is None:
        raise NotSupported(
            "These files are not kept in a store that clients can send to themselves. POST /files/ takes them, by tus, "
            "as a form and otherwise."
        )
    return target


def _make(part_size: int, in_parts: bool, target: Store, key: str) -> State:
    direct = direct_store(target)
    assert direct is not None  # ``admitted`` saw to that
    return direct.create_multipart(key) | {"part_size": part_size} if in_parts else direct.create_single(key)


def _invited(session: files.UploadSession, intent: CreateDirect, min_size: int) -> Begun:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sha256, size = session.expected_sha256, session.size
    if intent.as_form:
        most = profile_of(session).max_size
        sizes = (min_size, most) if size is None else (size, size)
        invitation = target.sign_form(key, state, seconds=life(), sizes=sizes, sha256=sha256)
    else:
        assert size is not None
        invitation = target.sign_put(key, state, seconds=life(), size=size, sha256=sha256)
    return Begun(session, key_of(session), invitation)


def _of_parts(upload_id: uuid.UUID, key: str, caller: Caller, dialect: str) -> files.UploadSession:
    session = find(upload_id, key, caller, dialect)
    files.require_living(session)
    if "part_size" not in session.store_state:
        raise Conflict("This upload is sent in one request; it has no parts.")
    return session


def _in_parts(upload_id: uuid.UUID, key: str, caller: Caller, dialect: str) -> files.UploadSession:
    session = _of_parts(upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete and takes no more parts.")
    return session


def _signed(session: files.UploadSession, numbers: Sequence[int]) -> dict[int, str]:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sizes = {number: layouts.length(session, number) for number in numbers}
    if session.size is None:
        layouts.must_be_within(target, profile_of(session), max(numbers))
    return {
        number: target.sign_part(key, state, number, seconds=life(), size=size).url for number, size in sizes.items()
    }
