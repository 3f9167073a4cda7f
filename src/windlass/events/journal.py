"""The journal: one row per change of state, written in the transaction that makes the change.

Readers follow the journal by id and must never skip an event. A database assigns ids before transactions commit, so
event 8 could be committed before event 7, and a reader that has seen 8 would never read 7. Therefore events are
collected during a transaction and inserted as its last statement, under a lock that is held until the commit
(docs/decisions/0004).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from structlog.contextvars import get_contextvars

from windlass.database import rows, savepoints
from windlass.database.connection import atomic, connection, on_commit, vendor
from windlass.events.audit.models import PendingAuditEntry
from windlass.events.audit.recording import entry_of_event
from windlass.events.models import Event
from windlass.events.notifications import notify_at_commit, notify_readers
from windlass.events.types import EventType

#: The PostgreSQL advisory lock under which events are numbered. SQLite allows one writer at a time.
ORDER_LOCK = 0x57494E44

_open = threading.local()


@dataclass
class Recorder:
    """Collects the events of one transaction. Each has the id of the request that the log lines of its thread name.

    ``audited``: the entries of the audit log that some of them are recorded by, each with the number of its event.
    """

    pending: list[Event] = field(default_factory=list)
    audited: list[tuple[int, PendingAuditEntry]] = field(default_factory=list)

    def add(
        self,
        kind: EventType,
        *,
        owner: str,
        file_id: uuid.UUID | None = None,
        upload_id: uuid.UUID | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        entry = entry_of_event(kind, owner, file_id, upload_id, data or {})
        if entry is not None:
            self.audited.append((len(self.pending), entry))
        cause = str(get_contextvars().get("request_id") or "")
        self.pending.append(
            rows.new(
                Event, type=kind, owner=owner, file_id=file_id, upload_id=upload_id, data=data or {}, request_id=cause
            )
        )

    def forget_after(self, mark: int) -> None:
        """Forget all but the first ``mark`` events: the others were rolled back."""
        del self.pending[mark:]
        self.audited = [(number, entry) for number, entry in self.audited if number < mark]

    def write(self) -> None:
        """Write the events as the last statements of the transaction, with those of others in it."""
        if not self.pending:
            return
        watching = savepoints.watch()
        if watching is not None:
            watching.defer(_write, self)
        else:
            _write([self])


def _write(recorders: Sequence[Recorder]) -> None:
    audited = [entry for recorder in recorders for _, entry in recorder.audited]
    if audited:
        rows.insert(audited)
    if vendor() == "postgresql":
        with connection().cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ORDER_LOCK])
            notify_at_commit(cursor)
    rows.insert([event for recorder in recorders for event in recorder.pending])
    on_commit(notify_readers)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Open a transaction whose events are written at its end. Nested calls share the outermost one's recorder.

    Inside, do no I/O other than the database's.
    """
    outer: Recorder | None = getattr(_open, "recorder", None)
    if outer is not None:
        mark = len(outer.pending)
        try:
            with atomic():
                yield outer
        except BaseException:
            outer.forget_after(mark)
            raise
        return
    recorder = Recorder()
    _open.recorder = recorder
    try:
        with atomic():
            yield recorder
            recorder.write()
            _open.recorder = None  # on-commit callbacks, such as an eager job, record for themselves
    finally:
        _open.recorder = None
