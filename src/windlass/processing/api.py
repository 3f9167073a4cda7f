"""The door of processing: run a job, start one over, take a file out of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from windlass.database.connection import on_commit
from windlass.events.api import recording
from windlass.files.api import FileAsset, FileStatus, IllegalTransition, integrity, lifecycle, start_new_run, trash
from windlass.jobs import api as jobs
from windlass.kernel.errors import FileReleased, StillRunning
from windlass.processing import breakers, records, workshop
from windlass.processing.owed import fill_in as fill_in_owed
from windlass.processing.plan import PlannedStep
from windlass.processing.protection import sandbox_level, warn_of_gaps
from windlass.processing.registry import installed
from windlass.processing.retention import Retired
from windlass.processing.retention import retire as _retire
from windlass.processing.runner import run_job
from windlass.processing.sandbox.level import Level
from windlass.processing.scanners.contract import ScannerAway
from windlass.processing.scanners.registry import BrokenScanner
from windlass.processing.scanners.registry import chosen as scanner
from windlass.processing.scanning import check as check_scanner
from windlass.processing.scanning import try_limits as try_scanner_limits
from windlass.processing.work import plan_for
from windlass.processing.workshop import shut_down

__all__ = [
    "BrokenScanner",
    "Level",
    "PlannedStep",
    "ScannerAway",
    "check_scanner",
    "delete",
    "discard",
    "fill_in_owed",
    "gate_steps",
    "plan_for",
    "recover",
    "release",
    "reprocess",
    "restore",
    "retire",
    "run_job",
    "sandbox_level",
    "scanner",
    "shut_down",
    "try_scanner_limits",
    "warm_up",
    "warn_of_gaps",
]

breakers.watch()


def warm_up() -> None:
    """Start the sandbox's parent ahead of the first job. Returns at once; it imports its libraries meanwhile."""
    workshop.sandbox().start()


def gate_steps() -> frozenset[str]:
    """The steps past intake that a file is not served before."""
    return frozenset(step.about.name for step in installed().values() if step.about.gate)


def recover(lapsed: Iterable[jobs.Job]) -> int:
    """Take back the claims of workers that died; returns how many. Where it was the last attempt, the file has failed.

    Each is due again from then on, and waits for its bell.
    """
    return sum(1 for job in lapsed if records.take_back(job))


def reprocess(asset: FileAsset, request_id: str = "") -> None:
    """Process the file from the start once more. Raises StillRunning, FileReleased, ContentDamaged."""
    if asset.blob is not None:
        integrity.must_be_sound(asset.blob)
    with recording() as tell:
        try:
            start_new_run(tell, asset)
        except IllegalTransition:
            asset.refresh_from_db(fields=["status"])
            if asset.status == FileStatus.RELEASED:
                raise FileReleased("The bytes of this file were deleted; there is nothing to process.") from None
            raise StillRunning("This file is being processed; ask again when it has ended.") from None
        jobs.cancel_of_file(asset.id)  # one may be making good what was owed
        jobs.enqueue(jobs.Stage.INTAKE, asset.id, run=asset.run, request_id=request_id)


def release(asset: FileAsset) -> None:
    """Delete the bytes and renditions, keep the record. Work that runs on it is stopped. Repeatable."""
    with recording():
        jobs.cancel_of_file(asset.id)
        gone = lifecycle.release(asset)
        on_commit(partial(lifecycle.delete_objects, gone))


def discard(asset: FileAsset) -> None:
    """What deleting means to a client: into the trash where there is one, else for good. Work that runs on it is
    stopped. Raises NotFound where another has done so."""
    until = trash.window_of(asset)
    if until is None:
        delete(asset)
        return
    with recording() as tell:
        jobs.cancel_of_file(asset.id)
        trash.put(tell, asset, until)


def restore(asset: FileAsset) -> None:
    """Take the file out of the trash; what was being done with it goes on. Repeatable. Raises NotFound."""
    with recording() as tell:
        if not trash.take_out(tell, asset):
            return
        asset.refresh_from_db()
        if not jobs.resume_of_file(asset.id, asset.run) and asset.status in records.OPEN:
            # Its job was cancelled so long ago that it is not kept any more, or ended because the file was not there.
            # What is done already is not done again.
            jobs.reopen(jobs.Stage(asset.stage or jobs.Stage.INTAKE), asset.id, run=asset.run, after=0)


def delete(asset: FileAsset, *, as_seen: bool = False) -> None:
    """Delete the bytes, renditions and record, for good. Work that runs on it is stopped.

    ``as_seen``, and raises, as ``lifecycle.delete``.
    """
    with recording():
        jobs.cancel_of_file(asset.id)
        jobs.delete_of_file(asset.id)
        gone = lifecycle.delete(asset, as_seen=as_seen)
        on_commit(partial(lifecycle.delete_objects, gone))


def retire(*, dry_run: bool = False) -> Retired:
    """Release and delete what its profile keeps no longer. Work that runs on it is stopped."""
    return _retire(release, partial(delete, as_seen=True), dry_run=dry_run)
