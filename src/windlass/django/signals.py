"""Signals of changes of files, and the reader of the journal that sends them.

The scheduler process (`windlass scheduler`, a part of `windlass serve`) follows the journal and sends each event once
the change is committed, in the order of commits, at least once: after a crash, up to BATCH events are sent again. A
receiver that raises is logged and not called again for that event; the others are (``Signal.send_robust``).

Receivers get ``file`` (the ``FileAsset`` as it is now; None if it is deleted by now) and ``event`` (a ``FileEvent``).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import close_old_connections
from django.db.models import Q
from django.dispatch import Signal

from windlass.database.outage import is_outage, log_outage
from windlass.django.models import SignalCursor
from windlass.events.api import Event as JournalEvent
from windlass.events.api import EventType, events_after, last_id
from windlass.files.api import FileAsset
from windlass.kernel.clock import monotonic, now
from windlass.kernel.ids import new_id

log = structlog.get_logger(__name__)

#: Processing is done: the file can be served.
file_ready = Signal()
#: A rule refused it: ``event.data["rejection"]``.
file_rejected = Signal()
#: It contains malware, and is never served.
file_quarantined = Signal()
#: Processing gave up; it can be retried.
file_failed = Signal()
#: Its bytes were deleted on purpose; the record is kept.
file_released = Signal()
#: Bytes and record were deleted: ``file`` is None.
file_deleted = Signal()

SIGNALS: Mapping[str, Signal] = {
    EventType.FILE_READY: file_ready,
    EventType.FILE_REJECTED: file_rejected,
    EventType.FILE_QUARANTINED: file_quarantined,
    EventType.FILE_FAILED: file_failed,
    EventType.FILE_RELEASED: file_released,
    EventType.FILE_DELETED: file_deleted,
}

#: Events after which the cursor is moved.
BATCH = 50
#: Seconds between two looks at the journal; after an error.
POLL_SECONDS, ERROR_SECONDS = 0.5, 5.0
#: Seconds after which another process may go on, if the one that sends has not been heard of. A receiver that takes
#: longer may be called by both.
HOLD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FileEvent:
    """The event of the journal that a signal tells of. ``id`` is the same if it is sent again."""

    id: int
    type: str
    file_id: uuid.UUID
    owner: str
    at: datetime
    data: Mapping[str, Any]


def run(stop: threading.Event) -> None:
    """Send signals until ``stop`` is set. Several processes may run it: one of them sends at a time."""
    reader = SignalReader()
    while not stop.is_set():
        close_old_connections()
        try:
            pause = 0.0 if reader.send_next() else POLL_SECONDS
        except Exception as error:  # the boundary of a thread that must go on
            if is_outage(error):
                log_outage(error)
            else:
                log.exception("signals.failed")
            pause = ERROR_SECONDS
        stop.wait(pause)
    close_old_connections()


def send_pending_signals() -> int:
    """Send the signals of all events so far in this thread; return how many. For tests."""
    reader, sent = SignalReader(), 0
    while True:
        before = reader.sent
        if not reader.send_next():
            return sent
        sent += reader.sent - before


class SignalReader:
    """Sends the next events after the cursor, as far as no other process does."""

    def __init__(self) -> None:
        self._holder = new_id().hex
        self._held_at = 0.0
        self.sent = 0

    def send_next(self) -> bool:
        """Send at most BATCH events; return whether there may be more. The first call ever starts at the present."""
        cursor = SignalCursor.objects.filter(id=SignalCursor.ROW).first()
        if cursor is None:
            SignalCursor.objects.bulk_create([SignalCursor(event_id=last_id())], ignore_conflicts=True)
            return False
        events = events_after(cursor.event_id, limit=BATCH)
        told = [event for event in events if event.type in SIGNALS and event.file_id is not None]
        if (not told and len(events) < BATCH) or not self._hold(cursor.event_id) or not self._send(told):
            return False
        moved = self._held().update(event_id=events[-1].id, holder="", held_until=None)
        return bool(moved)

    def _hold(self, event_id: int) -> bool:
        """Become the one that sends, unless another does or has sent since the cursor was read."""
        moment = now()
        is_free = Q(held_until=None) | Q(held_until__lt=moment)
        cursor = SignalCursor.objects.filter(is_free, id=SignalCursor.ROW, event_id=event_id)
        self._held_at = monotonic()
        return bool(cursor.update(holder=self._holder, held_until=moment + timedelta(seconds=HOLD_SECONDS)))

    def _still_holds(self) -> bool:
        """Hold the cursor for longer if it is time; False if another process sends by now."""
        if monotonic() - self._held_at < HOLD_SECONDS / 3:
            return True
        self._held_at = monotonic()
        return bool(self._held().update(held_until=now() + timedelta(seconds=HOLD_SECONDS)))

    def _held(self) -> Any:
        return SignalCursor.objects.filter(id=SignalCursor.ROW, holder=self._holder)

    def _send(self, events: Sequence[JournalEvent]) -> bool:
        """Return whether all were sent; else another process goes on."""
        files = FileAsset.objects.in_bulk([event.file_id for event in events])
        for event in events:
            if not self._still_holds():
                return False
            _send_one(event, files.get(event.file_id))
            self.sent += 1
        return True


def _send_one(event: JournalEvent, file: FileAsset | None) -> None:
    assert event.file_id is not None
    told = FileEvent(event.id, event.type, event.file_id, event.owner, event.at, event.data)
    for receiver, outcome in SIGNALS[event.type].send_robust(FileAsset, file=file, event=told):
        if isinstance(outcome, Exception):
            name = getattr(receiver, "__qualname__", repr(receiver))
            log.error(
                "signal.receiver_failed", receiver=name, event_id=event.id, event_type=event.type, exc_info=outcome
            )
