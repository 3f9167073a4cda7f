"""Index files again, or for the first time, in the background: their index step is postponed, and workers run it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q, QuerySet

from windlass.files.api import FileAsset, FileStatus, mark_step_owed, owed_file_count
from windlass.knowledge.embedders import current_embedder
from windlass.knowledge.file_vectors import lacking_vectors
from windlass.knowledge.models import Passage
from windlass.knowledge.passages import VERSION

STAGE, STEP, EMBED = "derive", "index", "embed"
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
    """Postpone the index step of these files, or another ``step`` that works on the text, batch by batch; yields how
    many are done."""
    return _queue(files, step, _REASON)


def _queue(files: QuerySet[FileAsset], step: str, reason: str) -> Iterator[int]:
    ids = list(files.order_by("id").values_list("id", flat=True))
    done = 0
    for start in range(0, len(ids), BATCH):
        done += mark_step_owed(STAGE, step, ids[start : start + BATCH], reason)
        yield done


def unindexed_count(files: QuerySet[FileAsset]) -> int:
    """How many of ``files`` are ready and wait to be indexed."""
    return owed_file_count(STEP, files)


def unembedded_count(files: QuerySet[FileAsset]) -> int:
    """How many of ``files`` are ready and wait for the vectors of their passages."""
    return owed_file_count(EMBED, files)


def files_to_embed(owner: str | None) -> QuerySet[FileAsset]:
    """Ready files with passages that lack a vector of the current model. Raises BadModel."""
    lacking = lacking_vectors(current_embedder().key).filter(file_id=OuterRef("id"))
    files = FileAsset.present.filter(Exists(lacking), status=FileStatus.READY)
    return files if owner is None else files.filter(owner=owner)


def queue_embedding(files: QuerySet[FileAsset]) -> Iterator[int]:
    """Postpone the step that makes vectors of these files, batch by batch; yields how many are done."""
    return _queue(files, EMBED, "It was asked to make the vectors again.")


def waiting_for_vectors(owner: str | None) -> int:
    """How many files of an owner, or of all, wait for their vectors."""
    return unembedded_count(FileAsset.present.all() if owner is None else FileAsset.present.filter(owner=owner))


def waiting_count(owner: str | None) -> int:
    """How many files of an owner, or of all, wait to be indexed."""
    return unindexed_count(FileAsset.present.all() if owner is None else FileAsset.present.filter(owner=owner))
