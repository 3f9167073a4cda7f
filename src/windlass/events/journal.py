"""What happened, in order: one row for each change of state, written in the transaction that made the change.

Readers follow the journal by number and must never skip one. A database hands out numbers before transactions commit,
so two writers could commit 8 before 7, and a reader that has seen 8 would never look for 7. Therefore events are
collected while a transaction runs and written as its last act, under a lock that is held until the commit
(docs/decisions: event order).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from windlass.database import rows
from windlass.database.connection import atomic, connection, on_commit
from windlass.events import bell
from windlass.events.models import Event
from windlass.events.types import EventType

#: The PostgreSQL advisory lock under which events are numbered. SQLite has one writer at a time by nature.
ORDER_LOCK = 0x57494E44

_open = threading.local()


@dataclass
class Recorder:
    """Collects the events of one transaction."""

    pending: list[Event] = field(default_factory=list)

    def add(
        self,
        kind: EventType,
        *,
        owner: str,
        file_id: uuid.UUID | None = None,
        upload_id: uuid.UUID | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        self.pending.append(Event(type=kind, owner=owner, file_id=file_id, upload_id=upload_id, data=data or {}))

    def write(self) -> None:
        if not self.pending:
            return
        if connection().vendor == "postgresql":
            with connection().cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ORDER_LOCK])
        rows.insert(self.pending)
        on_commit(bell.ring)


@contextmanager
def recording() -> Iterator[Recorder]:
    """A transaction whose events are written at its end. Inside another, the outermost writes.

    Never do I/O other than the database's inside.
    """
    outer: Recorder | None = getattr(_open, "recorder", None)
    if outer is not None:
        mark = len(outer.pending)
        try:
            with atomic():
                yield outer
        except BaseException:
            del outer.pending[mark:]  # rolled back to here: what it would have told did not happen
            raise
        return
    recorder = Recorder()
    _open.recorder = recorder
    try:
        with atomic():
            yield recorder
            recorder.write()
            _open.recorder = None  # what runs once this commits (a job, where jobs run eagerly) records for itself
    finally:
        _open.recorder = None
