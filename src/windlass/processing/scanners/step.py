"""The malware step, wired to this server's scanner: what its entry point calls."""

from __future__ import annotations

from windlass.processing.steps.malware import Malware


def malware() -> Malware:
    return Malware(_available)


def _available() -> bool:
    # The sandbox's parent loads every step, and must have no settings: so they are imported when somebody asks.
    from windlass.processing import scanning

    return scanning.available()
