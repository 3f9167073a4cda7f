"""What a job run does between a stage's last step and its end, while its lease is held: free bytes no longer needed."""

from __future__ import annotations

import structlog

from windlass.events.api import recording
from windlass.files.api import Blob, delete_objects, delete_renditions_except, find_duplicate, share_blob
from windlass.jobs import api as jobs
from windlass.processing.job_run import EndedStep, JobRun
from windlass.storage.contract import StoreError

log = structlog.get_logger(__name__)

#: How often another duplicate is looked for if one was deleted meanwhile.
ATTEMPTS = 3


def share_duplicate_bytes(run: JobRun) -> None:
    """After intake, let a file whose content its owner has already stored refer to those bytes instead of its own.

    Its own bytes are deleted while this run has them open. Those of a file that may be served already are left to the
    sweep, since a download may be about to open them. Raises LeaseLost.
    """
    asset, blob = run.asset, run.asset.blob
    if run.stage != jobs.Stage.INTAKE or blob is None or asset.checksum is None:
        return
    if blob.sha256 is None:
        run.save()  # of two equal files received at once, the later one must find the earlier one's digest
    for _ in range(ATTEMPTS):
        try:
            twin = find_duplicate(blob)
        except StoreError as error:  # the sweep shares the bytes later
            log.warning("file.not_shared", file_id=str(asset.id), reason=str(error))
            return
        if twin is None or _share(run, twin):
            return


def _share(run: JobRun, twin: Blob) -> bool:
    """Return False if the duplicate was deleted meanwhile; there may be another."""
    asset = run.asset
    with recording():
        jobs.renew_lease(run.claim)
        gone = share_blob(asset, twin)
    if asset.run == 1:
        delete_objects(gone)
    return asset.blob_id == twin.id


def delete_stale_renditions(run: JobRun, last: EndedStep | None) -> None:
    """At the end of the last stage, delete renditions of an earlier run of the file that this one did not make again.

    ``last`` is the stage's last step. Raises LeaseLost.
    """
    refused = last is not None and last.verdict is not None
    if run.asset.run == 1 or run.backfilling or refused or not run.is_last_stage():
        return
    with recording():
        jobs.renew_lease(run.claim)
        gone = delete_renditions_except(run.asset, run.record.unsaved_renditions)
    delete_objects(gone)
