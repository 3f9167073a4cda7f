"""Everything that the files app stores of one owner, for its export and its erasure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import QuerySet

from windlass.files.blobs import StoredObject
from windlass.files.models import (
    Blob,
    FileAsset,
    IdempotencyKey,
    OwnerAccount,
    Rendition,
    StepRun,
    UploadChunk,
    UploadSession,
)
from windlass.storage.registry import store


def owner_rows(owner: str, key_callers: Collection[str]) -> dict[str, QuerySet[Any]]:
    """Rows by a name for the export, in an order in which they can be deleted. ``key_callers``: under which the owner's
    idempotency keys are kept."""
    return {
        "renditions": Rendition.objects.filter(file__owner=owner),
        "steps": StepRun.objects.filter(file__owner=owner),
        "files": FileAsset.objects.filter(owner=owner),
        "stored_bytes": Blob.objects.filter(owner=owner),
        "chunks": UploadChunk.objects.filter(session__owner=owner),
        "uploads": UploadSession.objects.filter(owner=owner),
        "quota": OwnerAccount.objects.filter(owner=owner),
        "idempotency_keys": IdempotencyKey.objects.filter(caller__in=key_callers),
    }


def delete_bytes_of_file(asset: FileAsset) -> int:
    """Delete the file's stored object and renditions, also those that another file of the owner shares; return the
    bytes freed. Repeatable. Raises StoreError: the rows still name what was not deleted."""
    objects = [StoredObject(each.store, each.key) for each in asset.renditions.all()]
    if asset.blob is not None:
        objects.append(StoredObject(asset.blob.store, asset.blob.key))
    return sum(store(each.store).delete(each.key) for each in objects)


def delete_bytes_of_upload(session: UploadSession) -> int:
    """Delete what is stored of an upload that has ended and is no file; return the bytes freed. Repeatable.

    Raises StoreError.
    """
    target = store(session.store)
    return target.discard(session.store_key, session.store_state) + target.clear(session.store_key)


def delete_blobs_without_files(owner: str) -> int:
    """Delete stored bytes of the owner that no file refers to; return the bytes freed. Raises StoreError."""
    freed = 0
    for blob in _unreferenced(owner):
        freed += store(blob.store).delete(blob.key)
        blob.delete()
    return freed


def _unreferenced(owner: str) -> Iterator[Blob]:
    return Blob.objects.filter(owner=owner, files=None).iterator()
