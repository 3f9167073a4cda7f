"""The figures of the metrics that read whole tables, kept by the scheduler (``files.KeptFigures``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Count, Sum

from windlass.files.api import (
    Blob,
    FileAsset,
    KeptFigures,
    Rendition,
    StepRun,
    StepState,
    UploadSession,
    quota_totals,
    trash_totals,
)

_ENDED_STEPS = (StepState.DONE, StepState.FAILED, StepState.OWED)


def _count() -> dict[str, Any]:
    ended = StepRun.objects.filter(state__in=_ENDED_STEPS).order_by().values_list("step", "state")
    return {
        "files": _by_status(FileAsset),
        "uploads": _by_status(UploadSession),
        "stored": {"file": _bytes_by_store(Blob), "rendition": _bytes_by_store(Rendition)},
        "steps": [list(row) for row in ended.annotate(n=Count("id"), seconds=Sum("seconds", default=0.0))],
        "trash": asdict(trash_totals()),
        "quotas": asdict(quota_totals()),
    }


def _by_status(model: Any) -> dict[str, int]:
    return dict(model.objects.order_by().values_list("status").annotate(n=Count("id")))


def _bytes_by_store(model: Any) -> dict[str, int]:
    return dict(model.objects.order_by().values_list("store").annotate(size=Sum("size")))


#: Files and uploads by status, bytes by store, steps by result with their number and seconds, trash and quotas.
record_figures = KeptFigures("records", _count)
