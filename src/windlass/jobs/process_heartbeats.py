"""Heartbeats: which workers and schedulers run, as their rows say. Times are the database's, so clocks may differ.

A process renews its row every BEAT_SECONDS and deletes it when it stops; one that was killed is noticed when its row is
older than ALIVE_SECONDS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import DateTimeField
from django.db.models.functions import Now

from windlass.jobs.models import ProcessHeartbeat
from windlass.jobs.states import ProcessRole, Queue, queue_of

BEAT_SECONDS = 2.0
#: Age from which a process counts as dead: it missed two beats.
ALIVE_SECONDS = 6.0
#: Age from which the row of a dead process is deleted.
FORGET_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class SeenProcess:
    """A process by its heartbeat. ``age_seconds``: since it was last seen. ``queues``: those a worker serves."""

    name: str
    role: ProcessRole
    queues: frozenset[Queue]
    age_seconds: float

    @property
    def alive(self) -> bool:
        return self.age_seconds <= ALIVE_SECONDS


def record_heartbeat(name: str, role: ProcessRole, queues: Iterable[Queue] = ()) -> None:
    values = {"role": role, "stages": ",".join(queue.name for queue in queues), "seen_at": Now()}
    if not ProcessHeartbeat.objects.filter(name=name).update(**values):
        ProcessHeartbeat.objects.get_or_create(name=name, defaults=values)


def remove_heartbeat(name: str) -> None:
    """The process stops."""
    ProcessHeartbeat.objects.filter(name=name).delete()


def seen_processes(role: ProcessRole) -> list[SeenProcess]:
    """Return the processes of this role, the one seen last first, including those that died a few minutes ago."""
    found = ProcessHeartbeat.objects.filter(role=role).annotate(at=_database_time()).order_by("-seen_at")
    return [_seen(row, row.at) for row in found]


def delete_old_heartbeats() -> int:
    """Delete the rows of processes that died more than FORGET_SECONDS ago; return how many."""
    old = ProcessHeartbeat.objects.filter(seen_at__lt=_database_time() - timedelta(seconds=FORGET_SECONDS))
    return old.delete()[0] if old.exists() else 0  # looking takes no write lock


def _database_time() -> Now:
    return Now(output_field=DateTimeField())


def _seen(row: ProcessHeartbeat, at: datetime) -> SeenProcess:
    known = frozenset(queue for name in row.stages.split(",") if (queue := queue_of(name)) is not None)
    return SeenProcess(row.name, ProcessRole(row.role), known, max(0.0, (at - row.seen_at).total_seconds()))
