"""Index files again, or for the first time, in the background: their index step is postponed, and workers run it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q, QuerySet

from windlass.files.api import FileAsset, FileStatus, mark_step_owed, owed_file_count
from windlass.knowledge.models import Passage
from windlass.knowledge.passages import VERSION

STAGE, STEP = "derive", "index"
BATCH = 500
_REASON = "It was asked to work on the text again."


def files_to_index(owner: str | None, *, every: bool) -> QuerySet[FileAsset]:
    """Ready files that have text: without passages, or with passages of an earlier version; ``every``: all of them."""
    files = FileAsset.present.filter(status=FileStatus.READY, renditions__name="text").distinct()
    if owner is not None:
        files = files.filter(owner=owner)
    if every:
        return files
    passages = Passage.objects.filter(file_id=OuterRef("id"))
    outdated = Q(Exists(passages.filter(version__lt=VERSION)))
    return files.filter(outdated | ~Q(Exists(passages)))


def queue_files(files: QuerySet[FileAsset], step: str = STEP) -> Iterator[int]:
    """Postpone a step of these files, batch by batch; yields how many are done."""
    ids = list(files.order_by("id").values_list("id", flat=True))
    done = 0
    for start in range(0, len(ids), BATCH):
        done += mark_step_owed(STAGE, step, ids[start : start + BATCH], _REASON)
        yield done


def unindexed_count(files: QuerySet[FileAsset]) -> int:
    """How many of ``files`` are ready and wait to be indexed."""
    return owed_file_count(STEP, files)


def waiting_count(owner: str | None) -> int:
    """How many files of an owner, or of all, wait to be indexed."""
    return unindexed_count(FileAsset.present.all() if owner is None else FileAsset.present.filter(owner=owner))
