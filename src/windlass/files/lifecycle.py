"""How files and sessions end: rows first, in one transaction; then their bytes, whose loss of a race leaves an orphan
for the sweep and never a record without bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F

from windlass import conf
from windlass.events.api import EventType, recording
from windlass.files import uploads
from windlass.files.assets import move
from windlass.files.models import Blob, FileAsset, UploadSession
from windlass.files.states import LIVING_UPLOADS, FileStatus, UploadStatus
from windlass.kernel.clock import now
from windlass.storage.contract import Store
from windlass.storage.registry import store


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that no row names any more."""

    store: str
    key: str

    def delete(self) -> int:
        return store(self.store).delete(self.key)


def release(asset: FileAsset) -> list[StoredObject]:
    """Bytes and renditions go, the record stays. Returns what to delete after the transaction commits. Repeatable."""
    with recording() as tell:
        if asset.status == FileStatus.RELEASED:
            return []
        gone = _renditions(asset) + _let_go(asset)
        move(tell, asset, FileStatus.RELEASED, blob=None, gate_passed=False, message="")
        asset.renditions.all().delete()
    return gone


def delete(asset: FileAsset) -> list[StoredObject]:
    """Record and bytes go. Returns what to delete after the transaction commits."""
    with recording() as tell:
        gone = _renditions(asset) + _let_go(asset)
        tell.add(EventType.FILE_DELETED, owner=asset.owner, file_id=asset.id)
        asset.delete()
    return gone


def end_upload(session: UploadSession, target: UploadStatus, reason: str = "") -> int:
    """Cancel, fail or expire an active session and free its bytes; returns how many."""
    if not uploads.end(session.id, target, reason):
        return 0
    return store(session.store).discard(session.store_key, session.store_state)


def expire_uploads() -> tuple[int, int]:
    """End every session past its life. Returns (sessions, bytes freed)."""
    freed = 0
    sessions = uploads.expired(now())
    for session in sessions:
        freed += end_upload(session, UploadStatus.EXPIRED)
    return len(sessions), freed


def forget_uploads() -> int:
    """Delete the rows of sessions that ended longer ago than they are remembered. Returns how many."""
    horizon = now() - timedelta(hours=conf.get().session_retention_hours)
    sessions = uploads.to_forget(horizon)
    for session in sessions:
        uploads.forget(session.id)
    return len(sessions)


def remove_orphans(target: Store, *, older_than_hours: float = 24.0) -> tuple[int, int]:
    """Delete objects of the store that no row names and that are old enough not to be in the making.

    Returns (objects, bytes freed).
    """
    horizon = now() - timedelta(hours=older_than_hours)
    objects = freed = 0
    for found in target.objects():
        if found.modified_at > horizon or _is_named(target.name, found.key):
            continue
        objects += 1
        freed += target.delete(found.key)
    return objects, freed


def _is_named(store_name: str, key: str) -> bool:
    from windlass.files.models import Rendition

    return (
        Blob.objects.filter(store=store_name, key=key).exists()
        or UploadSession.objects.filter(store=store_name, store_key=key, status__in=LIVING_UPLOADS).exists()
        or Rendition.objects.filter(store=store_name, key=key).exists()
    )


def _renditions(asset: FileAsset) -> list[StoredObject]:
    return [StoredObject(r.store, r.key) for r in asset.renditions.all()]


def _let_go(asset: FileAsset) -> list[StoredObject]:
    """Give up the file's reference to its blob; the blob's object, if that was the last."""
    blob = asset.blob
    if blob is None:
        return []
    FileAsset.objects.filter(id=asset.id).update(blob=None)
    asset.blob = None
    Blob.objects.filter(id=blob.id).update(references=F("references") - 1)
    deleted, _ = Blob.objects.filter(id=blob.id, references=0).delete()
    return [StoredObject(blob.store, blob.key)] if deleted else []
