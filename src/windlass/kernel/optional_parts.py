"""Libraries that load another one if it is installed, for a part of theirs that Windlass does not use."""

from __future__ import annotations

import sys
from importlib import import_module


def import_without(module: str, part: str) -> None:
    """Import ``module`` as if the module ``part`` was not installed, so that it does not load it. Does nothing where
    either is loaded already. Others can import ``part`` afterwards.

    Call it before the process has threads: meanwhile an import of ``part`` fails in each of them.
    """
    if module in sys.modules or part in sys.modules:
        return
    sys.modules[part] = None  # type: ignore[assignment]  # what Python itself takes for "cannot be imported"
    try:
        import_module(module)
    finally:
        del sys.modules[part]
