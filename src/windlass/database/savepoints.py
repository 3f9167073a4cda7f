"""Do without savepoints where nothing has to be rolled back to one.

Nearly every call in a transaction succeeds, and nearly every one that is refused has changed nothing yet. A savepoint
for each of them, and for each block inside, costs as much as their statements. So ``atomic`` makes none inside
``without_savepoints``; where it turns out that one was needed, ``SavepointNeeded`` is raised, and the caller rolls the
transaction back and repeats it with savepoints.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper


class SavepointNeeded(Exception):
    """Something was changed in this transaction that has to be rolled back alone."""


class Mark(NamedTuple):
    """How much a transaction had changed at one moment; ``rows`` is None where the database does not tell."""

    rows: int | None
    actions: int


class Watch:
    """Watches one transaction of one thread."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database
        #: The last exception that left a block after which something may have to be rolled back.
        self.failure: BaseException | None = None

    def mark(self) -> Mark:
        counted = getattr(self._database.connection, "total_changes", None)  # of SQLite
        return Mark(counted, len(self._database.run_on_commit))

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
    """Make no savepoints inside. Use it within a transaction, and look at ``failure`` after each call that succeeds."""
    _local.watch = watching = Watch(database)
    try:
        yield watching
    finally:
        _local.watch = None
