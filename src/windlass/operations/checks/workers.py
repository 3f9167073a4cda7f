"""The processes beside the web processes: workers for each stage, and a scheduler. Told by their heartbeats."""

from __future__ import annotations

from collections.abc import Sequence

from windlass import conf
from windlass.jobs import api as jobs
from windlass.operations.checks.check import CheckFailed, CheckState, Finding

STAGES: Sequence[str] = jobs.Stage.values
_LIMIT = f"seen within {jobs.ALIVE_SECONDS:g} s"
_FILES = {jobs.CostClass.LIGHT: ", so its files", jobs.CostClass.HEAVY: " of large files and long steps, so these"}
_EAGER = Finding("Jobs run in the call that enqueues them.", CheckState.OFF)


def check_workers(stage: str) -> Finding:
    """The server is ready without workers: files are received and wait for them."""
    if conf.get().celery_task_always_eager:
        return _EAGER
    seen = jobs.seen_processes(jobs.ProcessRole.WORKER)
    for cost, files in _FILES.items():
        workers = [each for each in seen if jobs.Queue(jobs.Stage(stage), cost) in each.queues]
        if not any(each.alive for each in workers):
            raise CheckFailed(f"No worker runs this stage{files} wait. {_last_seen(workers)}", _LIMIT)
    alive = [each for each in seen if each.alive and stage in {queue.stage for queue in each.queues}]
    return Finding(f"{len(alive)} running, the last seen {alive[0].age_seconds:.0f} s ago.", limit=_LIMIT)


def check_scheduler() -> Finding:
    """The server is ready without it, but nothing is tried again, expires or is cleaned up."""
    if conf.get().celery_task_always_eager:
        return _EAGER
    schedulers = jobs.seen_processes(jobs.ProcessRole.SCHEDULER)
    if not any(each.alive for each in schedulers):
        detail = "No scheduler runs: lost notifications are not sent again, and nothing expires."
        raise CheckFailed(f"{detail} {_last_seen(schedulers)}", _LIMIT)
    return Finding(f"Last seen {schedulers[0].age_seconds:.0f} s ago.", limit=_LIMIT)


def _last_seen(processes: Sequence[jobs.SeenProcess]) -> str:
    if not processes:
        return "None was seen in the last minutes."
    return f"The last one was seen {processes[0].age_seconds:.0f} s ago."
