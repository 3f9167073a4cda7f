"""Let the processes of this machine share their counters; see docs/decisions/0058-counters-in-files.md."""

from __future__ import annotations

import structlog

from windlass import conf
from windlass.kernel import instruments

log = structlog.get_logger(__name__)


def share_counters(process: str) -> None:
    """Store this process's counters in METRICS_DIR. Where that cannot be written, they are this process's alone."""
    try:
        instruments.share(conf.get().metrics_directory, process)
    except OSError as error:
        log.warning("metrics.not_shared", directory=str(conf.get().metrics_directory), reason=error.strerror)
