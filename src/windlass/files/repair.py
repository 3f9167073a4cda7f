"""Counts of references held against the files that really refer. They change with them; a wrong one is a fault."""

from __future__ import annotations

from django.db.models import Count, F

from windlass.database.connection import atomic
from windlass.files.lifecycle import delete_objects
from windlass.files.models import Blob
from windlass.files.references import StoredObject

#: Blobs that are looked at in one go.
AT_MOST = 1000


def repair_references(*, dry_run: bool = False) -> tuple[int, int]:
    """Correct each wrong count, and delete what nobody refers to. Returns (blobs, bytes freed)."""
    counted = Blob.objects.annotate(count=Count("files"))
    wrong = list(counted.exclude(count=F("references"))[:AT_MOST]) + list(counted.filter(count=0, references=0))
    freed = 0
    for blob in wrong:
        unused = blob.count == 0 if dry_run else _repair(blob)
        freed += blob.size if unused else 0
    return len(wrong), freed


def _repair(found: Blob) -> bool:
    """Whether it is gone."""
    with atomic():
        blob = Blob.objects.select_for_update().filter(id=found.id).first()
        if blob is None:
            return False
        count = blob.files.count()
        if count:
            Blob.objects.filter(id=blob.id).update(references=count)
            return False
        blob.delete()
    delete_objects([StoredObject(blob.store, blob.key)])
    return True
