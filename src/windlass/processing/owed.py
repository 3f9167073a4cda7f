"""Steps that were left for later, made good: the jobs of their stages are opened again while the files are served."""

from __future__ import annotations

import structlog

from windlass.database.connection import atomic
from windlass.files.api import has_owed_step, owed_steps
from windlass.jobs import api as jobs
from windlass.processing.contract import Available, Step
from windlass.processing.registry import installed, missing

#: How many steps are looked at in one go: new files are not to wait behind old debts.
AT_MOST = 20
#: Seconds between two tries of the same stage of a file.
PAUSE = 30.0

log = structlog.get_logger(__name__)

_looked_at = 0


def fill_in() -> int:
    """Make jobs for owed steps that can be done now; returns how many. Each call goes on where the last one ended."""
    global _looked_at
    possible = [name for name, step in installed().items() if _is_possible(step)]
    found = owed_steps(possible, after=_looked_at, at_most=AT_MOST)
    _looked_at = found[-1].id if len(found) == AT_MOST else 0
    stages = dict.fromkeys((step.file_id, step.run, step.stage) for step in found)
    if not stages:
        return 0
    with atomic():
        return sum(jobs.reopen(jobs.Stage(stage), file, run=run, after=PAUSE) for file, run, stage in stages)


def _is_possible(step: Step) -> bool:
    if missing(step.about):
        return False
    if not isinstance(step, Available) or not has_owed_step(step.about.name):
        return True
    try:
        return step.available()
    except Exception as error:  # noqa: BLE001  a plug-in may fail in any way; the others' debts are paid all the same
        log.warning("step.not_available", step=step.about.name, reason=str(error))
        return False
