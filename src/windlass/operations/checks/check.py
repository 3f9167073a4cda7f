"""One check of a component: run in a thread with a deadline, its result kept for a moment.

Concurrent callers share a run. A check that hangs occupies one thread, however often it is asked for: while it runs,
no second run is started.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from windlass import conf
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database, submit_check
from windlass.kernel.clock import monotonic

#: A check that takes longer has failed (seconds): probes do not wait longer either.
DEADLINE_SECONDS = 4.0
#: Seconds for which each result is kept, good or bad, so that probes cost nothing.
KEEP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class CheckState(StrEnum):
    OK = "ok"
    IMPAIRED = "impaired"  # it works with less than it should
    FAILED = "failed"
    OFF = "off"  # not configured


class CheckFailed(Exception):
    """The component failed its check; the text is public. ``limit``: see CheckResult."""

    def __init__(self, detail: str, limit: str = "") -> None:
        super().__init__(detail)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``detail`` is public."""

    detail: str
    state: CheckState = CheckState.OK
    limit: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a component's check. Texts are public: without addresses, paths and secrets.

    ``latency_ms``: how long the check took. ``limit``: what the component is held against; "" if nothing.
    ``required``: if it fails, the server is not ready.
    """

    name: str
    state: CheckState
    detail: str
    latency_ms: float
    limit: str
    required: bool


@dataclass(slots=True)
class Check:
    """``run`` returns what it found, or raises CheckFailed; any other exception fails the check too, and is logged.

    ``database``: it queries the database, so it runs in the thread of such checks. ``keep_seconds``: how long a good
    result is kept, if longer than KEEP_SECONDS. Thread-safe.
    """

    name: str
    run: Callable[[], Finding]
    required: bool = False
    database: bool = False
    keep_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _running: Future[CheckResult] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _kept: CheckResult | None = field(default=None, init=False)
    _kept_until: float = field(default=0.0, init=False)

    def forget(self) -> None:
        """Drop the kept result."""
        self._kept = None

    async def result(self) -> CheckResult:
        """Return within DEADLINE_SECONDS."""
        kept = self._kept
        if kept is not None and self._is_fresh():
            return kept
        if self.database and conf.get().celery_task_always_eager:  # a test's transaction is seen in its thread only
            return self._keep(await in_database(self._measure))
        running, remaining = self._start()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running)), max(0.0, remaining))
        except TimeoutError:
            return self._failed(f"No answer within {DEADLINE_SECONDS:g} seconds.", DEADLINE_SECONDS)

    def _start(self) -> tuple[Future[CheckResult], float]:
        """Return the run under way, started if there is none, and the seconds until its deadline."""
        with self._lock:
            # It may have ended since its caller found no fresh result.
            if self._running is None or (self._running.done() and not self._is_fresh()):
                self._started_at = monotonic()
                self._running = submit_check(lambda: self._keep(self._measure()), database=self.database)
            return self._running, self._started_at + DEADLINE_SECONDS - monotonic()

    def _is_fresh(self) -> bool:
        return self._kept is not None and monotonic() < self._kept_until

    def _keep(self, result: CheckResult) -> CheckResult:
        seconds = max(KEEP_SECONDS, self.keep_seconds if result.state is not CheckState.FAILED else 0.0)
        self._kept, self._kept_until = result, monotonic() + seconds
        return result

    def _measure(self) -> CheckResult:
        started = monotonic()
        try:
            found = self.run()
        except CheckFailed as error:
            return self._failed(str(error), monotonic() - started, error.limit)
        except Exception as error:  # noqa: BLE001  any error of a check is its result
            return self._failed(self._reason(error), monotonic() - started)
        limit = found.limit or _ANSWERS_IN_TIME
        return CheckResult(self.name, found.state, found.detail, _ms(monotonic() - started), limit, self.required)

    def _reason(self, error: Exception) -> str:
        if is_outage(error):
            log_outage(error)
            return "The database does not answer."
        log.warning("health.failed", check=self.name, error=type(error).__name__, exc_info=True)
        return f"It failed with {type(error).__name__}; the log says more."

    def _failed(self, detail: str, seconds: float, limit: str = "") -> CheckResult:
        limit = limit or _ANSWERS_IN_TIME
        return CheckResult(self.name, CheckState.FAILED, detail, _ms(seconds), limit, self.required)


_ANSWERS_IN_TIME = f"answers within {DEADLINE_SECONDS:g} s"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
