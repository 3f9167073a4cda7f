"""Type of a local file by its content, for commands: the step ``type`` in the sandbox, without records."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from windlass.processing.process_sandbox import step_limits
from windlass.processing.registry import installed, step
from windlass.processing.sandbox.client import Sandbox
from windlass.processing.sandbox.session import Order
from windlass.processing.step_result import checked_result


def detect_types(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return a file's type, and the further types of the same bytes.

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
    facts_found = checked_result(type_step.about, answer, 0).facts
    return str(facts_found["mime_type"]), tuple(facts_found.get("also") or ())
