"""What the records say of a stage as it goes: each function is one transaction, fenced by the job's claim.

All raise ``jobs.Fenced`` where the job is no longer ours; then nothing is recorded.
"""

from __future__ import annotations

import uuid

from windlass.events.api import EventType, Recorder, recording
from windlass.files.api import FileAsset, FileStatus, StepOutcome, StepPlan, StepState, assets
from windlass.jobs import api as jobs
from windlass.processing.contract import Quarantine, Unavailable, Verdict
from windlass.processing.plan import PlannedStep, next_stage, passes_gate
from windlass.processing.work import Ended, Work, is_filling, plan_for

#: Statuses in which a file's processing is not over.
OPEN = (FileStatus.PENDING, FileStatus.PROCESSING)
#: Statuses in which there may be something to do: what was owed is made good while the file is served.
WORKED_ON = (*OPEN, FileStatus.READY)

#: Seconds for which a job waits at least for a service that is away.
SHORTEST_WAIT = 1.0


def stage_began(work: Work) -> None:
    with recording() as tell:
        jobs.keep(work.held)
        if work.filling:
            _forgive(work)
        else:
            assets.stage_began(tell, work.asset, work.held.stage)
            assets.plan_steps(work.asset, [StepPlan(step.stage, step.name) for step in work.plan])
        for step in work.to_do()[:1]:
            assets.step_started(work.asset, step.name)


def _forgive(work: Work) -> None:
    """What is no longer wanted is no longer owed."""
    planned = {step.name for step in work.plan}
    names = [row.step for row in assets.steps(work.asset) if row.stage == work.held.stage and row.step not in planned]
    assets.skip_steps(work.asset, owed=True, names=names)


def nothing_to_do(held: jobs.Claim) -> None:
    """The file was withdrawn, or this run of it is over."""
    with recording():
        jobs.finish(held)


def step_ended(work: Work, ended: Ended, following: PlannedStep) -> None:
    """Its result, and the next step as running: one transaction, for each costs the database a sync."""
    with recording() as tell:
        jobs.keep(work.held)
        _record(tell, work, ended)
        assets.step_started(work.asset, following.name)


def stage_ended(work: Work, last: Ended | None) -> None:
    """The last step's result together with what follows from it: the next stage's job, or the file's outcome."""
    with recording() as tell:
        jobs.finish(work.held)
        if last is not None:
            _record(tell, work, last)
        if last is not None and last.verdict is not None:
            _refuse(tell, work.asset, last.verdict)
        elif not work.filling:
            _go_on(tell, work)


def try_again(held: jobs.Claim, asset: FileAsset, step: PlannedStep | None, error: BaseException, said: str) -> bool:
    """Due again after a while. False where the attempts are used up."""
    with recording() as tell:
        if not jobs.retry_later(held, error, step=step.name if step else ""):
            return False
        if step is not None:
            state = StepState.OWED if is_filling(asset) else StepState.PENDING
            detail = f"{said} It will be tried again."
            assets.step_ended(tell, asset, StepOutcome(step.name, state, 0, detail), asset.progress)
    return True


def postpone(held: jobs.Claim, asset: FileAsset, step: PlannedStep | None, error: Unavailable, said: str) -> None:
    """A service is away: the file waits as it did before its processing began. No attempt is used up."""
    with recording() as tell:
        jobs.postpone(held, said, max(error.retry_after, SHORTEST_WAIT), step=step.name if step else "")
        if step is not None:
            assets.step_ended(tell, asset, StepOutcome(step.name, StepState.PENDING, 0, said), asset.progress)
        assets.move(tell, asset, FileStatus.PENDING, message=said)


def give_up(held: jobs.Claim, asset: FileAsset, step: PlannedStep | None, error: BaseException, said: str) -> None:
    """A dead letter: the file has failed, with the reason. One that was ready stays so; the step alone has failed."""
    with recording() as tell:
        jobs.bury(held, error, step=step.name if step else "")
        if step is not None:
            assets.step_ended(tell, asset, StepOutcome(step.name, StepState.FAILED, 0, said), asset.progress)
        title = step.title if step else "Processing"
        attempts = f" after {held.attempt} attempts" if held.attempt > 1 else ""
        _fail(tell, asset, held.stage, held.attempt, f"{title} failed{attempts}. {said}")


def take_back(job: jobs.Job) -> bool:
    """Undo the claim of a worker that died. False where another had done so, or the job went on by itself."""
    with recording() as tell:
        again = jobs.take_back(job)
        if again is False:
            asset = assets.load(job.file_id)
            if asset is not None and asset.run == job.run and asset.status in WORKED_ON:
                said = f"The worker died or stopped in each of {job.attempts} attempts."
                _fail_running_steps(tell, asset, said)
                _fail(tell, asset, job.stage, job.attempts, said)
    return again is not None


def _record(tell: Recorder, work: Work, ended: Ended) -> None:
    asset, facts = work.asset, dict(ended.facts)
    if "checksum" in facts:
        assets.know_checksum(asset, facts["checksum"])
    if "duplicate_of" in facts:
        original = facts.pop("duplicate_of")
        assets.set_duplicate(asset, uuid.UUID(original) if original else None)
    for made in ended.renditions:
        assets.save_rendition(asset, made)
    work.ended.add(ended.step.name)
    outcome = StepOutcome(ended.step.name, ended.state, ended.seconds, ended.detail, facts)
    assets.step_ended(tell, asset, outcome, work.progress())


def _refuse(tell: Recorder, asset: FileAsset, verdict: Verdict) -> None:
    assets.skip_steps(asset, owed=True)
    target = FileStatus.QUARANTINED if isinstance(verdict, Quarantine) else FileStatus.REJECTED
    said = verdict.document()
    assets.move(tell, asset, target, gate_passed=False, message=said["detail"], rejection=said)


def _go_on(tell: Recorder, work: Work) -> None:
    asset, held = work.asset, work.held
    if held.stage == jobs.Stage.INTAKE:
        work.plan = plan_for(work.profile, asset.mime_type)
        assets.plan_steps(asset, [StepPlan(step.stage, step.name) for step in work.plan])
    if not asset.gate_passed and passes_gate(work.plan, held.stage):
        assets.pass_gate(asset)
    following = next_stage(work.plan, held.stage)
    if following is None:
        assets.skip_steps(asset)
        assets.move(tell, asset, FileStatus.READY, progress=100, message="")
    else:
        jobs.enqueue(jobs.Stage(following), asset.id, run=held.run, request_id=held.request_id)


def _fail_running_steps(tell: Recorder, asset: FileAsset, said: str) -> None:
    for row in assets.steps(asset):
        if row.state == StepState.RUNNING:
            assets.step_ended(tell, asset, StepOutcome(row.step, StepState.FAILED, 0, said), asset.progress)


def _fail(tell: Recorder, asset: FileAsset, stage: str, attempts: int, said: str) -> None:
    if not is_filling(asset):
        assets.skip_steps(asset, owed=True)
        assets.move(tell, asset, FileStatus.FAILED, message=said[:500])
    tell.add(
        EventType.JOB_DEAD,
        owner=asset.owner,
        file_id=asset.id,
        data={"stage": stage, "attempts": attempts, "message": said},
    )
