"""What the sandbox of this process is worth, and whether that is enough."""

from __future__ import annotations

from functools import lru_cache

import structlog

from windlass import conf
from windlass.processing.sandbox.hardening import Mode
from windlass.processing.sandbox.level import Level, measure

log = structlog.get_logger(__name__)


def sandbox_level() -> Level:
    """Tried once in the life of this process, which takes a moment and blocks; then remembered."""
    return _measured(conf.get().sandbox)


def warn_of_gaps() -> None:
    """One line in the log where steps run with less than all the walls."""
    level = sandbox_level()
    if level.gaps:
        log.warning("sandbox.weak", level=level.name, reason=level.gaps)


@lru_cache(maxsize=3)
def _measured(mode: Mode) -> Level:
    return measure(mode)
