"""Statuses and their legal moves.

A move that is not in the table cannot be written: updates name where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models


class UploadStatus(models.TextChoices):
    ACTIVE = "active"  # takes bytes
    ASSEMBLING = "assembling"  # every chunk is in; the digest of the whole is being worked out
    COMPLETED = "completed"  # every byte is in; the file has a record of its own
    FAILED = "failed"  # the bytes proved wrong, or could not be made durable
    CANCELLED = "cancelled"  # the client gave it up
    EXPIRED = "expired"  # its life ended


#: Statuses in which an upload has bytes in the store and may still become a file.
LIVING_UPLOADS = (UploadStatus.ACTIVE, UploadStatus.ASSEMBLING)


class ChunkState(models.TextChoices):
    CLAIMED = "claimed"  # a request is, or was, bringing it
    RECEIVED = "received"  # its bytes are in their place; they never change again


class FileStatus(models.TextChoices):
    PENDING = "PENDING"  # recorded; its processing has not begun, or waits for a service that is away
    PROCESSING = "PROCESSING"  # a stage is running or due
    READY = "READY"  # everything asked for is done
    REJECTED = "REJECTED"  # a rule said no
    QUARANTINED = "QUARANTINED"  # malware: never served
    FAILED = "FAILED"  # processing gave up; it can be retried
    RELEASED = "RELEASED"  # bytes deleted on purpose, record kept


class StepState(models.TextChoices):
    PENDING = "pending"  # planned
    RUNNING = "running"  # being done
    DONE = "done"  # its facts and renditions are recorded
    SKIPPED = "skipped"  # the plan or an earlier verdict left it out, or there was nothing to do for this file
    OWED = "owed"  # left for later: a part it needs is away
    FAILED = "failed"  # it could not be done, with the reason


UPLOAD_MOVES: Mapping[UploadStatus, frozenset[UploadStatus]] = {
    UploadStatus.ACTIVE: frozenset(
        {
            UploadStatus.ASSEMBLING,
            UploadStatus.COMPLETED,
            UploadStatus.FAILED,
            UploadStatus.CANCELLED,
            UploadStatus.EXPIRED,
        }
    ),
    UploadStatus.ASSEMBLING: frozenset(
        {UploadStatus.COMPLETED, UploadStatus.FAILED, UploadStatus.CANCELLED, UploadStatus.EXPIRED}
    ),
    UploadStatus.COMPLETED: frozenset(),
    UploadStatus.FAILED: frozenset(),
    UploadStatus.CANCELLED: frozenset(),
    UploadStatus.EXPIRED: frozenset(),
}

FILE_MOVES: Mapping[FileStatus, frozenset[FileStatus]] = {
    FileStatus.PENDING: frozenset({FileStatus.PROCESSING, FileStatus.FAILED, FileStatus.RELEASED}),
    FileStatus.PROCESSING: frozenset(
        {
            FileStatus.PENDING,  # it waits for a service that is away
            FileStatus.READY,
            FileStatus.REJECTED,
            FileStatus.QUARANTINED,
            FileStatus.FAILED,
            FileStatus.RELEASED,
        }
    ),
    # A step that was owed and is made good may still say no.
    FileStatus.READY: frozenset({FileStatus.PENDING, FileStatus.REJECTED, FileStatus.QUARANTINED, FileStatus.RELEASED}),
    FileStatus.REJECTED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.QUARANTINED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.FAILED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.RELEASED: frozenset(),
}


#: A file that has ended in one of these may be processed from the start once more.
ENDED_FILES = (FileStatus.READY, FileStatus.REJECTED, FileStatus.QUARANTINED, FileStatus.FAILED)


def uploads_that_may_become(target: UploadStatus) -> list[UploadStatus]:
    return [state for state, moves in UPLOAD_MOVES.items() if target in moves]


def files_that_may_become(target: FileStatus) -> list[FileStatus]:
    return [state for state, moves in FILE_MOVES.items() if target in moves]
