"""A job run: one claimed execution of a job, its plan and progress, and the transactions that record them.

A worker may run the stages that follow the claimed one in the same job run; their jobs are created when the run is
saved. Functions and methods that write raise ``jobs.LeaseLost`` if the claim is no longer valid, and record nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from windlass.events.api import EventType, recording
from windlass.files import api as files
from windlass.files.api import (
    FACT_COLUMNS,
    FileAsset,
    FileStatus,
    ProcessingRecord,
    Rendition,
    StepOutcome,
    StepState,
    load_file,
)
from windlass.jobs import api as jobs
from windlass.jobs.api import CostClass, Queue, Stage
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic, now
from windlass.processing.contract import Quarantine, Unavailable, Verdict
from windlass.processing.level_postponement import postponed_steps
from windlass.processing.plan import PlannedStep, next_stage, overall, passes_gate, plan_for, profile_document
from windlass.processing.registry import step as installed_step

#: Statuses of a file whose processing is not finished.
UNFINISHED_FILES = (FileStatus.PENDING, FileStatus.PROCESSING)
#: Statuses of a file that may have steps to run: postponed steps are backfilled while the file is served.
RUNNABLE_FILES = (*UNFINISHED_FILES, FileStatus.READY)

#: States of a step that is finished in this run.
FINISHED_STEPS = frozenset({StepState.DONE, StepState.SKIPPED, StepState.OWED, StepState.FAILED})
#: States of a step to backfill in a ready file: postponed, or left running by a worker that died.
BACKFILLED_STEPS = frozenset({StepState.OWED, StepState.RUNNING, StepState.PENDING})

#: Results of steps within this many seconds are saved in one transaction; a worker that dies loses no more than that.
SAVE_INTERVAL = 0.25
#: Seconds that a job waits at least for an unavailable service.
SHORTEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class EndedStep:
    """How a step ended. Its renditions are in the store already."""

    step: PlannedStep
    state: StepState
    seconds: float
    detail: str
    facts: Mapping[str, Any]
    renditions: Sequence[Rendition] = ()
    verdict: Verdict | None = None


class JobRun:
    """``plan`` covers the whole file as far as its type is known. ``current`` is the step that runs.

    ``backfilling``: the file is ready and stays in service while its postponed steps are run. ``claim`` is the claim as
    last saved, ``saved_at`` when that was (monotonic); ``_started`` are the stages started since.
    """

    def __init__(self, claim: jobs.Claim, asset: FileAsset) -> None:
        # The first job of a ready file may be one that was created anew for postponed steps: then there are steps.
        untouched = claim.stage == Stage.INTAKE and claim.epoch == 1 and asset.status == FileStatus.PENDING
        self.claim = claim
        self.record = ProcessingRecord(asset, untouched=untouched)
        self.backfilling = is_backfilling(asset)
        self.acquired = False
        self.plan: Sequence[PlannedStep] = ()
        self.current: PlannedStep | None = None
        self._postponed: set[str] = set()
        self.saved_at = self._stage_began_at = monotonic()
        self._started: Sequence[jobs.StartedStage] = ()

    @property
    def asset(self) -> FileAsset:
        return self.record.asset

    @property
    def stage(self) -> Stage:
        """The stage that is being run."""
        return self._started[-1].stage if self._started else self.claim.stage

    @property
    def has_moved_on(self) -> bool:
        """Whether stages were started that have no job row yet."""
        return bool(self._started)

    @property
    def profile_document(self) -> Mapping[str, Any]:
        return profile_document(self._profile)

    def load_plan(self) -> None:
        """Raises BrokenStep, and InvalidField for a profile that no longer exists."""
        self._profile = files.profile(self.asset.profile)
        known = self.backfilling or self.claim.stage != Stage.INTAKE
        self.plan = plan_for(self._profile, *self.types()) if known else plan_for(self._profile, None)

    def types(self) -> tuple[str | None, tuple[str, ...]]:
        """The file's type, and the further types that the same bytes have."""
        mime_type = self.asset.mime_type
        return mime_type, tuple(self.asset.extra_attributes.get("also") or ()) if mime_type else ()

    def steps_to_do(self) -> list[PlannedStep]:
        """The unfinished steps of this stage, in order: a retry starts at the first of them."""
        return [step for step in self.plan if step.stage == self.stage and self._is_to_do(step)]

    def _is_to_do(self, step: PlannedStep) -> bool:
        row = self.record.steps.get(step.name)
        if step.name in self._postponed:
            return False
        if self.backfilling:
            return row is not None and row.state in BACKFILLED_STEPS
        return row is None or row.state not in FINISHED_STEPS

    def known_facts(self) -> Mapping[str, Any]:
        """The facts so far, for the next step."""
        asset = self.asset
        known: dict[str, Any] = dict(asset.extra_attributes)
        for name in ("declared_mime_type", "expected_sha256", *FACT_COLUMNS):
            value = getattr(asset, name)
            if value is not None:
                known[name] = value
        return known | {"filename": asset.original_filename, "size": asset.size, "metadata": asset.metadata}

    # Progress in memory; nothing is saved

    def start_stage(self) -> None:
        self._stage_began_at = monotonic()
        if self.backfilling:
            # A postponed step that the profile no longer asks for is no longer owed.
            planned = {step.name for step in self.plan}
            rows = self.record.steps.values()
            names = [row.step for row in rows if row.stage == self.stage and row.step not in planned]
            self.record.skip_steps(owed=True, names=names)
        else:
            self.record.start_stage(self.stage)
            self._add_planned_steps()
        self._postpone_steps()
        for step in self.steps_to_do()[:1]:
            self.record.start_step(step.name)

    def _postpone_steps(self) -> None:
        """Postpone the steps of this stage that the service level leaves out."""
        reasons = postponed_steps()
        for step in self.steps_to_do():
            if step.name not in reasons:
                continue
            row = self.record.steps.get(step.name)
            if row is None or row.state != StepState.OWED:
                self.end_step(EndedStep(step, StepState.OWED, 0, reasons[step.name], {}))
            self._postponed.add(step.name)

    def start_step(self, step: PlannedStep) -> None:
        self.current = step
        self.record.start_step(step.name)

    def set_progress(self, step: PlannedStep, percent: int) -> None:
        reached = overall(self.plan, self._finished_names(), step.name, percent)
        self.record.set_progress(step.name, percent, reached, step.title)

    def end_step(self, ended: EndedStep) -> None:
        outcome = StepOutcome(ended.step.name, ended.state, ended.seconds, ended.detail, ended.facts)
        self.record.add_renditions(ended.renditions)
        self.record.end_step(outcome, overall(self.plan, self._finished_names() | {ended.step.name}))
        if self.backfilling and ended.state == StepState.DONE:
            self._owe_following(ended.step.name)
        # The steps after intake are known only once it is over, so it cannot open the gate here.
        if ended.step.gate and ended.verdict is None and self.stage != Stage.INTAKE:
            gates = [step.name for step in self.plan if step.gate]
            if self._finished_names().issuperset(gates) and not self.asset.gate_passed:
                self.record.pass_gate()

    def _owe_following(self, name: str) -> None:
        """Postpone the steps that follow this one and have worked without its result."""
        for step in self.plan:
            row = self.record.steps.get(step.name)
            if name in installed_step(step.name).about.follows and row is not None and row.state in FINISHED_STEPS:
                self.record.owe_again(step.name, "There is more to work on now; it follows soon.")

    def _finished_names(self) -> set[str]:
        return {name for name, row in self.record.steps.items() if row.state in FINISHED_STEPS}

    def _add_planned_steps(self) -> None:
        self.record.add_steps((step.stage, step.name) for step in self.plan)

    # Transactions

    def acquire(self) -> None:
        """Claim the job. That its stage starts is saved with its first results, within SAVE_INTERVAL."""
        with recording():
            jobs.acquire(self.claim)
        self.acquired = True
        if self.claim.due_at is not None:
            process_counters.job_wait_seconds.observe((now() - self.claim.due_at).total_seconds(), self.claim.stage)

    def save(self) -> None:
        """Record everything since the last save, with jobs for the stages that were started."""
        claim = self.claim
        with self._saving():
            if self._started:
                claim = jobs.finish_and_continue(claim, self._started)
            else:
                jobs.renew_lease(claim)
        self.claim, self._started, self.saved_at = claim, (), monotonic()

    def end_stage(self, last: EndedStep | None, queues: Collection[Queue]) -> bool:
        """Decide what follows the stage whose last step is ``last``.

        Return True if this worker continues with the next stage: one of ``queues`` without a long step; nothing is
        saved yet. Otherwise save the file's outcome or enqueue the next stage's job, and return False.
        """
        following: Stage | None = None
        if last is not None and last.verdict is not None:
            self._refuse(last.verdict)
        elif not self.backfilling:
            following = self._following_stage()
        cost, takes_long = CostClass.LIGHT, False
        if following is not None:
            takes_long = self._has_long_step(following)
            cost = jobs.cost_class(self.asset.size, takes_long=takes_long)
        if following is not None and not takes_long and Queue(following, cost) in queues:
            self._count_attempt("done")
            self._started = (*self._started, jobs.StartedStage(following, now(), cost))
            self.current = None
            self.start_stage()
            return True
        with self._saving():
            jobs.finish(self.claim, self._started)
            if following is not None:
                run, request_id = self.claim.run, self.claim.request_id
                jobs.enqueue(following, self.claim.file_id, cost=cost, run=run, request_id=request_id)
        self._count_attempt("done")
        return False

    def _count_attempt(self, outcome: str) -> None:
        process_counters.jobs_ended.add(1, self.stage, outcome)
        process_counters.job_run_seconds.observe(monotonic() - self._stage_began_at, self.stage)

    def _refuse(self, verdict: Verdict) -> None:
        self.record.skip_steps(owed=True)
        status = FileStatus.QUARANTINED if isinstance(verdict, Quarantine) else FileStatus.REJECTED
        document = verdict.document()
        self.record.set_status(status, gate_passed=False, message=document["detail"], rejection=document)

    def _following_stage(self) -> Stage | None:
        """The next stage; None if there is none, and the file is ready."""
        if self.stage == Stage.INTAKE:
            self.plan = plan_for(self._profile, *self.types())
            self._add_planned_steps()
        if not self.asset.gate_passed and passes_gate(self.plan, self.stage):
            self.record.pass_gate()
        name = next_stage(self.plan, self.stage)
        if name is not None:
            return Stage(name)
        self.record.skip_steps()
        self.record.set_status(FileStatus.READY, progress=100, message="")
        return None

    def is_last_stage(self) -> bool:
        return next_stage(plan_for(self._profile, *self.types()), self.stage) is None

    def _has_long_step(self, stage: Stage) -> bool:
        """A stage that takes long is queued: the intake of other files comes first."""
        planned, postponed = [step.name for step in self.plan if step.stage == stage], postponed_steps()
        return any(installed_step(name).about.long for name in planned if name not in postponed)

    def retry_later(self, error: BaseException, reason: str) -> bool:
        """Queue the job again after a backoff. Return False if its attempts are used up."""
        if self.claim.last_attempt:
            return False
        state = StepState.OWED if is_backfilling(self.asset) else StepState.PENDING
        with self._saving():
            jobs.retry_later(self.claim, error, step=self._current_name())
            self._end_current(state, f"{reason} It will be tried again.")
        self._count_attempt("retried")
        return True

    def postpone(self, error: Unavailable, reason: str) -> None:
        """Queue the job again for an unavailable service: the file is pending again, and no attempt is used up."""
        with self._saving():
            seconds = max(error.retry_after, SHORTEST_WAIT)
            jobs.postpone(self.claim, reason, seconds, step=self._current_name())
            self._end_current(StepState.PENDING, reason)
            self.record.set_status(FileStatus.PENDING, message=reason)
        self._count_attempt("postponed")

    def hand_back(self) -> None:
        """Queue the job again for another worker, because this one ends: no attempt is used up. What is done stays."""
        if self.has_moved_on:
            self.save()
        with self._saving():
            jobs.hand_back(self.claim)
        self._count_attempt("postponed")

    def dead_letter(self, error: BaseException, reason: str) -> None:
        """End the job for good. The file has failed; one that was ready stays so, and the step alone has failed."""
        with self._saving():
            jobs.dead_letter(self.claim, error, step=self._current_name())
            self._end_current(StepState.FAILED, reason)
            title = self.current.title if self.current else "Processing"
            attempts = f" after {self.claim.attempt} attempts" if self.claim.attempt > 1 else ""
            dead_letter = {
                "task_id": str(self.claim.job_id),
                "stage": self.claim.stage.value,
                "step": self._current_name() or None,
                "error_class": type(error).__name__,
                "attempts": self.claim.attempt,
            }
            _fail(self.record, dead_letter, f"{title} failed{attempts}. {reason}")
        self._count_attempt("dead")

    def discard_unsaved(self) -> None:
        """Read the record again: a transaction may have failed. What was not saved did not happen, and is redone."""
        asset = load_file(self.claim.file_id)
        if asset is None:
            raise jobs.LeaseLost(f"file {self.claim.file_id} is gone")
        self.record = ProcessingRecord(asset)
        self._started = ()
        self._add_planned_steps()
        if self.current is not None and self.current.stage != self.stage:
            self.current = None

    def _current_name(self) -> str:
        return self.current.name if self.current else ""

    def _end_current(self, state: StepState, reason: str) -> None:
        if self.current is not None:
            self.record.end_step(StepOutcome(self.current.name, state, 0, reason))

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """A transaction that saves the record at its end. If it fails, the record must be read again."""
        with recording() as recorder:
            yield
            self.record.save(recorder)
        self.record.mark_saved()


