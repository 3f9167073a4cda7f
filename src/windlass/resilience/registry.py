"""This process's breakers, made when they are first asked for, with the settings' figures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from windlass import conf
from windlass.kernel.clock import monotonic
from windlass.resilience.breaker import Breaker, Change
from windlass.resilience.circuit import Policy

_lock = threading.Lock()
_breakers: dict[str, Breaker] = {}
_watchers: list[Callable[[Change], None]] = []


def breaker(name: str) -> Breaker:
    """The one breaker of this name. Its figures are ``BREAKER_…``, or ``BREAKER_<NAME>_…`` where those are set."""
    with _lock:
        if name not in _breakers:
            _breakers[name] = Breaker(name, lambda: Policy(*conf.get().breaker(name)), monotonic, _tell)
        return _breakers[name]


def every() -> Mapping[str, Breaker]:
    """Those that were asked for so far, by name."""
    with _lock:
        return dict(sorted(_breakers.items()))


def watch(listener: Callable[[Change], None]) -> None:
    """Call ``listener`` after each change of any breaker's state, in the thread that made it. It must not raise."""
    with _lock:
        if listener not in _watchers:
            _watchers.append(listener)


def forget() -> None:
    """Drop every breaker: the next one of each name starts closed. For tests, and for a process that was forked."""
    with _lock:
        _breakers.clear()


def _tell(change: Change) -> None:
    with _lock:
        watchers = list(_watchers)
    for listener in watchers:
        listener(change)
