"""The type of a local file by its content, for commands: by the same step in the same sandbox, without records."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from windlass import conf
from windlass.processing.outcome import accept
from windlass.processing.registry import step
from windlass.processing.sandbox.client import Order, Sandbox
from windlass.processing.sandbox.hardening import Limits


def detect_type(path: Path) -> str:
    """Raises StepError where it cannot be told, OSError where the file cannot be read."""
    settings, detecting = conf.get(), step("type")
    limits = Limits(memory=settings.step_memory_mb * conf.MB, seconds=settings.step_timeout_seconds)
    with path.open("rb") as file, closing(Sandbox()) as sandbox:
        facts = {"filename": path.name, "size": path.stat().st_size}
        said = sandbox.run(Order("type", facts, {}, limits, file.fileno()), lambda _: None, threading.Event())
    return str(accept(detecting.about, said, 0).facts["mime_type"])
