"""Backfill postponed steps: reopen the jobs of their stages while the files are served."""

from __future__ import annotations

import structlog

from windlass.database.connection import atomic
from windlass.files.api import has_owed_step, owed_steps
from windlass.jobs import api as jobs
from windlass.processing.contract import Available, Step
from windlass.processing.registry import installed, missing
from windlass.processing.step_services import services_admit_calls

#: Postponed steps per call: new files must not wait behind many backfills.
BATCH = 20
#: Seconds between two attempts at the same stage of a file.
RETRY_SECONDS = 30.0

log = structlog.get_logger(__name__)

_last_id = 0


def backfill() -> int:
    """Reopen jobs for postponed steps that can run now; return how many. Each call continues after the last one."""
    global _last_id
    possible = [name for name, step in installed().items() if _can_run(step)]
    postponed = owed_steps(possible, after=_last_id, at_most=BATCH)
    _last_id = postponed[-1].id if len(postponed) == BATCH else 0
    stages = dict.fromkeys((step.file_id, step.run, step.stage) for step in postponed)
    if not stages:
        return 0
    with atomic():
        return sum(jobs.reopen(jobs.Stage(stage), file, run=run, after=RETRY_SECONDS) for file, run, stage in stages)


def _can_run(step: Step) -> bool:
    if missing(step.about):
        return False
    if step.about.services and has_owed_step(step.about.name) and not services_admit_calls(step.about):
        return False
    if not isinstance(step, Available) or not has_owed_step(step.about.name):
        return True
    try:
        return step.available()
    except Exception as error:  # noqa: BLE001  a plug-in may fail in any way; the other steps are backfilled all the same
        log.warning("step.not_available", step=step.about.name, reason=str(error))
        return False
