"""The check of reference counts and duplicates, a part at a time.

Both are right unless there is a fault, or two files with the same content were processed at the same moment. So the
check walks over all blobs by id, with a limit of time for each part, and goes on where the last part ended, in
whichever process that was.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, IntegerField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from windlass.files.blobs import repair_reference_count
from windlass.files.deduplication import merge_blobs_like
from windlass.files.models import Blob, FileAsset, PeriodicTaskState
from windlass.kernel.clock import monotonic, now
from windlass.kernel.ids import parse_id

_NAME = "blob-check"
#: Blobs that one statement looks at.
_SLICE = 1000
_FIRST = uuid.UUID(int=0)


@dataclass(slots=True)
class BlobCheckReport:
    """``checked``: blobs; ``is_complete``: whether the last blob was among them."""

    checked: int = 0
    corrected: int = 0
    bytes_freed: int = 0
    merged: int = 0
    is_complete: bool = False


def check_blobs(*, seconds: float) -> BlobCheckReport:
    """Check the next blobs, for about ``seconds``; stop after the last one, and begin again with the next call."""
    report, until, after = BlobCheckReport(), monotonic() + seconds, _position()
    began = monotonic()
    while not report.is_complete:
        after = _check_slice(after, report)
        if monotonic() >= until:
            break
    value = {} if report.is_complete else {"after": str(after)}
    state = {"value": value, "seconds": monotonic() - began, "updated_at": now()}
    PeriodicTaskState.objects.update_or_create(name=_NAME, defaults=state)
    return report


def _position() -> uuid.UUID:
    state = PeriodicTaskState.objects.filter(name=_NAME).first()
    return (parse_id(str(state.value.get("after", ""))) if state else None) or _FIRST


def _check_slice(after: uuid.UUID, report: BlobCheckReport) -> uuid.UUID:
    ids = list(Blob.objects.filter(id__gt=after).order_by("id").values_list("id", flat=True)[:_SLICE])
    report.checked += len(ids)
    report.is_complete = len(ids) < _SLICE
    if not ids:
        return after
    for blob in _suspicious(after, ids[-1]):
        if blob.count != blob.references or not blob.count:
            report.corrected += 1
            report.bytes_freed += blob.size if repair_reference_count(blob) else 0
        elif blob.second is not None:
            report.merged += merge_blobs_like(blob)
    return ids[-1]


def _suspicious(after: uuid.UUID, last: uuid.UUID) -> Sequence[Any]:
    """Blobs of the slice with a wrong count, without files, or with an equal one. Subqueries, not joins: each is a step
    in an index."""
    files = FileAsset.objects.filter(blob=OuterRef("id")).order_by().values("blob")
    count = Coalesce(Subquery(files.annotate(n=Count("id")).values("n")), Value(0), output_field=IntegerField())
    like = Blob.objects.filter(**{name: OuterRef(name) for name in ("owner", "sha256", "store", "size")})
    second = Subquery(like.order_by().values("id")[1:2])
    blobs = Blob.objects.filter(id__gt=after, id__lte=last).annotate(count=count, second=second)
    return list(blobs.filter(~Q(count=F("references")) | Q(count=0) | Q(second__isnull=False)))
