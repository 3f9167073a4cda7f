"""Release and delete files, expire and delete upload sessions, delete orphaned objects.

Rows change first, in one transaction; then bytes are deleted. A crash in between leaves an orphan for the sweep, never
a record without bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import structlog
from django.db.models import PROTECT, RESTRICT, ProtectedError, RestrictedError
from django.db.models.deletion import Collector

from windlass import conf
from windlass.database.connection import connection
from windlass.events.api import EventType, recording
from windlass.files import uploads
from windlass.files.assets import IllegalTransition, change_status
from windlass.files.backups import is_backup_running
from windlass.files.blobs import StoredObject, drop_reference, stores_in_use
from windlass.files.entity_graph import entity_graph
from windlass.files.models import Blob, FileAsset, Rendition, UploadSession
from windlass.files.move import is_retained
from windlass.files.retention import columns_of_released_file
from windlass.files.states import UNFINISHED_UPLOADS, FileStatus, UploadStatus
from windlass.files.text_index import text_index
from windlass.kernel.clock import now
from windlass.kernel.problem_types import FileInUse
from windlass.storage.contract import Store, StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)


def bytes_freed_by(asset: FileAsset) -> int:
    """Bytes that deleting this file would free: without those that it shares with another."""
    alone = Blob.objects.filter(files=asset, references=1).values_list("size", flat=True)
    return sum(alone) + sum(asset.renditions.values_list("size", flat=True))


def release_file(asset: FileAsset) -> list[StoredObject]:
    """Release bytes and renditions, keep the record. Return the objects to delete after the commit. Repeatable."""
    with recording() as recorder:
        if asset.status == FileStatus.RELEASED:
            return []
        gone = _renditions(asset) + drop_reference(asset)
        columns = {"blob": None, "gate_passed": False, "message": ""} | columns_of_released_file(asset)
        change_status(recorder, asset, FileStatus.RELEASED, **columns)
        asset.renditions.all().delete()
        index = text_index()
        if index is not None:
            index.remove(asset.id)
        graph = entity_graph()
        if graph is not None:
            graph.remove(asset.id)
    return gone


def delete_file(asset: FileAsset, *, unless_moved: bool = False) -> list[StoredObject]:
    """Delete record and renditions, release the bytes. Return the objects to delete after the commit.

    ``unless_moved``: raise IllegalTransition if the file was moved to or out of the trash since ``asset`` was read.
    Raises FileInUse.
    """
    with recording() as recorder:
        rows = FileAsset.objects.select_for_update().filter(id=asset.id)
        if unless_moved and not rows.filter(trashed_at=asset.trashed_at).exists():
            raise IllegalTransition(f"file {asset.id} was moved to or out of the trash")
        require_unprotected(asset)
        gone = _renditions(asset) + drop_reference(asset)
        recorder.add(EventType.FILE_DELETED, owner=asset.owner, file_id=asset.id)
        asset.delete()
    return gone


def require_unprotected(asset: FileAsset) -> None:
    """Raises FileInUse where a record of the project refers to the file and forbids its deletion (``on_delete``)."""
    if not _is_protected_by_models():
        return
    try:
        Collector(using=connection().alias, origin=asset).collect([asset])
    except (ProtectedError, RestrictedError) as error:
        raise FileInUse(f"This file is used by {_described(error)}. Remove it there, then delete it.") from error


@cache
def _is_protected_by_models() -> bool:
    """Whether any model of this process could forbid the deletion of a file."""
    related = FileAsset._meta.get_fields(include_hidden=True)
    return any(getattr(field, "on_delete", None) in (PROTECT, RESTRICT) for field in related)


def _described(error: ProtectedError | RestrictedError) -> str:
    records = error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
    counts = Counter(str(record._meta.verbose_name) for record in records)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def postpone_deletion(asset: FileAsset) -> None:
    """Let an expired file that is in use expire again after a day, so that the sweep gets to the others."""
    later = now() + timedelta(days=1)
    of_file = FileAsset.objects.filter(id=asset.id)
    of_file.filter(expires_at__lt=now()).update(expires_at=later)
    of_file.filter(trash_until__lt=now()).update(trash_until=later)


def delete_renditions_except(asset: FileAsset, kept: Collection[str]) -> list[StoredObject]:
    """Delete rows of renditions of earlier runs. ``kept``: names whose rows are about to be written.

    Return the objects to delete after the commit.
    """
    stale = asset.renditions.filter(run__lt=asset.run).exclude(name__in=kept)
    gone = [StoredObject(rendition.store, rendition.key) for rendition in stale]
    stale.delete()
    return gone


def end_upload(
    session: UploadSession, target: UploadStatus, reason: str = "", *, as_seen: UploadSession | None = None
) -> int | None:
    """Cancel, fail or expire an active session and delete its bytes. Return how many; None if it had ended already.

    ``as_seen`` as in ``uploads.mark_upload_ended``.
    """
    if not uploads.mark_upload_ended(session.id, target, reason, as_seen=as_seen):
        return None
    return store(session.store).discard(session.store_key, session.store_state)


def _expire(session: UploadSession) -> int | None:
    """``end_upload`` that tolerates an unavailable store, so that uploads of other stores expire."""
    try:
        return end_upload(session, UploadStatus.EXPIRED, as_seen=session)
    except StoreError as error:
        log.warning("object.left_behind", store=session.store, key=session.store_key, reason=str(error))
        return 0


#: Called with each session that is changed: what was done, the session, the bytes that this freed.
OnChange = Callable[[str, UploadSession, int], None]


@dataclass(frozen=True, slots=True)
class CleanedUploads:
    """How many sessions expired, the bytes that this freed, and how many rows of ended sessions were deleted."""

    expired: int
    bytes_freed: int
    deleted: int


def clean_up_uploads(
    *, idle_hours: float | None = None, dry_run: bool = False, on_change: OnChange = lambda what, session, freed: None
) -> CleanedUploads:
    """Expire sessions past their end, or idle for ``idle_hours``; delete the rows of those that ended more than
    SESSION_RETENTION_HOURS ago.

    ``dry_run``: change nothing; the figures are what would be.
    """
    expired = bytes_freed = deleted = 0
    for session in uploads.expired_uploads(idle_hours):
        freed = _bytes_of(session) if dry_run else _expire(session)
        if freed is not None:
            expired, bytes_freed = expired + 1, bytes_freed + freed
            on_change("expired", session, freed)
    horizon = now() - timedelta(hours=conf.get().session_retention_hours)
    for session in uploads.uploads_ended_before(horizon):
        if not dry_run:
            uploads.forget_upload(session.id)
        deleted += 1
        on_change("forgotten", session, 0)
    return CleanedUploads(expired, bytes_freed, deleted)


def _bytes_of(session: UploadSession) -> int:
    try:
        return store(session.store).discardable_size(session.store_key, session.store_state)
    except StoreError:
        return 0  # it is unavailable or no longer configured: nothing would be freed there


def delete_orphans_in_all_stores(*, dry_run: bool = False) -> tuple[int, int, int]:
    """``delete_orphans`` in every store in use. Return (objects, bytes freed, stores skipped).

    A store that is unavailable or no longer configured is skipped until the next sweep.
    """
    objects = freed = skipped = 0
    for name in stores_in_use():
        try:
            deleted = delete_orphans(store(name), dry_run=dry_run)
        except StoreError as error:
            log.warning("sweep.store_skipped", store=name, reason=str(error))
            skipped += 1
        else:
            objects, freed = objects + deleted[0], freed + deleted[1]
    return objects, freed, skipped


def delete_orphans(target: Store, *, older_than_hours: float = 24.0, dry_run: bool = False) -> tuple[int, int]:
    """Delete objects of the store that no row names and that are too old to be still written; none while a backup runs.

    Return (objects, bytes freed). ``dry_run``: delete nothing; the figures are what would be deleted.
    """
    horizon = now() - timedelta(hours=older_than_hours)
    objects = freed = 0
    for item in target.objects(unless=lambda key: _is_named(target.name, key)):
        if item.modified_at > horizon or (item.unfinished and _is_being_written(target.name, item.key)):
            continue
        objects += 1
        if dry_run:
            freed += item.size
            continue
        if is_backup_running():
            return objects - 1, freed
        freed += target.clear(item.key) if item.unfinished else target.delete(item.key)
    return objects, freed


def _is_named(store_name: str, key: str) -> bool:
    named = any(kind.objects.filter(store=store_name, key=key).exists() for kind in (Blob, Rendition))
    return named or _is_being_written(store_name, key) or Blob.objects.filter(store=store_name, key=key).exists()


def _is_being_written(store_name: str, key: str) -> bool:
    """Whether an active upload or a move of a file writes this object."""
    active = UploadSession.objects.filter(store=store_name, store_key=key, status__in=UNFINISHED_UPLOADS)
    return is_retained(store_name, key) or active.exists()


def _renditions(asset: FileAsset) -> list[StoredObject]:
    return [StoredObject(r.store, r.key) for r in asset.renditions.all()]
