"""The type of a local file by its content, for commands: by the same step in the same sandbox, without records."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from windlass.processing.limits import limits_of
from windlass.processing.outcome import accept
from windlass.processing.registry import installed, step
from windlass.processing.sandbox.client import Order, Sandbox


def detect_types(path: Path) -> tuple[str, tuple[str, ...]]:
    """Its type, and what else the same bytes are. Raises StepError where it cannot be told, OSError where the
    file cannot be read."""
    detecting = step("type")
    with (
        path.open("rb") as file,
        closing(Sandbox(unready=installed().keys() - {detecting.about.name})) as sandbox,
        sandbox.session(file.fileno(), None, limits_of(detecting.about)) as session,
    ):
        facts = {"filename": path.name, "size": path.stat().st_size}
        said = session.run(Order("type", facts, {}), lambda _: None, threading.Event())
    found = accept(detecting.about, said, 0).facts
    return str(found["mime_type"]), tuple(found.get("also") or ())
