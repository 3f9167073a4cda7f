"""What was checked of a file and how it came out, as its record shows it (http-api section 1)."""

from __future__ import annotations

from collections.abc import Sequence

from windlass.files.api import FileAsset, StepRun, StepState, integrity
from windlass.jobs.api import Stage
from windlass.kernel.clock import rfc3339
from windlass.processing.api import gate_steps

#: How the state of a step of the gate reads as a check. A step that was left out has checked nothing.
_CHECK_STATES = {
    StepState.PENDING: "pending",
    StepState.RUNNING: "pending",
    StepState.DONE: "passed",
    StepState.OWED: "owed",
    StepState.FAILED: "failed",
}


def checks_of(asset: FileAsset, steps: Sequence[StepRun]) -> list[dict[str, str]]:
    """The gate's verdicts; what will be checked first, where nothing has been yet. Then how the stored bytes were found
    when they were last looked at."""
    later = gate_steps()
    gate = [
        step for step in steps if (step.stage == Stage.INTAKE or step.step in later) and step.state in _CHECK_STATES
    ]
    if not gate:
        return [{"name": "size", "state": "pending", "detail": ""}, *_integrity(asset)]
    found = [{"name": step.step, "state": _CHECK_STATES[StepState(step.state)], "detail": step.detail} for step in gate]
    return [*found, *_not_measured(asset), *_integrity(asset)]


def _not_measured(asset: FileAsset) -> list[dict[str, str]]:
    """What a rule needed and nobody knows, of a file that its profile lets in all the same."""
    reasons = asset.extra_attributes.get("not_measured") or ()
    return [{"name": "not measured", "state": "passed", "detail": str(reason)} for reason in reasons]


def _integrity(asset: FileAsset) -> list[dict[str, str]]:
    blob = asset.blob
    if blob is None or blob.verified_at is None:
        return []
    if blob.damaged_at is not None:
        return [{"name": "integrity", "state": "failed", "detail": integrity.told(blob)}]
    seen = f"The stored bytes were what was received when they were read at {rfc3339(blob.verified_at)}."
    return [{"name": "integrity", "state": "passed", "detail": seen}]
