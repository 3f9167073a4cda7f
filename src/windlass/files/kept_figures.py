"""Figures over whole tables, counted now and then and kept in a row, so that no request counts a large table.

The scheduler counts them (``refresh``). They are at least COUNT_SECONDS old before they are counted again, and counting
takes at most a hundredth of the time: figures of a table that takes 4 seconds to read are up to 7 minutes old. Where
counting is quick, a reader counts as well, so that figures are as fresh in a project without a scheduler. Where they
have never been counted, a reader counts only if there are few files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from windlass.files.models import FileAsset, PeriodicTaskState
from windlass.kernel.clock import CLOCK_TOLERANCE, monotonic, now

#: Figures are not counted again within this time (seconds).
COUNT_SECONDS = 60.0
#: Times the duration of a count until the next one.
REST = 100.0
#: A reader counts what took less than this the last time (seconds).
QUICK_SECONDS = 0.25
#: A reader counts what has never been counted if there are no more files than these.
FEW_FILES = 50_000


@dataclass(frozen=True, slots=True)
class KeptFigures:
    """``count`` returns figures that JSON can hold. ``name`` is that of their row."""

    name: str
    count: Callable[[], Mapping[str, Any]]

    def read(self) -> Mapping[str, Any]:
        """The figures of the last count, none (``{}``) where the scheduler has yet to count for the first time. Counts
        first if that is due and quick."""
        state = self._state()
        if _is_quick(state) and self._is_due(state):
            figures = self._count(state)
            state = self._state() if figures is None else state
        else:
            figures = None
        return figures if figures is not None else state.value if state is not None else {}

    def refresh(self) -> bool:
        """Count if it is due; whether this process did."""
        state = self._state()
        return self._is_due(state) and self._count(state) is not None

    def age(self) -> float:
        """How old the figures are in seconds; 0.0 if there are none."""
        state = self._state()
        return 0.0 if state is None else max(0.0, (now() - state.updated_at).total_seconds())

    def forget(self) -> None:
        PeriodicTaskState.objects.filter(name=self.name).delete()

    def _state(self) -> PeriodicTaskState | None:
        return PeriodicTaskState.objects.filter(name=self.name).first()

    def _is_due(self, state: PeriodicTaskState | None) -> bool:
        if state is None:
            return True
        age = now() - max(state.updated_at, state.claimed_at or state.updated_at)
        return age >= timedelta(seconds=max(COUNT_SECONDS, REST * state.seconds)) or age < -CLOCK_TOLERANCE

    def _count(self, state: PeriodicTaskState | None) -> Mapping[str, Any] | None:
        """None if another process counts. If it dies, another one counts when it is due the next time.

        The first count is claimed by nobody.
        """
        rows = PeriodicTaskState.objects.filter(name=self.name)
        if state is not None:
            unclaimed = rows.filter(updated_at=state.updated_at, claimed_at=state.claimed_at)
            if not unclaimed.update(claimed_at=now()):
                return None
        began = monotonic()
        figures = self.count()
        counted = {"value": figures, "seconds": monotonic() - began, "updated_at": now(), "claimed_at": None}
        PeriodicTaskState.objects.update_or_create(name=self.name, defaults=counted)
        return figures


def _is_quick(state: PeriodicTaskState | None) -> bool:
    if state is None:
        return not FileAsset.objects.order_by("-created_at", "-id").values_list("id")[FEW_FILES : FEW_FILES + 1]
    return state.seconds < QUICK_SECONDS
