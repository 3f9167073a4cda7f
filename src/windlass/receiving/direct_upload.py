"""Direct uploads, which clients send to the store itself: create one, sign its requests, list its parts, cancel it.

No byte passes through this server. A signed request allows one thing: an object under a key made here, for a short
time, of the declared length. ``direct_completion`` makes the file.
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
from windlass.receiving.admission import admit, check_declared_type, profile_of
from windlass.receiving.session import create_session, end_session, find_session
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

#: The ETag that is listed for the parts of a completed upload, whose own ETags are not known any more.
COMPLETED_PART_TAG = "taken"


@dataclass(frozen=True, slots=True)
class CreatedDirectUpload:
    """``signed``: the request that sends the whole file. None for an upload in parts, which are signed one by one."""

    session: files.UploadSession
    key: str
    signed: SignedRequest | None = None


def url_lifetime() -> int:
    """Return the lifetime of a signed URL (seconds)."""
    return conf.get().upload_url_seconds


def admit_direct(intent: CreateDirect, principal: Principal, *, dialect: str) -> files.NewUpload:
    """Return the session to create, checked against everything that is declared.

    Raises NotSupported if the store has no direct uploads, UnsupportedMediaType, FileTooLarge, InvalidField,
    BadRequest.
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


async def create(new: files.NewUpload, intent: CreateDirect) -> CreatedDirectUpload:
    """Create an admitted direct upload. Raises BadRequest, QuotaExceeded, StorageFull, StoreError."""
    part_size = _part_size(direct_store_of(new.store), intent) if intent.in_parts else 0
    session = await create_session(new, files.create_upload, partial(_create_object, part_size, intent.in_parts))
    if intent.in_parts:
        return CreatedDirectUpload(session, key_of(session))
    signed = await in_thread(_sign_single, session, intent, new.profile.min_size)
    return CreatedDirectUpload(session, key_of(session), signed)


