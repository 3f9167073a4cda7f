"""Measure the cost of the sandbox: the isolated steps of the default profile in a child, and in this process.

``python -m benchmarks.sandbox_cost DIRECTORY`` prints a JSON document: for each kind of file the medians, in
milliseconds for one file with all its steps. Each file has its own child, as in the worker.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "windlass.settings")
os.environ.setdefault("VIPS_CONCURRENCY", "1")  # as the sandbox has it

Facts = dict[str, Any]
RunStep = Callable[[str, Facts], Facts]


def main() -> None:
    from windlass.processing.sandbox.client import Sandbox

    files = sorted(Path(sys.argv[1]).iterdir())
    _load()
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with closing(Sandbox()) as sandbox:
        for path in {path.suffix: path for path in files}.values():  # warm up
            _run_in_process(path)
            _run_in_sandbox(sandbox, path)
        for path in files:
            for way, run in (("here", _run_in_process), ("sandboxed", lambda file: _run_in_sandbox(sandbox, file))):
                started = time.perf_counter()
                run(path)
                times[path.suffix.lstrip(".")][way].append((time.perf_counter() - started) * 1000)
    print(json.dumps({kind: {way: statistics.median(ms) for way, ms in ways.items()} for kind, ways in times.items()}))


def _load() -> None:
    """Import the libraries in this process too."""
    from windlass.processing.registry import installed, missing

    for step in installed().values():
        if step.about.isolated and not missing(step.about):
            for library in step.about.libraries:
                importlib.import_module(library)


def _run_in_process(path: Path) -> None:
    from windlass.processing.contract import PermanentError, StepContext
    from windlass.processing.registry import step

    profile = _profile()
    with path.open("rb") as file, tempfile.TemporaryFile() as output:

        def run_step(name: str, facts: Facts) -> Facts:
            file.seek(0)
            output.seek(0)
            with contextlib.suppress(PermanentError):
                return dict(step(name).run(StepContext(file, facts, profile, output)).facts)
            return {}

        _all_steps(path, run_step)


def _run_in_sandbox(sandbox: Any, path: Path) -> None:
    from windlass.processing.contract import PermanentError
    from windlass.processing.registry import step
    from windlass.processing.sandbox.client import Order
    from windlass.processing.worker_sandbox import step_limits

    profile, cancelled = _profile(), threading.Event()
    with _opened(path) as (file, output), sandbox.session(file.fileno(), output.fileno(), step_limits()) as session:

        def run_step(name: str, facts: Facts) -> Facts:
            with contextlib.suppress(PermanentError):
                order = Order(name, facts, profile, bool(step(name).about.makes))
                return dict(session.run(order, lambda _: None, cancelled)["facts"])
            return {}

        _all_steps(path, run_step)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    with path.open("rb") as file, tempfile.TemporaryFile() as output:
        yield file, output


def _all_steps(path: Path, run_step: RunStep) -> None:
    """Run the isolated steps that are not long, in the plan's order."""
    facts: Facts = {"filename": path.name, "size": path.stat().st_size, "metadata": {}}
    facts |= run_step("type", facts)
    for name in _names(facts["mime_type"]):
        if name != "type":
            facts |= run_step(name, facts)


def _names(mime_type: str) -> list[str]:
    from windlass.processing.plan import make_plan
    from windlass.processing.registry import installed

    steps = installed()
    planned = make_plan([each.about for each in steps.values()], _profile(), mime_type)
    return [each.name for each in planned if each.isolated and not steps[each.name].about.long]


def _profile() -> dict[str, Any]:
    from windlass.files.profiles import profile

    return profile("default").document()


if __name__ == "__main__":
    main()
