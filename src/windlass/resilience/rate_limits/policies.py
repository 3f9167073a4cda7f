"""Which calls are limited together, and by which windows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RateClass(StrEnum):
    """The calls that share a rate limit. Each endpoint declares one."""

    CREATE = "create"
    """Creates something that takes space or work: an upload, a grant, a webhook."""
    SIGN_IN = "sign-in"
    """Takes a password or another credential and gives one."""
    GENERAL = "general"
    """Every other call: reading, polling, changing, deleting. It has a limit ten times that of the others."""
    UNLIMITED = "unlimited"
    """Never limited: HEAD and OPTIONS, health, and every call that an admitted upload needs to become complete. A
    client that gets a 4xx there would forget its upload."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` calls in any ``seconds`` seconds. ``name``: in the fields of replies."""

    name: str
    limit: int
    seconds: int


#: The circuit breaker of the Redis that counts calls.
BREAKER = "rate_limits"

#: How much higher the limit of general calls is.
GENERAL_FACTOR = 10
_MINUTE, _SUSTAINED_MINUTES = 60, 10


def windows(kind: RateClass, per_minute: int, burst: int) -> tuple[Window, ...]:
    """The windows that a call of this class is counted in; none where it is not limited.

    One minute may have ``burst`` calls more than ``per_minute``; ten minutes have no more than ten times
    ``per_minute``, of general calls aside, which are cheap, and are counted only once for that.
    """
    if kind is RateClass.UNLIMITED or per_minute <= 0:
        return ()
    factor = GENERAL_FACTOR if kind is RateClass.GENERAL else 1
    per_minute, burst = per_minute * factor, burst * factor
    minute = Window(kind, per_minute + burst, _MINUTE)
    if not burst or kind is RateClass.GENERAL:
        return (minute,)
    return minute, Window(f"{kind}-sustained", per_minute * _SUSTAINED_MINUTES, _MINUTE * _SUSTAINED_MINUTES)


def wrong_credential_windows(per_minute: int) -> tuple[Window, ...]:
    """The windows of wrong credentials. Each further one has to wait longer, up to ninety seconds on average where a
    minute has ten."""
    return (
        Window("wrong-credentials", per_minute, 60),
        Window("wrong-credentials-10-minutes", per_minute * 5 // 2, 600),
        Window("wrong-credentials-hour", per_minute * 4, 3600),
    )


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a sliding window is: the calls of the window of ``seconds`` before the current one, of which a share
    still counts for ``previous_left`` seconds, and those of the current one, which ends in ``current_left`` seconds."""

    previous: int = 0
    previous_left: float = 0.0
    current: int = 0
    current_left: float = 0.0

    def count(self, seconds: int) -> int:
        return int(self.previous * self.previous_left / seconds) + self.current


#: Seconds: where a call would be admitted from this very moment on.
_SOONEST = 0.001


def seconds_until_admitted(fill: Fill, window: Window) -> float:
    """Return the seconds until a call would be admitted if there were no others; 0 if one would be admitted now."""
    free = window.limit - fill.current
    if fill.count(window.seconds) < window.limit:
        return 0.0
    if free > 0:
        until_free = fill.previous_left - free * window.seconds / fill.previous
        if until_free <= fill.current_left:
            return max(until_free, _SOONEST)
    excess = max(window.seconds - window.limit * window.seconds / fill.current, 0.0) if fill.current else 0.0
    return max(fill.current_left + excess, _SOONEST)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call was admitted, and of its windows the one that is closest to its limit.

    ``remaining``: calls that it still has. ``reset``: seconds until it has more.
    """

    admitted: bool
    windows: Sequence[Window]
    tightest: Window
    remaining: int
    reset: float
