"""Figures over whole tables, counted now and then and kept in a row, so that no request counts a large table.

The scheduler counts them (``refresh``). They are at least COUNT_SECONDS old before they are counted again, and counting
takes at most a hundredth of the time: figures of a table that takes 4 seconds to read are up to 7 minutes old. Where
counting is quick, a reader counts as well, so that figures are as fresh in a project without a scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from windlass.files.models import PeriodicTaskState
from windlass.kernel.clock import CLOCK_TOLERANCE, monotonic, now

#: Figures are not counted again within this time (seconds).
COUNT_SECONDS = 60.0
#: Times the duration of a count until the next one.
REST = 100.0
#: A reader counts what took less than this the last time (seconds).
QUICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class KeptFigures:
    """``count`` returns figures that JSON can hold. ``name`` is that of their row."""

    name: str
    count: Callable[[], Mapping[str, Any]]

    def read(self) -> Mapping[str, Any]:
        """The figures of the last count; counts first if there was none, or if it is due and quick."""
        state = PeriodicTaskState.objects.filter(name=self.name).first()
        if state is None or (state.seconds < QUICK_SECONDS and self._is_due(state)):
            return self._count(state) or self.read()
        figures: Mapping[str, Any] = state.value
        return figures

    def refresh(self) -> bool:
        """Count if it is due; whether this process did."""
        state = PeriodicTaskState.objects.filter(name=self.name).first()
        return (state is None or self._is_due(state)) and self._count(state) is not None

    def age(self) -> float:
        """How old the figures are in seconds; 0.0 if there are none."""
        counted = PeriodicTaskState.objects.filter(name=self.name).values_list("updated_at", flat=True).first()
        return 0.0 if counted is None else max(0.0, (now() - counted).total_seconds())

    def forget(self) -> None:
        PeriodicTaskState.objects.filter(name=self.name).delete()

    def _is_due(self, state: PeriodicTaskState) -> bool:
        age = now() - state.updated_at
        return age >= timedelta(seconds=max(COUNT_SECONDS, REST * state.seconds)) or age < -CLOCK_TOLERANCE

    def _count(self, state: PeriodicTaskState | None) -> Mapping[str, Any] | None:
        """None if another process counts. If it dies, another one counts when it is due the next time."""
        rows = PeriodicTaskState.objects.filter(name=self.name)
        if state is not None and not rows.filter(updated_at=state.updated_at).update(updated_at=now()):
            return None
        began = monotonic()
        figures = self.count()
        counted = {"value": figures, "seconds": monotonic() - began, "updated_at": now()}
        PeriodicTaskState.objects.update_or_create(name=self.name, defaults=counted)
        return figures
