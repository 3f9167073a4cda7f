"""What the records say of a file as it goes: each function is one transaction, fenced by the job's claim.

All raise ``jobs.LeaseLost`` where the job is no longer ours; then nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from windlass.events.api import EventType, recording
from windlass.files.api import FileAsset, FileRun, FileStatus, StepOutcome, StepState, load_file
from windlass.jobs import api as jobs
from windlass.jobs.api import Stage
from windlass.processing.contract import Quarantine, Unavailable, Verdict
from windlass.processing.plan import PlannedStep, next_stage, passes_gate
from windlass.processing.registry import step as installed_step
from windlass.processing.work import Ended, Work, is_filling

#: Statuses in which a file's processing is not over.
OPEN = (FileStatus.PENDING, FileStatus.PROCESSING)
#: Statuses in which there may be something to do: what was owed is made good while the file is served.
WORKED_ON = (*OPEN, FileStatus.READY)

#: Seconds. What steps find within as much is recorded together: a worker that dies loses no more than that.
TOGETHER = 0.25
#: Seconds for which a job waits at least for a service that is away.
SHORTEST_WAIT = 1.0


def nothing_to_do(held: jobs.Claim) -> None:
    """The file was withdrawn, or this run of it is over."""
    with recording():
        jobs.acquire(held)
        jobs.finish(held)


def take(held: jobs.Claim) -> None:
    """Take the job. That its stage begins is said with what its first steps find, within ``TOGETHER``."""
    with recording():
        jobs.acquire(held)


def so_far(work: Work) -> None:
    """What has come of the work since the records last said. The stages that were gone through have jobs then, too."""
    held = work.held
    with _saving(work.run):
        if work.begun:
            held = jobs.finish_and_continue(held, work.begun)
        else:
            jobs.renew_lease(held)
    work.recorded(held)


def stage_ended(work: Work, last: Ended | None, stages: Collection[Stage]) -> bool:
    """What follows from it. Where that is a stage of ``stages`` without a long step, this worker goes on with it: True,
    and nothing need be recorded yet. Else the records say the file's outcome, or have the next stage's job."""
    following: Stage | None = None
    if last is not None and last.verdict is not None:
        _refuse(work.run, last.verdict)
    elif not work.filling:
        following = _following(work)
    if following is not None and following in stages and not _is_long(work.plan, following):
        work.go_on_with(following)
        begin_stage(work)
        return True
    with _saving(work.run):
        jobs.finish(work.held, work.begun)
        if following is not None:
            jobs.enqueue(following, work.held.file_id, run=work.held.run, request_id=work.held.request_id)
    return False


def try_again(held: jobs.Claim, run: FileRun, step: PlannedStep | None, error: BaseException, said: str) -> bool:
    """Due again after a while. False where the attempts are used up."""
    if held.last_attempt:
        return False
    with _saving(run):
        jobs.retry_later(held, error, step=step.name if step else "")
        if step is not None:
            state = StepState.OWED if is_filling(run.asset) else StepState.PENDING
            run.end(StepOutcome(step.name, state, 0, f"{said} It will be tried again."))
    return True


def postpone(held: jobs.Claim, run: FileRun, step: PlannedStep | None, error: Unavailable, said: str) -> None:
    """A service is away: the file waits as it did before its processing began. No attempt is used up."""
    with _saving(run):
        jobs.postpone(held, said, max(error.retry_after, SHORTEST_WAIT), step=step.name if step else "")
        if step is not None:
            run.end(StepOutcome(step.name, StepState.PENDING, 0, said))
        run.become(FileStatus.PENDING, message=said)


def give_up(held: jobs.Claim, run: FileRun, step: PlannedStep | None, error: BaseException, said: str) -> None:
    """A dead letter: the file has failed, with the reason. One that was ready stays so; the step alone has failed."""
    with _saving(run):
        jobs.dead_letter(held, error, step=step.name if step else "")
        if step is not None:
            run.end(StepOutcome(step.name, StepState.FAILED, 0, said))
        title = step.title if step else "Processing"
        attempts = f" after {held.attempt} attempts" if held.attempt > 1 else ""
        _fail(run, held.stage, held.attempt, f"{title} failed{attempts}. {said}")


def take_back(job: jobs.Job) -> bool:
    """Undo the claim of a worker that died. False where another had done so, or the job went on by itself."""
    with recording() as tell:
        again = jobs.revoke_claim(job)
        asset = load_file(job.file_id) if again is False else None
        if asset is not None and asset.run == job.run and asset.status in WORKED_ON:
            run = FileRun(asset)
            _lose(run, job)
            run.save(tell)
    return again is not None


@contextmanager
def _saving(run: FileRun) -> Iterator[None]:
    """A transaction at whose end the run's changes are written. If it fails, the run is of no more use."""
    with recording() as tell:
        yield
        run.save(tell)
    run.saved()


def begin_stage(work: Work) -> None:
    """Nothing is recorded yet."""
    if work.filling:
        # What is no longer wanted is no longer owed.
        planned = {step.name for step in work.plan}
        rows = work.run.rows.values()
        names = [row.step for row in rows if row.stage == work.stage and row.step not in planned]
        work.run.skip(owed=True, names=names)
    else:
        work.run.begin_stage(work.stage)
        work.write_plan()
    for step in work.to_do()[:1]:
        work.run.start(step.name)


def _refuse(run: FileRun, verdict: Verdict) -> None:
    run.skip(owed=True)
    target = FileStatus.QUARANTINED if isinstance(verdict, Quarantine) else FileStatus.REJECTED
    said = verdict.document()
    run.become(target, gate_passed=False, message=said["detail"], rejection=said)


def _following(work: Work) -> Stage | None:
    """The next stage; None where there is none, and the file is ready."""
    if work.stage == Stage.INTAKE:
        work.known_type()
    if not work.asset.gate_passed and passes_gate(work.plan, work.stage):
        work.run.pass_gate()
    name = next_stage(work.plan, work.stage)
    if name is not None:
        return Stage(name)
    work.run.skip()
    work.run.become(FileStatus.READY, progress=100, message="")
    return None


def _is_long(plan: Collection[PlannedStep], stage: Stage) -> bool:
    """A stage that takes long waits its turn: other files' gates come first."""
    return any(installed_step(step.name).about.long for step in plan if step.stage == stage)


def _lose(run: FileRun, job: jobs.Job) -> None:
    said = f"The worker died or stopped in each of {job.attempts} attempts."
    for row in list(run.rows.values()):
        if row.state == StepState.RUNNING:
            run.end(StepOutcome(row.step, StepState.FAILED, 0, said))
    _fail(run, job.stage, job.attempts, said)


def _fail(run: FileRun, stage: str, attempts: int, said: str) -> None:
    if not is_filling(run.asset):
        run.skip(owed=True)
        run.become(FileStatus.FAILED, message=said[:500])
    run.tell(EventType.JOB_DEAD, {"stage": stage, "attempts": attempts, "message": said})


def is_wanted(held: jobs.Claim, asset: FileAsset | None) -> bool:
    """Whether there may still be something to do for this job's file."""
    return asset is not None and asset.run == held.run and asset.status in WORKED_ON and asset.blob is not None
