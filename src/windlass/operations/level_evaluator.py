"""Evaluate the service level every EVALUATE_SECONDS, in one process of the whole installation at a time.

The scheduler does it. A web process takes over once the scheduler's claim has lapsed for SPARE_SECONDS.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from django.db import DatabaseError, InterfaceError

from windlass.database.outage import is_outage, log_outage
from windlass.events import api as events
from windlass.executors import in_database
from windlass.kernel.clock import monotonic
from windlass.kernel.ids import new_id
from windlass.operations.component_checks import CheckResult, CheckState, check_components
from windlass.receiving.disk_space import free_bytes, is_enough
from windlass.resilience.service_level import Observation
from windlass.storage.registry import default_name

log = structlog.get_logger(__name__)

#: Seconds from the end of an evaluation to the start of the next.
EVALUATE_SECONDS = 1.0
#: Seconds that a web process leaves to the scheduler.
SPARE_SECONDS = 2.0
#: Seconds after its start for which a process ignores absent workers and schedulers: they start at the same time.
STARTING_SECONDS = 20.0

_STARTING = ("workers.", "scheduler")


class LevelEvaluator:
    """The evaluator of one process. ``spare``: how long another process's claim must have lapsed."""

    def __init__(
        self,
        *,
        spare: float = 0.0,
        check: Callable[[], Awaitable[Mapping[str, CheckResult]]] = check_components,
    ) -> None:
        self.holder = f"evaluator-{new_id().hex[:12]}"
        self._spare, self._check = spare, check
        self._started_at = monotonic()
        self._last_level: str | None = None
        self._seen_running: set[str] = set()

    async def run(self) -> None:
        """Evaluate until cancelled; then let another process evaluate at once."""
        try:
            while True:
                await self._evaluate_once()
                await asyncio.sleep(EVALUATE_SECONDS)
        finally:
            with suppress(DatabaseError, InterfaceError):
                await in_database(events.release_evaluation, self.holder)

    async def evaluate(self) -> events.LevelStatus:
        """Return the level after an evaluation, or as it is if another process evaluates it. Raises the database's
        errors."""
        if not await in_database(events.claim_evaluation, self.holder, spare=self._spare):
            return await in_database(events.service_level)
        seen = _observations(await self._check())
        unknown = self._unknown(seen)
        known = {name: each for name, each in seen.items() if name not in unknown}
        status = await in_database(events.record_evaluation, known, unknown)
        if status.level != self._last_level:
            if self._last_level is not None or status.level != "full":
                log.warning("level.changed", level=status.level, before=self._last_level, reason=status.reason)
            self._last_level = status.level
        return status

    async def _evaluate_once(self) -> None:
        try:
            await self.evaluate()
        except Exception as error:  # the boundary of one evaluation: the next one may succeed
            if is_outage(error):
                log_outage(error)
                await in_database(events.service_level)  # so that this process notices that the database is away
            else:
                log.exception("level.not_evaluated")

    def _unknown(self, seen: Mapping[str, Observation]) -> set[str]:
        """Processes that are absent, but may be starting at the same time as this one."""
        others = {name: each for name, each in seen.items() if name.startswith(_STARTING)}
        absent = {name for name, each in others.items() if each.state == CheckState.FAILED}
        self._seen_running |= others.keys() - absent
        return absent - self._seen_running if monotonic() - self._started_at < STARTING_SECONDS else set()


def _observations(results: Mapping[str, CheckResult]) -> dict[str, Observation]:
    """The results by component. Those of other stores are summed up in ``other_stores``."""
    seen = {
        name: Observation(result.state.value, result.detail)
        for name, result in results.items()
        if not name.startswith("store.")
    }
    disk = seen.get("disk")
    if disk is not None and disk.state == CheckState.IMPAIRED and is_enough(free_bytes(default_name())):
        # Only the disk of another store is full: uploads to the default store go on.
        seen["disk"] = Observation(CheckState.OK)
        seen["other_stores"] = Observation(CheckState.IMPAIRED, disk.detail)
    return seen


def run_in_thread(stop: threading.Event) -> threading.Thread:
    """Evaluate in a thread until ``stop`` is set."""

    async def evaluate() -> None:
        evaluating = asyncio.create_task(LevelEvaluator().run())
        await asyncio.to_thread(stop.wait)
        evaluating.cancel()
        with suppress(asyncio.CancelledError):
            await evaluating

    thread = threading.Thread(target=lambda: asyncio.run(evaluate()), name="windlass-level", daemon=True)
    thread.start()
    return thread
