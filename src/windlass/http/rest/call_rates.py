"""Declare the rate limit of an operation of the record plane. ``http.rate_limits`` applies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ninja.operation import Operation

from windlass.resilience.rate_limits.policies import RateClass

F = TypeVar("F", bound=Callable[..., Any])


def limited_as(kind: RateClass) -> Callable[[F], F]:
    """Declare the class of the decorated view, below the decorator of its route. Others are ``GENERAL``."""

    def declare(view: F) -> F:
        view.windlass_rate = kind  # type: ignore[attr-defined]
        return view

    return declare


def declared_rate(operation: Operation) -> RateClass:
    return getattr(operation.view_func, "windlass_rate", RateClass.GENERAL)
