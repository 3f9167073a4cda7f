"""How files and sessions end: rows first, in one transaction; then their bytes, whose loss of a race leaves an orphan
for the sweep and never a record without bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta

import structlog

from windlass import conf
from windlass.events.api import EventType, recording
from windlass.files import places, spares, uploads
from windlass.files.assets import IllegalTransition, change_status
from windlass.files.models import Blob, FileAsset, UploadSession
from windlass.files.references import StoredObject, let_go
from windlass.files.retention import from_the_release
from windlass.files.states import UNFINISHED_UPLOADS, FileStatus, UploadStatus
from windlass.kernel.clock import now
from windlass.storage.contract import Store, StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)


def bytes_freed_by(asset: FileAsset) -> int:
    """What goes when this file goes now: not the bytes that it shares with another."""
    alone = Blob.objects.filter(files=asset, references=1).values_list("size", flat=True)
    return sum(alone) + sum(asset.renditions.values_list("size", flat=True))


def delete_objects(gone: Iterable[StoredObject]) -> None:
    """No row names them any more: what cannot be deleted now, the sweep finds."""
    for found in gone:
        try:
            found.delete()
        except StoreError as error:
            log.warning("object.left_behind", store=found.store, key=found.key, reason=str(error))


def release(asset: FileAsset) -> list[StoredObject]:
    """Bytes and renditions go, the record stays. Returns what to delete after the transaction commits. Repeatable."""
    with recording() as tell:
        if asset.status == FileStatus.RELEASED:
            return []
        gone = _renditions(asset) + let_go(asset)
        change_status(
            tell, asset, FileStatus.RELEASED, blob=None, gate_passed=False, message="", **from_the_release(asset)
        )
        asset.renditions.all().delete()
    return gone


def delete(asset: FileAsset, *, as_seen: bool = False) -> list[StoredObject]:
    """Record and bytes go. Returns what to delete after the transaction commits.

    ``as_seen``: raises IllegalTransition where it was put into the trash, or taken out, since it was read.
    """
    with recording() as tell:
        rows = FileAsset.objects.select_for_update().filter(id=asset.id)
        if as_seen and not rows.filter(trashed_at=asset.trashed_at).exists():
            raise IllegalTransition(f"file {asset.id} is no longer where it was")
        gone = _renditions(asset) + let_go(asset)
        tell.add(EventType.FILE_DELETED, owner=asset.owner, file_id=asset.id)
        asset.delete()
    return gone


def drop_stale_renditions(asset: FileAsset, kept: Collection[str]) -> list[StoredObject]:
    """Rows of what earlier runs made and this one did not; ``kept``: names whose rows are about to be written.

    Returns what to delete after the transaction commits.
    """
    stale = asset.renditions.filter(run__lt=asset.run).exclude(name__in=kept)
    gone = [StoredObject(made.store, made.key) for made in stale]
    stale.delete()
    return gone


def end_upload(
    session: UploadSession, target: UploadStatus, reason: str = "", *, as_seen: UploadSession | None = None
) -> int | None:
    """Cancel, fail or expire an active session and free its bytes; returns how many, None where it had ended already.

    ``as_seen`` as in ``uploads.end``.
    """
    if not uploads.mark_upload_ended(session.id, target, reason, as_seen=as_seen):
        return None
    return store(session.store).discard(session.store_key, session.store_state)


def _expire(session: UploadSession) -> int | None:
    """``end_upload``; one store that is away must not keep the uploads of the others alive."""
    try:
        return end_upload(session, UploadStatus.EXPIRED, as_seen=session)
    except StoreError as error:
        log.warning("object.left_behind", store=session.store, key=session.store_key, reason=str(error))
        return 0


#: Told of each session with which something is done: what, and how many bytes that frees.
Tell = Callable[[str, UploadSession, int], None]


def _tell_nobody(what: str, session: UploadSession, freed: int) -> None:
    pass


def expire_uploads(
    *, idle_hours: float | None = None, dry_run: bool = False, tell: Tell = _tell_nobody
) -> tuple[int, int]:
    """End every session past its life, or idle for so many hours. Returns (sessions, bytes freed).

    ``dry_run``: nothing is changed, and the figures are what would be.
    """
    ended = total = 0
    for session in uploads.expired_uploads(idle_hours):
        if dry_run:
            freed: int | None = _bytes_of(session)
        else:
            freed = _expire(session)
        if freed is not None:
            ended, total = ended + 1, total + freed
            tell("expired", session, freed)
    return ended, total


def forget_uploads(*, dry_run: bool = False, tell: Tell = _tell_nobody) -> int:
    """Delete the rows of sessions that ended longer ago than they are remembered. Returns how many."""
    horizon = now() - timedelta(hours=conf.get().session_retention_hours)
    forgotten = 0
    for session in uploads.uploads_ended_before(horizon):
        if not dry_run:
            uploads.forget_upload(session.id)
        forgotten += 1
        tell("forgotten", session, 0)
    return forgotten


def _bytes_of(session: UploadSession) -> int:
    try:
        return store(session.store).discardable_size(session.store_key, session.store_state)
    except StoreError:
        return 0  # it is away, or not set up any more: nothing would be freed there


def remove_orphans_everywhere(*, dry_run: bool = False) -> tuple[int, int, int]:
    """``remove_orphans`` in every store that is in use. A store that is away, or not set up any more, is passed over:
    the next sweep may find it. Returns (objects, bytes freed, stores passed over)."""
    objects = freed = passed_over = 0
    for name in places.in_use():
        try:
            found = remove_orphans(store(name), dry_run=dry_run)
        except StoreError as error:
            log.warning("sweep.store_passed_over", store=name, reason=str(error))
            passed_over += 1
        else:
            objects, freed = objects + found[0], freed + found[1]
    return objects, freed, passed_over


def remove_orphans(target: Store, *, older_than_hours: float = 24.0, dry_run: bool = False) -> tuple[int, int]:
    """Delete objects of the store that no row names and that are old enough not to be in the making.

    Returns (objects, bytes freed). ``dry_run``: nothing is deleted, and the figures are what would be.
    """
    horizon = now() - timedelta(hours=older_than_hours)
    objects = freed = 0
    for found in target.objects(unless=lambda key: _is_named(target.name, key)):
        if found.modified_at > horizon or (found.unfinished and _is_being_made(target.name, found.key)):
            continue
        objects += 1
        if dry_run:
            freed += found.size
            continue
        freed += target.clear(found.key) if found.unfinished else target.delete(found.key)
    return objects, freed


def _is_named(store_name: str, key: str) -> bool:
    """Whether a row speaks of it."""
    from windlass.files.models import Rendition

    if _is_being_made(store_name, key):
        return True
    return any(kind.objects.filter(store=store_name, key=key).exists() for kind in (Blob, Rendition))


def _is_being_made(store_name: str, key: str) -> bool:
    """Of what is kept for an object in the making only a living upload speaks, or who moves a file."""
    if spares.is_kept(store_name, key):
        return True
    living = UploadSession.objects.filter(store=store_name, store_key=key, status__in=UNFINISHED_UPLOADS)
    return living.exists()


def _renditions(asset: FileAsset) -> list[StoredObject]:
    return [StoredObject(r.store, r.key) for r in asset.renditions.all()]
