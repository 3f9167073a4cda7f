"""Export the graph of entities to Neo4j while the scheduler runs, if the settings name one."""

from __future__ import annotations

import threading

import structlog
from django.apps import apps

from windlass.kernel.clock import monotonic

log = structlog.get_logger(__name__)

#: Seconds between two looks at what has changed, and the longest pause while Neo4j is away.
INTERVAL_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0


class GraphExporter:
    """``run_due`` is called again and again by the scheduler. While Neo4j is away the pauses grow."""

    def __init__(self) -> None:
        self._pause, self._due_at = INTERVAL_SECONDS, 0.0

    def run_due(self, stop: threading.Event) -> None:
        if monotonic() < self._due_at or not apps.is_installed("windlass.knowledge"):
            return
        from windlass.knowledge import api as knowledge

        if not knowledge.is_exported():
            return
        try:
            report = knowledge.export_graph(stop)
        except knowledge.Neo4jAway as error:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            log.warning("graph_export.away", reason=str(error), seconds=self._pause)
        else:
            self._pause = INTERVAL_SECONDS
            if report.written or report.deleted:
                log.info("graph_export.done", written=report.written, deleted=report.deleted)
        self._due_at = monotonic() + self._pause
