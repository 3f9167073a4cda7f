"""``SANDBOX=require``: whoever runs steps, or hands on files for them, does not start where the walls are missing."""

from __future__ import annotations

from windlass import conf
from windlass.cli.refusal import Refusal
from windlass.processing.sandbox.capability_level import measure


def refuse_weak_sandbox(settings: conf.Settings) -> None:
    """Raises Refusal. Only where it is required is anything tried: that takes a tenth of a second."""
    if settings.sandbox != "require":
        return
    level = measure(settings.sandbox)
    if level.gaps:
        raise Refusal(f"SANDBOX is require, and this machine gives no more than the level {level.name}: {level.gaps}")
