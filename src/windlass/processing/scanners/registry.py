"""The scanner that the settings name, found by entry point."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from windlass import conf
from windlass.processing.scanners.contract import Scanner

GROUP = "windlass.scanners"


class BrokenScanner(Exception):
    """The scanner that the settings name cannot be used, so nothing that must be scanned may pass."""


def chosen() -> Scanner | None:
    """This process's scanner; None where the settings name none. Raises BrokenScanner."""
    settings = conf.get()
    return _made(settings) if settings.scanner_name else None


@lru_cache(maxsize=1)
def _made(settings: conf.Settings) -> Scanner:
    name = settings.scanner_name
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted(points))
        raise BrokenScanner(f"SCANNER is {name!r}: there is no such scanner here. There are: {known}.")
    try:
        made: Scanner = points[name].load()()
    except Exception as error:  # whatever is wrong with a plug-in is the reason
        raise BrokenScanner(f"The scanner {name} cannot be loaded: {error}") from error
    return made
