"""What an earlier run made of a file and this one did not, for the profile or the steps have changed since."""

from __future__ import annotations

from windlass.events.api import recording
from windlass.files.api import delete_objects, lifecycle
from windlass.jobs import api as jobs
from windlass.processing.plan import next_stage
from windlass.processing.work import Ended, Work, further_types, plan_for


def forget_stale(work: Work, last: Ended | None) -> None:
    """Called at the end of a stage, while its job is still held: no other run can be making what is deleted here.

    ``last``: the stage's last step. Does nothing before the run's last stage. Raises Fenced.
    """
    refused = last is not None and last.verdict is not None
    if work.asset.run == 1 or work.filling or refused or not _is_last(work, last):
        return
    with recording():
        jobs.renew_lease(work.held)
        gone = lifecycle.drop_stale_renditions(work.asset, work.run.unsaved_renditions)
    delete_objects(gone)


def _is_last(work: Work, last: Ended | None) -> bool:
    mime_type = (last.facts.get("mime_type") if last else None) or work.asset.mime_type
    also = tuple((last.facts.get("also") if last else None) or further_types(work.asset))
    return next_stage(plan_for(work.profile, mime_type, also), work.stage) is None
