"""Whether the database can be written: a row is inserted and rolled back."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from windlass.database.connection import alias, atomic
from windlass.jobs.models import ProcessHeartbeat
from windlass.jobs.states import ProcessRole
from windlass.kernel.ids import new_id


def prove_writable() -> None:
    """Insert a row into one of Windlass's tables and roll back. Raises DatabaseError.

    It fails where the file or the server is read-only, the role may not write, or another process keeps the write lock.
    An UPDATE that matches no row would prove less: SQLite does not touch the file for it. Nothing is committed, so it
    costs no sync.
    """
    with atomic():
        name = f"probe-{new_id()}"
        ProcessHeartbeat.objects.create(name=name, role=ProcessRole.SCHEDULER, seen_at=Now())
        transaction.set_rollback(True, using=alias())
