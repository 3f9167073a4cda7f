"""Public interface of processing: run jobs, recover and backfill them; reprocess, release, delete and restore files."""

from __future__ import annotations

from collections.abc import Iterable

from windlass.files.api import FileActions, use_file_actions
from windlass.jobs import api as jobs
from windlass.processing import dead_letters, job_run
from windlass.processing.circuit_breakers import (
    BreakerStatus,
    UnknownBreaker,
    all_breaker_statuses,
    breaker_status,
    breaker_statuses,
    local_breaker_statuses,
    reset_breaker,
)
from windlass.processing.dead_letters import dead_letter_documents, find_dead_letters
from windlass.processing.draining import end_after_step, is_ending
from windlass.processing.file_actions import apply_retention, delete, delete_or_trash, release, reprocess, restore
from windlass.processing.job_runner import run_job
from windlass.processing.plan import PlannedStep, plan_for
from windlass.processing.postponed_steps import backfill
from windlass.processing.registry import installed
from windlass.processing.sandbox.capability_level import CapabilityLevel
from windlass.processing.scanners.configured_scanner import (
    BrokenScanner,
    configured_scanner,
    scanner_version,
    try_scanner_limits,
)
from windlass.processing.scanners.contract import ScannerAway
from windlass.processing.service_features import available_features
from windlass.processing.worker_sandbox import sandbox_level, shut_down, warm_up, warn_of_weak_sandbox

__all__ = [
    "BreakerStatus",
    "BrokenScanner",
    "CapabilityLevel",
    "PlannedStep",
    "ScannerAway",
    "UnknownBreaker",
    "all_breaker_statuses",
    "apply_retention",
    "available_features",
    "backfill",
    "breaker_status",
    "breaker_statuses",
    "configured_scanner",
    "dead_letter_documents",
    "delete",
    "delete_or_trash",
    "end_after_step",
    "find_dead_letters",
    "gate_steps",
    "is_ending",
    "local_breaker_statuses",
    "plan_for",
    "release",
    "reprocess",
    "reset_breaker",
    "restore",
    "revoke_claims",
    "run_job",
    "sandbox_level",
    "scanner_version",
    "shut_down",
    "try_scanner_limits",
    "warm_up",
    "warn_of_weak_sandbox",
]

jobs.resume_files_by(dead_letters.resume_file)
use_file_actions(FileActions(reprocess, release, delete_or_trash, restore))


def gate_steps() -> frozenset[str]:
    """Steps after intake that a file must pass before it is served."""
    return frozenset(step.about.name for step in installed().values() if step.about.gate)


def revoke_claims(running: Iterable[jobs.Job]) -> int:
    """Undo the claims of workers that died; return how many. A file whose last attempt it was has failed.

    The other jobs are due again at once; the sweep notifies workers of them.
    """
    return sum(1 for job in running if job_run.revoke_claim(job))
