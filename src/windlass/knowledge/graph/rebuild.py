"""Look for entities in stored files, in the background: their step is postponed, and workers run it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q

from windlass.files.api import FileAsset, FileStatus
from windlass.knowledge.graph.extractors import extractor_name
from windlass.knowledge.models import FileGraph, Passage
from windlass.knowledge.reindex import queue_files

STEP = "graph"


def queue_extraction(owner: str | None, *, every: bool) -> Iterator[int]:
    """Postpone the step of ready files that have passages, and no entities of the present extractor; ``every``: of all.

    Yields how many are done.
    """
    files = FileAsset.present.filter(Exists(Passage.objects.filter(file_id=OuterRef("id"))), status=FileStatus.READY)
    if owner is not None:
        files = files.filter(owner=owner)
    if not every:
        current = FileGraph.objects.filter(file_id=OuterRef("id"), extractor=extractor_name())
        files = files.filter(~Q(Exists(current)))
    return queue_files(files, STEP)
