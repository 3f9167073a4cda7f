"""Rows of backups: which stored objects a backup copies, and the hold that keeps them from being deleted meanwhile.

``windlass.operations.backup`` copies the database and the objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from windlass.files.models import BackupRun, Blob, Rendition
from windlass.kernel.clock import now

#: How long a backup that does not extend its hold keeps objects from being deleted (seconds).
HOLD_SECONDS = 600.0
#: Finished backups whose rows are kept.
_KEPT_RUNS = 100
_BATCH = 500


@dataclass(frozen=True, slots=True)
class NamedObject:
    """A stored object that a row names. ``sha256``: None for renditions and for files not hashed yet.

    ``version`` changes when a rendition is written again under its key; empty for files, which never change.
    """

    store: str
    key: str
    size: int
    sha256: str | None
    version: str


def start_backup(target: str) -> BackupRun:
    """Record a new backup; from now on no stored object is deleted until it ends or is no longer extended."""
    moment = now()
    run = BackupRun.objects.create(
        target=target, started_at=moment, held_until=moment + timedelta(seconds=HOLD_SECONDS)
    )
    kept = BackupRun.objects.filter(finished_at__isnull=False).order_by("-started_at").values_list("id", flat=True)
    BackupRun.objects.exclude(id__in=list(kept[:_KEPT_RUNS])).filter(held_until__lt=moment).delete()
    return run


def extend_backup(run: BackupRun) -> bool:
    """Extend the hold. False if it had expired: objects that the backup has not copied may have been deleted."""
    moment = now()
    held = BackupRun.objects.filter(id=run.id, finished_at=None, held_until__gt=moment)
    return bool(held.update(held_until=moment + timedelta(seconds=HOLD_SECONDS)))


def finish_backup(run: BackupRun, *, objects: int, size: int, missing: int) -> None:
    """Record that the backup is complete and end its hold."""
    counts = {"objects_count": objects, "bytes_count": size, "missing_count": missing}
    BackupRun.objects.filter(id=run.id).update(finished_at=now(), **counts)


def abandon_backup(run: BackupRun) -> None:
    """End the hold of a backup that failed, and forget it."""
    BackupRun.objects.filter(id=run.id, finished_at=None).delete()


def is_backup_running() -> bool:
    return BackupRun.objects.filter(finished_at=None, held_until__gt=now()).exists()


def last_backup() -> BackupRun | None:
    """Return the last complete backup."""
    return BackupRun.objects.filter(finished_at__isnull=False).order_by("-started_at").first()


def named_objects(database: str) -> Iterator[NamedObject]:
    """Yield every stored object that rows of this database (a Django alias) name: files, also in the trash, and
    renditions. Not the bytes of unfinished uploads."""
    blobs = Blob.objects.using(database).order_by("id").values_list("store", "key", "size", "sha256")
    for store, key, size, sha256 in blobs.iterator(_BATCH):
        yield NamedObject(store, key, size, sha256, "")
    renditions = Rendition.objects.using(database).order_by("id").values_list("id", "run", "store", "key", "size")
    for row_id, run, store, key, size in renditions.iterator(_BATCH):
        yield NamedObject(store, key, size, None, f"{row_id}/{run}")