async def part_urls(
    upload_id: uuid.UUID, key: str, numbers: Sequence[int], caller: Caller, *, dialect: str
) -> dict[int, str]:
    """Return signed URLs for these parts. Raises NotFound, Conflict, UploadGone, BadRequest, FileTooLarge."""
    session = await in_database(_find_multipart, upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete and takes no more parts.")
    if files.is_extendable(session):
        await in_transaction(files.extend_direct_upload, upload_id, files.profile(session.profile).upload_ttl_hours)
    return await in_thread(_sign_parts, session, numbers)


async def parts(upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str) -> list[UploadedPart]:
    """List the parts that the store has. Raises NotFound, Conflict, UploadGone, StoreError."""
    session = await in_database(_find_multipart, upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        return _completed_parts(session)
    try:
        uploaded = await in_thread(
            direct_store_of(session.store).uploaded_parts, session.store_key, session.store_state
        )
    except ObjectMissing as error:
        raise UploadGone("The store has nothing of this upload any more. Start a new one.") from error
    await in_transaction(files.record_stored_bytes, session.id, sum(part.size for part in uploaded))
    return uploaded


async def abort(upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str) -> None:
    """Cancel an upload and free what the store has of it. Idempotent. Raises NotFound, Conflict, StoreError."""
    session = await in_database(find_direct, upload_id, key, caller, dialect)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete. Its file has a record of its own, which can be deleted.")
    await end_session(session, files.UploadStatus.CANCELLED)


def find_direct(upload_id: uuid.UUID, key: str, caller: Caller, dialect: str) -> files.UploadSession:
    """Return the caller's session in any status, if it has this key. Blocks on the database.

    Raises NotFound, Conflict.
    """
    session = find_session(upload_id, caller, dialect)
    if key != key_of(session):
        raise NotFound(f"The upload {upload_id} has another key.")
    return session


def key_of(session: files.UploadSession) -> str:
    """Return the key under which clients send the object."""
    return direct_store_of(session.store).client_key(session.store_key, session.store_state)


def bucket_of(session: files.UploadSession) -> str:
    return direct_store_of(session.store).bucket


def supports_forms(new: files.NewUpload) -> bool:
    return direct_store_of(new.store).supports_forms


def direct_store_of(name: str) -> DirectStore:
    """Return the store of this name as a DirectStore. Raises NotSupported."""
    target = direct_store(store(name))
    if target is None:
        raise NotSupported(
            "These files are not kept in a store that clients can send to themselves. POST /files/ takes them, by tus, "
            "as a form and otherwise."
        )
    return target


def require_multipart(session: files.UploadSession) -> None:
    """Raises Conflict for an upload that is sent in one request."""
    if "part_size" not in session.store_state:
        raise Conflict("This upload is sent in one request; it has no parts.")


def _find_multipart(upload_id: uuid.UUID, key: str, caller: Caller, dialect: str) -> files.UploadSession:
    session = find_direct(upload_id, key, caller, dialect)
    files.require_living(session)
    require_multipart(session)
    return session


def _create_object(part_size: int, in_parts: bool, target: Store, key: str) -> State:
    direct = direct_store(target)
    assert direct is not None  # ``admit_direct`` has checked it
    return direct.create_multipart(key) | {"part_size": part_size} if in_parts else direct.create_single(key)


def _sign_single(session: files.UploadSession, intent: CreateDirect, min_size: int) -> SignedRequest:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sha256, size = session.expected_sha256, session.size
    if intent.as_form:
        sizes = (min_size, profile_of(session).max_size) if size is None else (size, size)
        return target.sign_form(key, state, seconds=url_lifetime(), sizes=sizes, sha256=sha256)
    assert size is not None
    return target.sign_put(key, state, seconds=url_lifetime(), size=size, sha256=sha256)


def _sign_parts(session: files.UploadSession, numbers: Sequence[int]) -> dict[int, str]:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sizes = {number: _part_length(session, number) for number in numbers}
    if session.size is None:
        _check_part_number(target, profile_of(session), max(numbers))
    return {
        number: target.sign_part(key, state, number, seconds=url_lifetime(), size=size).url
        for number, size in sizes.items()
    }


def _part_size(target: DirectStore, intent: CreateDirect) -> int:
    """Return the size of all parts but the last: the declared one, or the one that Uppy computes. 0: unknown."""
    if intent.size is None:
        return 0
    part_size = intent.part_size or max(target.min_part_size, -(-intent.size // target.max_parts))
    if part_size < min(intent.size, target.min_part_size) or -(-intent.size // part_size) > target.max_parts:
        raise BadRequest(
            f"Parts of {part_size} bytes are not possible: each but the last has {target.min_part_size} at least, and "
            f"there are {target.max_parts} at most.",
            field="part_size",
        )
    return part_size


def _part_length(session: files.UploadSession, number: int) -> int | None:
    """Return the length of part ``number``; None if it is unknown. Raises BadRequest for a part beyond the end."""
    size, part_size = session.size, int(session.store_state["part_size"])
    if size is None:
        return None
    total = max(1, -(-size // part_size))
    if number > total:
        raise BadRequest(f"This upload has {total} parts of {part_size} bytes.", field="partNumber", limit=total)
    return size - (total - 1) * part_size if number == total else part_size


def _check_part_number(target: DirectStore, profile: files.Profile, number: int) -> None:
    """Raises FileTooLarge for a part that exceeds the size limit even if all parts have the minimum size."""
    if (number - 1) * target.min_part_size >= max(profile.max_size, 1):
        raise FileTooLarge(profile.max_size)


def _completed_parts(session: files.UploadSession) -> list[UploadedPart]:
    """List all parts of a completed upload, so that a client that missed the last answer repeats its last request."""
    size, part_size = session.offset, session.store_state["part_size"] or session.offset
    starts = range(0, size, part_size) if size else range(1)
    return [
        UploadedPart(number, COMPLETED_PART_TAG, min(part_size, size - start)) for number, start in enumerate(starts, 1)
    ]
