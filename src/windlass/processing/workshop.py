"""This process's sandbox: one, made when it is first needed."""

from __future__ import annotations

import atexit
import os
import threading

from windlass.processing.sandbox.client import Sandbox

_lock = threading.Lock()
_sandbox: Sandbox | None = None


def sandbox() -> Sandbox:
    global _sandbox
    with _lock:
        if _sandbox is None:
            _sandbox = Sandbox()
        return _sandbox


def shut_down() -> None:
    """End the sandbox's parent; a step that runs in it is ended, and tried again elsewhere. Idempotent."""
    global _sandbox
    with _lock:
        ending, _sandbox = _sandbox, None
    if ending is not None:
        ending.close()


def _forget() -> None:
    global _lock, _sandbox
    _lock = threading.Lock()
    if _sandbox is not None:
        _sandbox.forget()
        _sandbox = None


atexit.register(shut_down)
os.register_at_fork(after_in_child=_forget)
