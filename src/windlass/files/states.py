"""Statuses of upload sessions, chunks, files and steps, and the legal transitions between them.

Other transitions cannot be written: each update filters by the statuses before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models


class UploadStatus(models.TextChoices):
    ACTIVE = "active"  # accepts bytes
    ASSEMBLING = "assembling"  # every chunk is received; the digest of the file is being computed
    COMPLETED = "completed"  # every byte is received; the file has a record of its own
    FAILED = "failed"  # the bytes were wrong, or could not be made durable
    CANCELLED = "cancelled"  # the client cancelled it
    EXPIRED = "expired"  # its lifetime ended


#: Statuses of uploads that may still become a file.
UNFINISHED_UPLOADS = (UploadStatus.ACTIVE, UploadStatus.ASSEMBLING)


class ChunkState(models.TextChoices):
    CLAIMED = "claimed"  # a request is or was sending it
    RECEIVED = "received"  # its bytes are stored and never change again


class FileStatus(models.TextChoices):
    PENDING = "PENDING"  # recorded; its processing has not started, or waits for an unavailable service
    PROCESSING = "PROCESSING"  # a stage is running or due
    READY = "READY"  # every step is done
    REJECTED = "REJECTED"  # a rule rejected it
    QUARANTINED = "QUARANTINED"  # malware: never served
    FAILED = "FAILED"  # processing failed; it can be retried
    RELEASED = "RELEASED"  # its bytes were deleted, its record is kept


class StepState(models.TextChoices):
    PENDING = "pending"  # planned
    RUNNING = "running"  # running now
    DONE = "done"  # its facts and renditions are recorded
    SKIPPED = "skipped"  # left out by the plan or an earlier verdict, or there was nothing to do for this file
    OWED = "owed"  # postponed: a service that it needs is unavailable
    FAILED = "failed"  # failed, with the reason


_ENDED_UPLOADS = (UploadStatus.COMPLETED, UploadStatus.FAILED, UploadStatus.CANCELLED, UploadStatus.EXPIRED)
UPLOAD_TRANSITIONS: Mapping[UploadStatus, frozenset[UploadStatus]] = {
    UploadStatus.ACTIVE: frozenset({*_ENDED_UPLOADS, UploadStatus.ASSEMBLING}),
    UploadStatus.ASSEMBLING: frozenset(_ENDED_UPLOADS),
    **dict.fromkeys(_ENDED_UPLOADS, frozenset()),
}

#: Statuses from which a file may be processed from the start again.
ENDED_FILES = (FileStatus.READY, FileStatus.REJECTED, FileStatus.QUARANTINED, FileStatus.FAILED)
FILE_TRANSITIONS: Mapping[FileStatus, frozenset[FileStatus]] = {
    FileStatus.PENDING: frozenset({FileStatus.PROCESSING, FileStatus.FAILED, FileStatus.RELEASED}),
    # PENDING: it waits for an unavailable service.
    FileStatus.PROCESSING: frozenset({*ENDED_FILES, FileStatus.PENDING, FileStatus.RELEASED}),
    # A postponed step that runs later may still reject the file.
    FileStatus.READY: frozenset({FileStatus.PENDING, FileStatus.REJECTED, FileStatus.QUARANTINED, FileStatus.RELEASED}),
    FileStatus.REJECTED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.QUARANTINED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.FAILED: frozenset({FileStatus.PENDING, FileStatus.RELEASED}),
    FileStatus.RELEASED: frozenset(),
}


def upload_statuses_before(target: UploadStatus) -> list[UploadStatus]:
    return [status for status, targets in UPLOAD_TRANSITIONS.items() if target in targets]


def file_statuses_before(target: FileStatus) -> list[FileStatus]:
    return [status for status, targets in FILE_TRANSITIONS.items() if target in targets]
