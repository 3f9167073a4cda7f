"""What every kind of upload shares: create, find, refuse, hold and fail an upload session, and report its state."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from windlass.executors import in_thread, in_thread_then_transaction, in_transaction
from windlass.files import api as files
from windlass.kernel.ids import new_id
from windlass.kernel.object_keys import object_key
from windlass.kernel.principals import Caller
from windlass.kernel.problem_types import Conflict, PastDeclaredLength, Problem, UploadGone, UploadLocked
from windlass.protocols.intents import UploadState
from windlass.receiving.disk_space import require_free_space
from windlass.receiving.durability import syncs_complete_files
from windlass.receiving.lease import keeper
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import State, Store, StoreError, SyncFailed
from windlass.storage.registry import store

Created = TypeVar("Created", bound="files.UploadSession | None")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of an upload after a request. ``declared``: the length that its bytes were limited to, if any."""

    state: UploadState
    end: TransferEnd = TransferEnd.BODY_ENDED
    declared: int | None = None


def state_of(session: files.UploadSession) -> UploadState:
    """Return what a dialect needs to know of the session for its reply."""
    complete = session.status == files.UploadStatus.COMPLETED
    profile = files.profiles().get(session.profile)  # None: it was removed from the settings since
    limits = [each for each in (profile.max_size if profile else None, session.max_size) if each is not None]
    return UploadState(
        upload_id=session.id,
        offset=session.offset,
        size=session.size,
        complete=complete,
        client_metadata=session.client_metadata,
        expires_at=None if complete else session.expires_at,
        file_id=session.file_id,
        max_size=min(limits, default=None),
        min_size=profile.min_size if profile else 0,
        concat=session.concat,
    )


async def create_session(
    new: files.NewUpload, insert: Callable[..., Created], create_object: Callable[[Store, str], State] | None = None
) -> Created:
    """Create the stored object, then the session's row; return what ``insert`` returns.

    ``create_object`` replaces the creation of an object that is written by this server. If ``insert`` returns None or
    raises a Problem, the object is deleted again. Raises StorageFull, StoreError, and what ``insert`` raises, such as
    QuotaExceeded.
    """
    await require_free_space(new.store)
    upload_id, target = new_id(), store(new.store)
    key = object_key(upload_id)
    if create_object is None:
        at_most = new.profile.max_size if new.size is None else new.size
        create_object = partial(_create_object, at_most=at_most, chunk_size=new.chunk_size)
    created: list[State] = []

    def create() -> None:
        created.append(create_object(target, key))

    def record(_: None) -> Created:
        return insert(new, upload_id=upload_id, key=key, state=created[0])

    try:
        session = await in_thread_then_transaction(create, record)
    except Problem:
        if created:
            await in_thread(target.discard, key, created[0])
        raise
    if session is None:
        await in_thread(target.discard, key, created[0])
    return session


def _create_object(target: Store, key: str, *, at_most: int, chunk_size: int | None) -> State:
    return target.create(key, durable=syncs_complete_files(), at_most=at_most, chunk_size=chunk_size)


def find_session(upload_id: uuid.UUID, caller: Caller, dialect: str | None = None) -> files.UploadSession:
    """Return the caller's session in any status. With a ``dialect`` it must have been created in that dialect.

    Blocks on the database. Raises NotFound, Conflict.
    """
    session = files.get_upload(upload_id, caller())
    if dialect is not None:
        require_dialect(session, dialect)
    return session


def require_dialect(session: files.UploadSession, dialect: str) -> None:
    """Raises Conflict for a session that was created in another dialect."""
    if session.dialect != dialect:
        raise Conflict(f"This upload was created as {session.dialect}; it cannot be continued as {dialect}.")


def find_living_session(upload_id: uuid.UUID, caller: Caller) -> files.UploadSession:
    """Return the caller's session if it takes bytes or is complete. Blocks on the database.

    Raises NotFound, UploadGone.
    """
    session = find_session(upload_id, caller)
    files.require_living(session)
    return session


def leased_session(lease: files.Lease) -> files.UploadSession:
    """Return the session of a lease. Blocks on the database. Raises ``lost_lease`` if the lease is no longer valid."""
    session = files.leased_upload(lease)
    if session is None:
        raise lost_lease(lease.upload_id)
    return session


def lost_lease(upload_id: uuid.UUID) -> UploadGone | UploadLocked:
    """Return why a request lost the lease of this upload. Blocks on the database."""
    if has_ended_without_file(upload_id):
        return UploadGone("This upload was ended while this request was sending to it. Start a new one.")
    return UploadLocked("Another request has taken this upload over. Ask for its offset and go on from there.")


def has_ended_without_file(upload_id: uuid.UUID) -> bool:
    """Whether the session is cancelled, failed, expired or deleted. Blocks on the database."""
    session = files.load_upload(upload_id)
    return session is None or session.status not in (*files.UNFINISHED_UPLOADS, files.UploadStatus.COMPLETED)


def past_declared_length(size: int) -> PastDeclaredLength:
    return PastDeclaredLength(f"The upload was declared with {size} bytes; this request goes beyond.", limit=size)


@asynccontextmanager
async def holding_lease(
    session: files.UploadSession,
    lease: files.Lease,
    request_stop: Callable[[], None],
    *,
    reserved: Callable[[], int | None] = lambda: None,
) -> AsyncIterator[None]:
    """Renew the lease inside; give it back if the operation raises. An operation that succeeds ends the lease itself.

    ``request_stop`` is called when another request wants the lease. ``reserved``: the quota reservation to go back to.
    If the operation raises SyncFailed, the session fails.
    """
    try:
        with keeper.holding(session.id, request_stop):
            yield
    except SyncFailed:
        await fail_after_sync_error(session)
        raise
    except BaseException:  # also if the request is cancelled: the next one must not wait for the lease to expire
        await asyncio.shield(in_transaction(files.release_lease, lease, reserved()))
        raise


async def fail_after_sync_error(session: files.UploadSession) -> None:
    """End a session whose bytes could not be made durable: no later sync can prove that they are."""
    try:
        await fail_session(session, "Its bytes could not be made durable.")
    except StoreError as error:  # the sweep deletes the object
        log.warning("object.left_behind", store=session.store, key=session.store_key, reason=str(error))


async def fail_session(session: files.UploadSession, reason: str) -> None:
    """End a session as failed and free its bytes. Does nothing if it has ended already. Raises StoreError."""
    await end_session(session, files.UploadStatus.FAILED, reason)


async def end_session(session: files.UploadSession, status: files.UploadStatus, reason: str = "") -> bool:
    """End a session that is not complete and free its bytes. False if it had ended already. Raises StoreError."""
    ended = await in_transaction(files.mark_upload_ended, session.id, status, reason)
    if ended:
        await in_thread(store(session.store).discard, session.store_key, session.store_state)
    return ended
