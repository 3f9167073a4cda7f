"""Delete everything that is stored of one owner. It may be killed at any moment, and is then run again.

Bytes are deleted before the rows that name them, so that a second run still finds what the first one left; the user
goes last, so that the name still leads to the owner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from windlass.accounts import api as accounts
from windlass.database.connection import atomic
from windlass.events import api as events
from windlass.files import api as files
from windlass.files.api import FileAsset, UploadSession, UploadStatus
from windlass.jobs import api as jobs
from windlass.kernel.problem_types import FileInUse
from windlass.operations.deleted_words import forget_deleted_words
from windlass.operations.owner_data.records import owner_rows, row_counts
from windlass.processing import api as processing

#: Rows that are read at once.
_BATCH = 200
#: How often it begins anew because the owner's clients go on sending.
_PASSES = 3


class EraseError(Exception):
    """It cannot be done now. The message says why."""


@dataclass(slots=True)
class EraseReport:
    """What was deleted: files, uploads, bytes, identities of the audit log, and whether there was a user."""

    files: int = 0
    uploads: int = 0
    bytes_freed: int = 0
    identities: int = 0
    user: bool = False


def erase_owner(owner: str, *, with_user: bool, progress: Callable[[EraseReport], None] | None = None) -> EraseReport:
    """Delete the owner's bytes and rows, and the owner's name from the audit log. ``with_user``: the user's account
    too; else it stays, deactivated.

    Raises EraseError; StoreError where bytes cannot be deleted: their rows are kept, run it again.
    """
    if files.is_backup_running():
        raise EraseError("a backup is running, which keeps every stored file: run this when it has finished")
    report = EraseReport()
    accounts.close_account(owner)
    for _ in range(_PASSES):
        _erase_uploads(owner, report)
        _erase_files(owner, report, progress)
        report.bytes_freed += files.delete_blobs_without_files(owner)
        _erase_rows(owner)
        if not row_counts(owner):
            break
    else:
        raise EraseError(f"clients of {owner} are still sending: stop them, then run this again")
    events.delete_unused_breakers()
    forget_deleted_words()
    report.identities = events.pseudonymize(owner)
    report.user = with_user and accounts.delete_user(owner)
    return report


def _erase_uploads(owner: str, report: EraseReport) -> None:
    """End the owner's unfinished uploads, then delete their bytes. The bytes of a completed one are its file's."""
    while batch := list(UploadSession.objects.filter(owner=owner).exclude(status=UploadStatus.COMPLETED)[:_BATCH]):
        for session in batch:
            files.mark_upload_ended(session.id, UploadStatus.CANCELLED)
            report.bytes_freed += files.delete_bytes_of_upload(session)
            files.forget_upload(session.id)
            report.uploads += 1


def _erase_files(owner: str, report: EraseReport, progress: Callable[[EraseReport], None] | None) -> None:
    while batch := list(FileAsset.objects.filter(owner=owner).select_related("blob")[:_BATCH]):
        accounts.delete_admin_history([str(asset.id) for asset in batch])
        for asset in batch:
            _require_unprotected(asset)
            jobs.cancel_of_file(asset.id, dead_letters=True)
            report.bytes_freed += files.delete_bytes_of_file(asset)
            processing.delete(asset)
            report.files += 1
        if progress is not None:
            progress(report)


def _require_unprotected(asset: FileAsset) -> None:
    """Raises EraseError, before the bytes are deleted, where a record of the project forbids to delete the file."""
    try:
        files.require_unprotected(asset)
    except FileInUse as problem:
        raise EraseError(f"file {asset.id}: {problem.detail} Then run this again") from problem


def _erase_rows(owner: str) -> None:
    with atomic():
        rows = owner_rows(owner)
        for name in ("idempotency_keys", "uploads", "quota", "grants"):
            rows[name].delete()
        events.erase_events(owner)
