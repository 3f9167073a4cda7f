"""Backfill postponed steps: queue the jobs of their stages again while the files are served, the oldest first."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from windlass.files.api import has_owed_step, has_owed_steps, owed_steps
from windlass.jobs import api as jobs
from windlass.processing.contract import Available, Step
from windlass.processing.level_postponement import postponed_steps
from windlass.processing.registry import installed, missing
from windlass.processing.step_services import services_admit_calls

#: Postponed steps that one query reads, and that one call looks at.
BATCH = 50
MOST_CONSIDERED = 500

log = structlog.get_logger(__name__)

_last_id = 0


def backfill() -> int:
    """Queue jobs for the oldest postponed steps that can run now; return how many. ``jobs.queue_backfills`` bounds
    their rate.

    Steps whose jobs cannot be queued now, such as dead letters, are passed over; a call that has considered
    MOST_CONSIDERED steps leaves the others to the next one.
    """
    if not has_owed_steps():
        return 0
    left_out = postponed_steps()
    possible = [name for name, step in installed().items() if name not in left_out and _can_run(step)]
    return jobs.queue_backfills(_oldest_first(possible)) if possible else 0


def _oldest_first(steps: list[str]) -> Iterator[jobs.Backfill]:
    """The stages with these postponed steps, from where the last call stopped if it had not seen all."""
    global _last_id
    after, seen = _last_id, set[jobs.Backfill]()
    _last_id = 0
    for _ in range(MOST_CONSIDERED // BATCH):
        postponed = owed_steps(steps, after=after, at_most=BATCH)
        long = {(step.file_id, step.stage) for step in postponed if installed()[step.step].about.long}
        for step in postponed:
            cost = jobs.cost_class(step.file.size, takes_long=(step.file_id, step.stage) in long)
            stage = jobs.Backfill(jobs.Stage(step.stage), step.file_id, step.run, cost)
            if stage not in seen:
                seen.add(stage)
                yield stage
        if len(postponed) < BATCH:
            return
        after = postponed[-1].id
    _last_id = after


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
