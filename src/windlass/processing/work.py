"""One stage of one file, as the runner holds it: what is claimed, what is planned, what has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from windlass.files import api as files
from windlass.files.api import (
    FACT_COLUMNS,
    FileAsset,
    FileRun,
    FileStatus,
    StepOutcome,
    StepPlan,
    StepState,
    StoredRendition,
)
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic, now
from windlass.processing.contract import Verdict
from windlass.processing.plan import PlannedStep, make_plan, overall
from windlass.processing.registry import installed, missing

#: States in which a step is over for this run.
OVER = frozenset({StepState.DONE, StepState.SKIPPED, StepState.OWED, StepState.FAILED})
#: Where a file is ready, what is not over was left for later, or was being made good by a worker that died.
UNFINISHED = frozenset({StepState.OWED, StepState.RUNNING, StepState.PENDING})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended, its renditions already in the store."""

    step: PlannedStep
    state: StepState
    seconds: float
    detail: str
    facts: Mapping[str, Any]
    renditions: Sequence[StoredRendition] = ()
    verdict: Verdict | None = None


@dataclass(slots=True)
class Work:
    """``plan`` is the whole file's as far as it is known; ``current`` is being done. ``filling``: the file is ready and
    stays in service, while what was left for later is made good. ``recorded_at`` is when the records last said how
    things stand (monotonic), ``held`` the claim as they have it; ``begun`` are the stages that were begun since."""

    held: jobs.Claim
    run: FileRun
    profile: files.Profile
    rules: Mapping[str, Any]
    plan: Sequence[PlannedStep]
    filling: bool
    begun: Sequence[jobs.StartedStage] = ()
    current: PlannedStep | None = None
    recorded_at: float = field(default_factory=monotonic)

    @property
    def asset(self) -> FileAsset:
        return self.run.asset

    @property
    def stage(self) -> jobs.Stage:
        """The one that is being worked on."""
        return self.begun[-1].stage if self.begun else self.held.stage

    def to_do(self) -> list[PlannedStep]:
        """The steps of this stage that are not done, in order: a retry starts at the first of them."""
        return [step for step in self.plan if step.stage == self.stage and self._is_due(step)]

    def _is_due(self, step: PlannedStep) -> bool:
        row = self.run.rows.get(step.name)
        if self.filling:
            return row is not None and row.state in UNFINISHED
        return row is None or row.state not in OVER

    def take_in(self, ended: Ended) -> None:
        """What the next step may build upon."""
        outcome = StepOutcome(ended.step.name, ended.state, ended.seconds, ended.detail, ended.facts)
        self.run.made(ended.renditions)
        over = {name for name, row in self.run.rows.items() if row.state in OVER}
        self.run.end(outcome, overall(self.plan, over | {ended.step.name}))
        if ended.step.gate and ended.verdict is None and self.stage != jobs.Stage.INTAKE:
            self._open_gate()

    def _open_gate(self) -> None:
        """As soon as every step that may refuse the file has said yes. What follows intake is known after it only."""
        waiting = [step for step in self.plan if step.gate and self.run.rows[step.name].state not in OVER]
        if not waiting and not self.asset.gate_passed:
            self.run.pass_gate()

    def progressed(self, step: PlannedStep, percent: int) -> None:
        over = {name for name, row in self.run.rows.items() if row.state in OVER}
        self.run.progress(step.name, percent, overall(self.plan, over, step.name, percent), step.title)

    def known_type(self) -> None:
        """The type is known: so are the steps that follow intake."""
        self.plan = plan_for(self.profile, self.asset.mime_type, further_types(self.asset))
        self.write_plan()

    def write_plan(self) -> None:
        self.run.plan(StepPlan(step.stage, step.name) for step in self.plan)

    def go_on_with(self, stage: jobs.Stage) -> None:
        self.begun, self.current = (*self.begun, jobs.StartedStage(stage, now())), None

    def recorded(self, held: jobs.Claim) -> None:
        """The records say what this says; ``held`` is the claim from here on."""
        self.held, self.begun, self.recorded_at = held, (), monotonic()

    def forget_unrecorded(self, run: FileRun) -> None:
        """Stand where the records do: ``run`` is what they say."""
        self.run, self.begun = run, ()
        self.write_plan()
        if self.current is not None and self.current.stage != self.stage:
            self.current = None

    def facts(self) -> Mapping[str, Any]:
        """What is known so far, for the next step."""
        asset = self.asset
        known: dict[str, Any] = dict(asset.extra_attributes)
        for name in ("declared_mime_type", "expected_sha256", *FACT_COLUMNS):
            value = getattr(asset, name)
            if value is not None:
                known[name] = value
        return known | {"filename": asset.original_filename, "size": asset.size, "metadata": asset.metadata}


@lru_cache(maxsize=512)
def plan_for(profile: files.Profile, mime_type: str | None, also: tuple[str, ...] = ()) -> Sequence[PlannedStep]:
    """Which steps a file of this profile and type goes through, and why; intake only while the type is not known."""
    abouts = [step.about for step in installed().values()]
    return tuple(make_plan(abouts, profile.document(), mime_type, missing, also))


def further_types(asset: FileAsset) -> tuple[str, ...]:
    """What else the same bytes are."""
    return tuple(asset.extra_attributes.get("also") or ())


@lru_cache(maxsize=64)
def _rules(profile: files.Profile) -> Mapping[str, Any]:
    return MappingProxyType(profile.document())


def is_filling(asset: FileAsset) -> bool:
    return asset.status == FileStatus.READY


def work_on(held: jobs.Claim, run: FileRun) -> Work:
    """Raises BrokenStep, and InvalidField for a profile that is no longer there."""
    profile, filling = files.profile(run.asset.profile), is_filling(run.asset)
    known = run.asset.mime_type if filling or held.stage != jobs.Stage.INTAKE else None
    plan = plan_for(profile, known, further_types(run.asset) if known else ())
    return Work(held, run, profile, _rules(profile), plan, filling)
