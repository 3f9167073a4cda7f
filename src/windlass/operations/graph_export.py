"""Export the graph of entities to Neo4j while the scheduler runs, if the settings name one.

The journal names the files that may have changed, and only these are compared. Now and then all are, which finds what
the journal does not tell: it is a notification here, and the rows are the truth.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from uuid import UUID

import structlog
from django.apps import apps

from windlass.events import api as events
from windlass.kernel.clock import monotonic

log = structlog.get_logger(__name__)

#: Seconds between two looks at what has changed, and the longest pause while Neo4j is away.
INTERVAL_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0
#: Seconds between two comparisons of all files: at least so many, and so many times as long as the last one took.
COMPARE_SECONDS, COMPARE_FACTOR = 60.0, 200.0
#: Events that one look reads; after more of them all files are compared.
MOST_EVENTS = 2_000


class GraphExporter:
    """``run_due`` is called again and again by the scheduler. While Neo4j is away the pauses grow. ``process``: the
    name of its heartbeat."""

    def __init__(self, process: str = "") -> None:
        self._process = process
        self._pause, self._due_at = INTERVAL_SECONDS, 0.0
        self._event, self._compare_at = 0, 0.0

    def run_due(self, stop: threading.Event) -> None:
        if monotonic() < self._due_at or not apps.is_installed("windlass.knowledge"):
            return
        from windlass.knowledge import api as knowledge

        if not knowledge.is_exported():
            return
        began = monotonic()
        files, last_event = self._changed_files(began)
        try:
            report = knowledge.export_graph(stop, among=files, process=self._process)
        except knowledge.Neo4jAway as error:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            log.warning("graph_export.away", reason=str(error), seconds=self._pause)
        else:
            self._pause = INTERVAL_SECONDS
            if not report.is_busy and not stop.is_set():
                self._event = last_event
                if files is None:
                    self._compare_at = monotonic() + max(COMPARE_SECONDS, COMPARE_FACTOR * (monotonic() - began))
            if report.refused:
                log.warning("graph_export.refused", files=report.refused)
            if report.written or report.deleted:
                log.info("graph_export.done", written=report.written, deleted=report.deleted)
        self._due_at = monotonic() + self._pause

    def _changed_files(self, moment: float) -> tuple[Collection[UUID] | None, int]:
        """The files with events since the last export, None if all are to be compared; and the last event."""
        if moment >= self._compare_at:
            return None, events.last_id()
        found = events.events_after(self._event, limit=MOST_EVENTS)
        if len(found) == MOST_EVENTS:
            return None, events.last_id()
        return {each.file_id for each in found if each.file_id is not None}, found[-1].id if found else self._event
