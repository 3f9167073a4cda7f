"""Which file refers to which stored bytes. Several files of one owner may share a blob, whose bytes go with the last.

Every function runs inside the caller's transaction and locks in one order, the file before its blobs and those by id,
so that neither two that share at once nor one that shares and one that deletes can lose a reference or wait for ever.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db.models import F

from windlass.files import quota
from windlass.files.models import Blob, FileAsset
from windlass.storage.registry import store


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that no row names any more."""

    store: str
    key: str

    def delete(self) -> int:
        return store(self.store).delete(self.key)


def let_go(asset: FileAsset) -> list[StoredObject]:
    """Give up the file's reference; the blob's object, to be deleted after the commit, if that was the last.

    What the rows say counts, not what ``asset`` remembers: its blob may have become another meanwhile.
    """
    held = _blob_of(asset)
    if held is None:
        return []
    FileAsset.objects.filter(id=asset.id).update(blob=None)
    asset.blob = None
    gone = _drop(held)
    quota.change_account(asset.owner, bytes_used=-asset.size - asset.metadata_size, files_used=-1)
    return gone


def share(asset: FileAsset, twin: Blob) -> list[StoredObject]:
    """Let the file refer to the same content of its owner in another blob. Returns what nobody refers to any more.

    Does nothing where either is gone by now, or the file refers to it already.
    """
    held = _blob_of(asset)
    if held is None or held == twin.id:
        return []
    both = Blob.objects.select_for_update().filter(id__in=[held, twin.id]).order_by("id")
    found = {blob.id: blob for blob in both}
    if len(found) < 2 or not _are_same(found[held], found[twin.id]):
        return []
    if not Blob.objects.filter(id=twin.id, references__gte=1).update(references=F("references") + 1):
        return []
    FileAsset.objects.filter(id=asset.id).update(blob=found[twin.id])
    asset.blob = found[twin.id]
    return _drop(held)


def _blob_of(asset: FileAsset) -> uuid.UUID | None:
    rows = FileAsset.objects.select_for_update().filter(id=asset.id)
    return rows.values_list("blob_id", flat=True).first()


def _are_same(one: Blob, other: Blob) -> bool:
    return (one.owner, one.store, one.size, one.sha256) == (other.owner, other.store, other.size, other.sha256)


def _drop(blob_id: uuid.UUID) -> list[StoredObject]:
    Blob.objects.filter(id=blob_id).update(references=F("references") - 1)
    last = Blob.objects.filter(id=blob_id, references=0).first()
    if last is None:
        return []
    last.delete()
    return [StoredObject(last.store, last.key)]
