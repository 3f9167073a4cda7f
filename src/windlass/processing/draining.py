"""Whether this worker is to end: then it runs no further step, and gives its jobs back."""

from __future__ import annotations

import threading

_ending = threading.Event()


class HandedBack(Exception):
    """The worker ends, and steps of the job are left for another one."""


def end_after_step() -> None:
    """Let the steps that run be the last ones of this process."""
    _ending.set()


def is_ending() -> bool:
    return _ending.is_set()
