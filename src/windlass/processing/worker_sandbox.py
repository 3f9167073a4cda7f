"""The sandbox of this worker process: created at first use, with limits and mode from the settings."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import structlog

from windlass import conf
from windlass.conf import MB
from windlass.processing.contract import About
from windlass.processing.registry import installed, step
from windlass.processing.sandbox.capability_level import CapabilityLevel, measure
from windlass.processing.sandbox.client import Order, Sandbox
from windlass.processing.sandbox.lockdown import Limits
from windlass.processing.step_result import checked_result

log = structlog.get_logger(__name__)

_measure_once = lru_cache(maxsize=3)(measure)
_lock = threading.Lock()
_sandbox: Sandbox | None = None


def sandbox() -> Sandbox:
    global _sandbox
    with _lock:
        if _sandbox is None:
            _sandbox = Sandbox(unexpected_steps(), step_limits())
        return _sandbox


def unexpected_steps() -> list[str]:
    """Steps that no profile asks for: importing their libraries ahead would make every child cost more."""
    from windlass.files.api import profiles  # loads the models: `windlass plan` runs without them

    documents = [profile.document() for profile in profiles().values()]
    return [
        name
        for name, step in installed().items()
        if step.about.wanted_by and not any(document.get(step.about.wanted_by) for document in documents)
    ]


def step_limits(about: About | None = None) -> Limits:
    """The limits of a child that runs this step; of one for ordinary steps if none is given."""
    settings = conf.get()
    memory = settings.step_memory_mb * MB
    if about is not None and about.long:
        return Limits(memory, settings.long_step_timeout_seconds, settings.long_step_output_mb * MB, settings.sandbox)
    return Limits(memory, settings.step_timeout_seconds, mode=settings.sandbox)


def detect_types(path: Path) -> tuple[str, tuple[str, ...]]:
    """Detect a local file's type and the further types of the same bytes by the step ``type``, without records.

    Raises StepError where the type cannot be detected, OSError where the file cannot be read.
    """
    type_step = step("type")
    with (
        path.open("rb") as file,
        closing(Sandbox(unexpected=installed().keys() - {type_step.about.name})) as sandbox,
        sandbox.session(file.fileno(), None, step_limits(type_step.about)) as session,
    ):
        facts = {"filename": path.name, "size": path.stat().st_size}
        answer = session.run(Order("type", facts, {}), lambda _: None, threading.Event())
    detected = checked_result(type_step.about, answer, 0).facts
    return str(detected["mime_type"]), tuple(detected.get("also") or ())


def sandbox_level() -> CapabilityLevel:
    """The sandbox's capability level on this machine. Measured once per process, which blocks for a moment."""
    return _measure_once(conf.get().sandbox)


def warn_of_weak_sandbox() -> None:
    """Log a warning if steps run with less than the full sandbox."""
    level = sandbox_level()
    if level.gaps:
        log.warning("sandbox.weak", level=level.name, reason=level.gaps)


def warm_up() -> None:
    """Start the sandbox's parent ahead of the first job. Returns at once; it imports its libraries meanwhile."""
    sandbox().start()


def shut_down() -> None:
    """End the sandbox's parent. A step that runs in it fails and is retried by another worker. Idempotent."""
    global _sandbox
    with _lock:
        closing_sandbox, _sandbox = _sandbox, None
    if closing_sandbox is not None:
        closing_sandbox.close()


def _reset_after_fork() -> None:
    global _lock, _sandbox
    _lock = threading.Lock()
    if _sandbox is not None:
        _sandbox.forget()
        _sandbox = None


atexit.register(shut_down)
os.register_at_fork(after_in_child=_reset_after_fork)