def is_backfilling(asset: FileAsset) -> bool:
    return asset.status == FileStatus.READY


def is_runnable(claim: jobs.Claim, asset: FileAsset) -> bool:
    """Whether the job's file may still have steps to run."""
    return asset.run == claim.run and asset.status in RUNNABLE_FILES and asset.blob is not None


def finish_without_work(claim: jobs.Claim) -> None:
    """End a job whose file was released or deleted, or whose run is over."""
    with recording():
        jobs.acquire(claim)
        jobs.finish(claim)


def revoke_claim(job: jobs.Job) -> bool:
    """Undo the claim of a worker that died; a file whose last attempt it was has failed.

    Return False if the job changed meanwhile.
    """
    with recording() as recorder:
        step = files.running_step(job.file_id, job.run, job.stage)
        is_due_again = jobs.revoke_claim(job, step)
        asset = load_file(job.file_id) if is_due_again is False else None
        if asset is not None and asset.run == job.run and asset.status in RUNNABLE_FILES:
            record = ProcessingRecord(asset)
            reason = f"The worker died or stopped in each of {job.attempts} attempts."
            for row in list(record.steps.values()):
                if row.state == StepState.RUNNING:
                    record.end_step(StepOutcome(row.step, StepState.FAILED, 0, reason))
            dead_letter = {
                "task_id": str(job.id),
                "stage": job.stage,
                "step": step or None,
                "error_class": jobs.WORKER_LOST,
                "attempts": job.attempts,
            }
            _fail(record, dead_letter, reason)
            record.save(recorder)
    if is_due_again is not None:
        process_counters.jobs_ended.add(1, job.stage, "lost")
    return is_due_again is not None


def _fail(record: ProcessingRecord, dead_letter: Mapping[str, Any], message: str) -> None:
    """``dead_letter``: what the event says of the job. Owed steps stay owed: they are run after a retry of the job."""
    if not is_backfilling(record.asset):
        record.skip_steps()
        record.set_status(FileStatus.FAILED, message=message[:500])
    record.add_event(EventType.JOB_DEAD, {**dead_letter, "message": message})
