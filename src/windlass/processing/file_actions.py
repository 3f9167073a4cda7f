"""Reprocess, release, delete and restore files, and apply retention. Jobs of the file are cancelled or resumed with it.

The files app changes the records; this module adds what happens to the file's jobs.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from windlass.database.connection import on_commit
from windlass.events.api import recording
from windlass.files.api import (
    FileAsset,
    FileStatus,
    IllegalTransition,
    bytes_freed_by,
    delete_file,
    delete_objects,
    expired_files,
    files_to_release,
    postpone_deletion,
    put_into_trash,
    release_file,
    require_intact,
    require_unprotected,
    restorable_until,
    restore_from_trash,
    start_new_run,
)
from windlass.jobs import api as jobs
from windlass.kernel.problem_types import FileInUse, FileReleased, StillRunning
from windlass.processing.job_run import UNFINISHED_FILES

#: Files of each kind that one call of ``apply_retention`` handles.
BATCH = 200


def reprocess(asset: FileAsset, request_id: str = "") -> None:
    """Start a new run of the file's processing. Raises StillRunning, FileReleased, ContentDamaged."""
    if asset.blob is not None:
        require_intact(asset.blob)
    with recording() as recorder:
        # A job of the last run may be backfilling. Jobs change before their file, here as in a worker.
        jobs.cancel_of_file(asset.id, dead_letters=True)
        try:
            start_new_run(recorder, asset)
        except IllegalTransition:
            asset.refresh_from_db(fields=["status"])
            if asset.status == FileStatus.RELEASED:
                raise FileReleased("The bytes of this file were deleted; there is nothing to process.") from None
            raise StillRunning("This file is being processed; ask again when it has ended.") from None
        cost = jobs.cost_class(asset.size)
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, cost=cost, run=asset.run, request_id=request_id)


def release(asset: FileAsset) -> None:
    """Delete the bytes and renditions, keep the record; stop jobs that run on it. Repeatable."""
    with recording():
        jobs.cancel_of_file(asset.id, dead_letters=True)
        to_delete = release_file(asset)
        on_commit(partial(delete_objects, to_delete))


def delete_or_trash(asset: FileAsset) -> None:
    """Move the file to the trash if its profile has one, else delete it for good. Stop jobs that run on it.

    Raises FileInUse, and NotFound if it was moved or deleted meanwhile.
    """
    until = restorable_until(asset)
    if until is None:
        delete(asset)
        return
    with recording() as recorder:
        require_unprotected(asset)
        jobs.cancel_of_file(asset.id)
        put_into_trash(recorder, asset, until)


def restore(asset: FileAsset) -> None:
    """Take the file out of the trash and resume its processing. Repeatable. Raises NotFound."""
    with recording() as recorder:
        if not restore_from_trash(recorder, asset):
            return
        asset.refresh_from_db()
        if not jobs.resume_of_file(asset.id, asset.run) and asset.status in UNFINISHED_FILES:
            # The cancelled job was pruned, or a worker ended it because the file was in the trash. Steps that are
            # finished are not run again.
            stage = jobs.Stage(asset.stage or jobs.Stage.INTAKE)
            jobs.reopen(stage, asset.id, cost=jobs.cost_class(asset.size), run=asset.run)


def delete(asset: FileAsset, *, unless_moved: bool = False) -> None:
    """Delete the bytes, renditions and record for good. Stop jobs that run on it.

    ``unless_moved``: raise IllegalTransition if the file was moved to or out of the trash since ``asset`` was read.
    Raises FileInUse.
    """
    with recording():
        jobs.cancel_of_file(asset.id)
        jobs.delete_of_file(asset.id)
        to_delete = delete_file(asset, unless_moved=unless_moved)
        on_commit(partial(delete_objects, to_delete))


@dataclass(slots=True)
class RetentionReport:
    """What was deleted, or would be."""

    released: int = 0
    deleted: int = 0
    bytes_freed: int = 0


def apply_retention(*, dry_run: bool = False) -> RetentionReport:
    """Delete files past their retention or their time in the trash; release those past that of their bytes.

    ``dry_run``: change nothing; the figures are those of all such files, not of one batch.
    """
    expired, to_release = expired_files(), files_to_release()
    if dry_run:
        return RetentionReport(to_release.count(), expired.count(), _bytes_of([*expired, *to_release]))
    report = RetentionReport()
    for asset in expired[:BATCH]:
        freed = bytes_freed_by(asset)
        try:
            delete(asset, unless_moved=True)
        except IllegalTransition:  # restored from the trash at the last moment
            continue
        except FileInUse:
            postpone_deletion(asset)
            continue
        report.bytes_freed, report.deleted = report.bytes_freed + freed, report.deleted + 1
    for asset in to_release[:BATCH]:
        report.bytes_freed += bytes_freed_by(asset)
        release(asset)
        report.released += 1
    return report


def _bytes_of(files: Iterable[FileAsset]) -> int:
    """Bytes that several files share are freed with the last of them."""
    total, references = 0, Counter[uuid.UUID]()
    for asset in files:
        total += sum(asset.renditions.values_list("size", flat=True))
        if asset.blob is not None:
            references[asset.blob.id] += 1
            total += asset.blob.size if references[asset.blob.id] == asset.blob.references else 0
    return total
