"""One stage of one file, as the runner holds it: what is claimed, what is planned, what has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windlass.files import api as files
from windlass.files.api import FileAsset, FileStatus, StepState, StoredRendition, assets
from windlass.jobs import api as jobs
from windlass.processing.contract import Verdict
from windlass.processing.plan import PlannedStep, make_plan, overall
from windlass.processing.registry import installed

#: States in which a step is over for this run.
#: Where a file is ready, what is not over was left for later, or was being made good by a worker that died.
OPEN = frozenset({StepState.OWED, StepState.RUNNING, StepState.PENDING})
OVER = frozenset({StepState.DONE, StepState.SKIPPED, StepState.OWED, StepState.FAILED})


@dataclass(slots=True)
class Work:
    """``plan`` is the whole file's as far as it is known; ``ended`` names the steps of this run that are over;
    ``current`` is being done."""

    held: jobs.Claim
    asset: FileAsset
    profile: files.Profile
    plan: Sequence[PlannedStep]
    ended: set[str]
    current: PlannedStep | None = None

    @property
    def filling(self) -> bool:
        """What was left for later is being made good: the file is ready, and stays in service."""
        return is_filling(self.asset)

    def to_do(self) -> list[PlannedStep]:
        """The steps of this stage that are not done, in order: a retry starts at the first of them."""
        return [step for step in self.plan if step.stage == self.held.stage and step.name not in self.ended]

    def progress(self, running: PlannedStep | None = None, percent: int = 0) -> int:
        return overall(self.plan, self.ended, running.name if running else None, percent)

    def facts(self) -> Mapping[str, Any]:
        """What is known so far, for the next step."""
        asset = self.asset
        known: dict[str, Any] = dict(asset.extra_attributes)
        for name in ("declared_mime_type", "expected_sha256", *assets.COLUMNS):
            value = getattr(asset, name)
            if value is not None:
                known[name] = value
        return known | {"filename": asset.original_filename, "size": asset.size, "metadata": asset.metadata}


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


def plan_for(profile: files.Profile, mime_type: str | None) -> list[PlannedStep]:
    """Which steps a file of this profile and type goes through; intake only while the type is not known."""
    return make_plan([step.about for step in installed().values()], profile.document(), mime_type)


def is_filling(asset: FileAsset) -> bool:
    return asset.status == FileStatus.READY


def work_on(held: jobs.Claim, asset: FileAsset) -> Work:
    profile, rows = files.profile(asset.profile), assets.steps(asset)
    if is_filling(asset):
        plan = plan_for(profile, asset.mime_type)
        ended = {step.name for step in plan} - {row.step for row in rows if row.state in OPEN}
    else:
        plan = plan_for(profile, asset.mime_type if held.stage != jobs.Stage.INTAKE else None)
        ended = {row.step for row in rows if row.state in OVER}
    return Work(held, asset, profile, plan, ended)
