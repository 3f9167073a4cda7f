"""Correct the records of a restored database: they describe the server at the moment of the backup.

Each function may be repeated.
"""

from __future__ import annotations

from windlass.files import uploads
from windlass.files.integrity import Damage, Finding, record_damage
from windlass.files.models import BackupRun, Blob, Rendition, RetainedObject, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS, UploadStatus

_NOT_RESTORED = "Its bytes are not in the backup from which the server was restored."


def expire_uploads_without_bytes() -> int:
    """After a restore: expire the unfinished uploads, whose bytes no backup has. Return how many."""
    unfinished = UploadSession.objects.filter(status__in=UNFINISHED_UPLOADS).values_list("id", flat=True)
    return sum(uploads.mark_upload_ended(each, UploadStatus.EXPIRED, _NOT_RESTORED) for each in list(unfinished))


def record_missing_object(store: str, key: str, reason: str) -> None:
    """After a restore without this object: its file is not served, and a rendition's row is deleted. Repeatable."""
    Rendition.objects.filter(store=store, key=key).delete()
    for blob in Blob.objects.filter(store=store, key=key, damaged_at=None):
        record_damage(blob, Finding(Damage.MISSING, f"not in the backup: {reason}"))


def change_store(old: str, new: str) -> None:
    """After a restore into another store: let the rows of files and renditions name it. Repeatable."""
    for kind in (Blob, Rendition):
        kind.objects.filter(store=old).update(store=new)
    UploadSession.objects.filter(store=old).update(store=new)


def forget_unfinished_backups() -> None:
    """End the hold of the backup itself, and forget retained objects, which it does not have."""
    BackupRun.objects.filter(finished_at=None).delete()
    RetainedObject.objects.all().delete()
