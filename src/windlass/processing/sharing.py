"""A file whose content its owner has here already gives up its own copy of the bytes."""

from __future__ import annotations

import structlog

from windlass.events.api import recording
from windlass.files.api import Blob, delete_objects, find_duplicate, share_blob
from windlass.jobs import api as jobs
from windlass.processing import records
from windlass.processing.work import Work
from windlass.storage.contract import StoreError

log = structlog.get_logger(__name__)

#: How often another twin is looked for where one went.
ATTEMPTS = 3


def store_once(work: Work) -> None:
    """Called at the end of a stage, while its job is still held, and does something after intake. Raises Fenced.

    The bytes that are being read go away under their reader, which has them open. Those of a file that may be served
    are left to the sweep, since a download may be about to open them.
    """
    asset, blob = work.asset, work.asset.blob
    if work.stage != jobs.Stage.INTAKE or blob is None or asset.checksum is None:
        return
    if blob.sha256 is None:
        records.so_far(work)  # of two that come at once, the later one is to find the earlier one's digest
    for _ in range(ATTEMPTS):
        try:
            twin = find_duplicate(blob)
        except StoreError as error:  # a file is not to wait for this: the sweep shares it later
            log.warning("file.not_shared", file_id=str(asset.id), reason=str(error))
            return
        if twin is None or _share(work, twin):
            return


def _share(work: Work, twin: Blob) -> bool:
    """False where the twin went while it was looked at; there may be another."""
    asset = work.asset
    with recording():
        jobs.renew_lease(work.held)
        gone = share_blob(asset, twin)
    if asset.run == 1:
        delete_objects(gone)
    return asset.blob_id == twin.id
