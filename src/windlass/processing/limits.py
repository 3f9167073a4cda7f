"""What a child of the sandbox may take, by the settings."""

from __future__ import annotations

from windlass import conf
from windlass.conf import MB
from windlass.processing.contract import About
from windlass.processing.sandbox.hardening import Limits


def limits_of(about: About | None = None) -> Limits:
    """Those of one step; of any that is not long, where none is named."""
    settings = conf.get()
    memory = settings.step_memory_mb * MB
    if about is not None and about.long:
        return Limits(memory, settings.long_step_timeout_seconds, settings.long_step_output_mb * MB, settings.sandbox)
    return Limits(memory, settings.step_timeout_seconds, mode=settings.sandbox)
