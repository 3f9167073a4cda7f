"""What processing needs: the broker, the scanner, the sandbox, due jobs that are run."""

from __future__ import annotations

import structlog

from windlass import conf
from windlass.jobs import api as jobs
from windlass.operations.checks.check import CheckFailed, CheckState, Finding
from windlass.processing import api as processing

#: Seconds that the broker may take to accept a connection.
BROKER_SECONDS = 2.0

log = structlog.get_logger(__name__)


def check_broker() -> Finding:
    """The server is ready without the broker: the scheduler finds due jobs, and workers get them when it is back."""
    if conf.get().celery_task_always_eager:
        return Finding("Jobs run in the call that enqueues them.", CheckState.OFF)
    try:
        jobs.check_broker(BROKER_SECONDS)
    except Exception as error:  # each broker's client has errors of its own
        log.debug("health.broker_away", error=f"{type(error).__name__}: {error}")
        raise CheckFailed("away: files are stored, and are processed when it is back.", _BROKER_LIMIT) from error
    return Finding("It answers.", limit=_BROKER_LIMIT)


_BROKER_LIMIT = f"answers within {BROKER_SECONDS:g} s"


def check_scanner() -> Finding:
    """The server is ready without the scanner: files are received and wait for it."""
    try:
        version = processing.scanner_version()
    except (processing.ScannerAway, processing.BrokenScanner) as error:
        raise CheckFailed("away: files that must be scanned are stored and not served until it is back.") from error
    if version is None:
        return Finding("None is set: files are not scanned for malware.", CheckState.OFF)
    return Finding("It answers.")


def check_sandbox() -> Finding:
    level, mode = processing.sandbox_level(), conf.get().sandbox
    detail = f"{level}. {level.gaps}" if level.gaps else str(level)
    if not level.gaps:
        return Finding(detail, limit="full")
    if mode == "require":
        raise CheckFailed(detail, "full")
    return Finding(detail, CheckState.OFF if mode == "off" else CheckState.IMPAIRED, "full")


def check_queue() -> Finding:
    limit = conf.get().queue_age_limit_seconds
    if conf.get().celery_task_always_eager:
        return Finding("Jobs run in the call that enqueues them.", CheckState.OFF)
    age = jobs.oldest_due_seconds()
    detail = f"The job that is due for longest has waited for {age:.0f} s." if age else "No job is due."
    return Finding(detail, CheckState.OK if age <= limit else CheckState.IMPAIRED, f"{limit:g} s")
