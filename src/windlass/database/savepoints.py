"""Do without savepoints where nothing has to be rolled back to one.

Nearly every call in a transaction succeeds, and nearly every one that is refused has changed nothing yet. A savepoint
for each of them, and for each block inside, costs as much as their statements. So ``atomic`` makes none inside
``without_savepoints``; where it turns out that one was needed, ``SavepointNeeded`` is raised, and the caller rolls the
transaction back and repeats it with savepoints.

What such a transaction writes last, such as the events of all its calls, can be deferred and is then one statement. So
can rows that are inserted (``rows.insert_deferred``); they are written before anything may read them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper


class SavepointNeeded(Exception):
    """Something was changed in this transaction that has to be rolled back alone."""


class Mark(NamedTuple):
    """How much a transaction had changed at one moment; ``rows`` is None where the database does not tell."""

    rows: int | None
    actions: int
    deferred: int


#: Write what was deferred.
Write = Callable[[list[Any]], None]


class Watch:
    """Watches one transaction of one thread."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database
        #: The last exception that left a block after which something may have to be rolled back.
        self.failure: BaseException | None = None
        self._deferred: list[tuple[Write, Any]] = []
        self._rows: dict[Write, list[Any]] = {}

    def mark(self) -> Mark:
        counted = getattr(self._database.connection, "total_changes", None)  # of SQLite
        return Mark(
            counted, len(self._database.run_on_commit), len(self._deferred) + sum(map(len, self._rows.values()))
        )

    def defer(self, write: Write, item: Any) -> None:
        """Let ``write`` write this item together with the others of the transaction, at its end."""
        self._deferred.append((write, item))

    def defer_row(self, write: Write, row: Any) -> None:
        """As ``defer``, but ``write_rows`` and ``write_rows_of`` write it earlier."""
        self._rows.setdefault(write, []).append(row)

    def write_deferred(self) -> None:
        """Call this as the last thing before the commit."""
        self.write_rows()
        for write in dict.fromkeys(write for write, _ in self._deferred):
            write([item for its_write, item in self._deferred if its_write is write])

    def write_rows(self) -> None:
        """Write all deferred rows. Call this before a statement that may concern any of them."""
        while self._rows:
            self.write_rows_of(next(iter(self._rows)))

    def write_rows_of(self, write: Write) -> None:
        """Write the rows that were deferred for ``write``, before a statement about their table."""
        waiting = self._rows.pop(write, None)
        if waiting:
            write(waiting)

    def may_have_changed_since(self, mark: Mark) -> bool:
        return mark.rows is None or self._database.needs_rollback or self.mark() != mark

    @contextmanager
    def block(self) -> Iterator[None]:
        """A block that is to have no effect if it raises. Whoever catches that needs a savepoint."""
        mark = self.mark()
        try:
            yield
        except BaseException as error:
            if self.may_have_changed_since(mark):
                self.failure = error
            raise


_local = threading.local()


def watch() -> Watch | None:
    """What watches this thread's transaction, if it makes no savepoints."""
    return getattr(_local, "watch", None)


@contextmanager
def without_savepoints(database: BaseDatabaseWrapper) -> Iterator[Watch]:
    """Make no savepoints inside. Use it within a transaction, look at ``failure`` after each call that succeeds, and
    call ``write_deferred`` at the end."""
    _local.watch = watching = Watch(database)
    try:
        yield watching
    finally:
        _local.watch = None
