"""Stored bytes: which files refer to them, and which store and key they have.

Several files of one owner may share a blob; its bytes are deleted with the last reference. The functions that change
references run inside the caller's transaction and lock in one order, the file before its blobs and those by id: so
concurrent sharing and deleting can neither lose a reference nor deadlock.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import structlog
from django.db import DatabaseError
from django.db.models import Count, F

from windlass import conf
from windlass.database import rows
from windlass.database.connection import atomic
from windlass.files import quota
from windlass.files.backups import is_backup_running
from windlass.files.models import Blob, FileAsset, Rendition, UploadSession
from windlass.files.move import retain_object
from windlass.files.profiles import profiles
from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.registry import default_name, store

#: The name of the rendition that has a file's text.
TEXT = "text"

log = structlog.get_logger(__name__)

#: Blobs that one run of ``repair_reference_counts`` corrects.
_REPAIR_BATCH = 1000


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that no row names any more."""

    store: str
    key: str


def delete_objects(unnamed: Iterable[StoredObject]) -> None:
    """Delete objects that no row names any more. What cannot be deleted is left to the sweep.

    While a backup is copying, they are retained instead. So call this after the commit of what removed the last row:
    a backup that holds objects only after this has looked takes its snapshot after that commit.
    """
    held: bool | None = None
    for each in unnamed:
        try:
            held = is_backup_running() if held is None else held
            if held:
                retain_object(each.store, each.key, store(each.store).info(each.key).size, seconds=0)
            else:
                store(each.store).delete(each.key)
        except (StoreError, DatabaseError) as error:
            log.warning("object.left_behind", store=each.store, key=each.key, reason=str(error))


def drop_reference(asset: FileAsset) -> list[StoredObject]:
    """Drop the file's reference; return the object to delete after the commit if it was the last one.

    The rows decide, not ``asset``, whose blob may have changed since it was read.
    """
    blob_id = _lock_file(asset)
    if blob_id is None:
        return []
    FileAsset.objects.filter(id=asset.id).update(blob=None)
    asset.blob = None
    unnamed = _decrement(blob_id)
    quota.change_account(asset.owner, bytes_used=-asset.size - asset.metadata_size, files_used=-1)
    return unnamed


def share_blob(asset: FileAsset, twin: Blob) -> list[StoredObject]:
    """Let the file refer to another blob of its owner with the same content; return the objects to delete.

    Does nothing if either is gone, or the file refers to it already.
    """
    blob_id = _lock_file(asset)
    if blob_id is None or blob_id == twin.id:
        return []
    locked = Blob.objects.select_for_update().filter(id__in=[blob_id, twin.id]).order_by("id")
    by_id = {blob.id: blob for blob in locked}
    contents = {(blob.owner, blob.store, blob.size, blob.sha256) for blob in by_id.values()}
    if len(by_id) < 2 or len(contents) > 1:
        return []
    if not Blob.objects.filter(id=twin.id, references__gte=1).update(references=F("references") + 1):
        return []
    FileAsset.objects.filter(id=asset.id).update(blob=by_id[twin.id])
    asset.blob = by_id[twin.id]
    return _decrement(blob_id)


def repair_reference_counts(*, dry_run: bool = False) -> tuple[int, int]:
    """Correct wrong reference counts and delete blobs without files. Returns (blobs, bytes freed).

    Counts change with the references; a wrong one is a defect.
    """
    counted = Blob.objects.annotate(count=Count("files"))
    wrong = list(counted.exclude(count=F("references"))[:_REPAIR_BATCH]) + list(counted.filter(count=0, references=0))
    freed = 0
    for blob in wrong:
        unused = blob.count == 0 if dry_run else repair_reference_count(blob)
        freed += blob.size if unused else 0
    return len(wrong), freed


def stores_in_service() -> tuple[str, ...]:
    """Return the stores that new files may go to or that the settings describe by name, the default one first."""
    of_profiles = sorted({profile.store for profile in profiles().values()})
    return tuple(dict.fromkeys([default_name(), *of_profiles, *conf.named_stores(conf.get())]))


def stores_in_use() -> tuple[str, ...]:
    """Return the stores in service and all stores that rows name. Reads whole tables."""
    kinds = (Blob, Rendition, UploadSession)
    of_rows = {name for kind in kinds for name in kind.objects.order_by().values_list("store", flat=True).distinct()}
    return tuple(dict.fromkeys([*stores_in_service(), *sorted(of_rows)]))


def store_of_file(asset: FileAsset) -> str:
    """Return the store for the file's renditions, which is that of its bytes."""
    blob = rows.find(Blob, id=asset.blob_id) if asset.blob_id is not None else None
    name = blob.store if blob is not None else _store_of_row(asset)
    return name or default_name()


def _store_of_row(asset: FileAsset) -> str | None:
    """The store by the file's row, if its blob was replaced since ``asset`` was read."""
    return Blob.objects.filter(files=asset.id).values_list("store", flat=True).first()


def open_blob(blob: Blob) -> BinaryIO:
    """Open the bytes of a blob; reload ``blob`` if they were moved to another store since its row was read.

    Asks the database only if they are not found. Raises ObjectMissing, StoreError.
    """
    try:
        return store(blob.store).open(blob.key)
    except ObjectMissing:
        if not has_moved(blob):
            raise
    return store(blob.store).open(blob.key)


def text_of_file(asset: FileAsset, unsaved: Iterable[Rendition] = ()) -> str | None:
    """The text that the present run extracted from the file; None if there is none. ``unsaved``: renditions of this
    run that have no rows yet. Raises StoreError."""
    found = next((each for each in unsaved if each.name == TEXT), None)
    found = found or asset.renditions.filter(name=TEXT, run=asset.run).first()
    if found is None:
        return None
    try:
        source = store(found.store).open(found.key)
    except ObjectMissing:
        if not has_moved(found):
            raise
        source = store(found.store).open(found.key)
    with source:
        return source.read().decode("utf-8", "replace")


def has_moved(row: Blob | Rendition) -> bool:
    """Whether the bytes were moved since the row was read; if so, update its ``store`` and ``key``."""
    location = type(row).objects.filter(id=row.id).values_list("store", "key").first()
    if location is None or location == (row.store, row.key):
        return False
    row.store, row.key = location
    return True


def _lock_file(asset: FileAsset) -> uuid.UUID | None:
    rows = FileAsset.objects.select_for_update().filter(id=asset.id)
    return rows.values_list("blob_id", flat=True).first()


def _decrement(blob_id: uuid.UUID) -> list[StoredObject]:
    Blob.objects.filter(id=blob_id).update(references=F("references") - 1)
    unused = Blob.objects.filter(id=blob_id, references=0).first()
    if unused is None:
        return []
    unused.delete()
    return [StoredObject(unused.store, unused.key)]


def repair_reference_count(counted: Blob) -> bool:
    """Count the files of a blob again, and delete it if it has none. Return whether it was deleted."""
    with atomic():
        blob = Blob.objects.select_for_update().filter(id=counted.id).first()
        if blob is None:
            return False
        count = blob.files.count()
        if count:
            Blob.objects.filter(id=blob.id).update(references=count)
            return False
        blob.delete()
    delete_objects([StoredObject(blob.store, blob.key)])
    return True
