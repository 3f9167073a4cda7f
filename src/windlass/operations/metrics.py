"""Metrics for Prometheus, read from the records at each scrape.

All web processes report the same figures of the records, and each its own ``windlass_process_*``. Figures of the
records are gauges, not counters: deleting a file removes what was counted for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Sum, TextChoices
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from windlass import __version__
from windlass.events import api as events
from windlass.executors import in_database
from windlass.files.api import (
    Blob,
    FileAsset,
    FileStatus,
    Rendition,
    StepRun,
    StepState,
    UploadSession,
    UploadStatus,
    damaged_blobs,
    oldest_verification,
    stores_in_service,
    trash_totals,
)
from windlass.jobs.api import Job, JobState, Stage
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic, now
from windlass.processing import api as processing
from windlass.processing.sandbox.capability_level import NAMES
from windlass.resilience.circuits import State

#: Figures that read a whole table are computed at most this often (seconds).
TABLE_SECONDS = 60.0


@dataclass(slots=True)
class Kept:
    """Caches the metrics that ``work`` returns for ``seconds``. Concurrent callers wait for one computation."""

    work: Callable[[], Sequence[Metric]]
    seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _until: float = field(default=0.0, init=False)
    _found: Sequence[Metric] = field(default=(), init=False)

    def __call__(self) -> Sequence[Metric]:
        with self._lock:
            if monotonic() >= self._until:
                self._found = self.work()
                self._until = monotonic() + self.seconds
            return self._found

    def forget(self) -> None:
        self._until = 0.0


class Records(Collector):
    """Reads the database at each scrape, which blocks."""

    def collect(self) -> Iterable[Metric]:
        yield _gauge("windlass_info", "Which version runs.", ["version"], {(__version__,): 1})
        yield _sandbox()
        yield _breakers()
        yield from _work()
        yield from tables()


class Connections(Collector):
    """Counters of this process: disconnected, slow and refused clients."""

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "windlass_process_client_disconnects",
            "Clients that closed before their request or its reply was whole.",
            "during",
            process_counters.client_disconnects,
        )
        yield _counter(
            "windlass_process_connections_ended",
            "Connections that were ended because they were too slow or too many.",
            "reason",
            process_counters.connections_ended,
        )
        yield _counter(
            "windlass_process_requests_refused",
            "Requests that were refused before they were routed.",
            "status",
            process_counters.requests_refused,
        )


def _counter(name: str, doc: str, label: str, figures: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, doc, labels=[label])
    for value, figure in dict(figures).items():
        family.add_metric([value], figure)
    return family


def _sandbox() -> Metric:
    level = processing.sandbox_level().name
    levels = {(name,): int(name == level) for name in NAMES}
    return _gauge("windlass_sandbox_level", "How much of the sandbox this machine gives.", ["level"], levels)


def _breakers() -> Metric:
    figures = {
        (status.name, state.value): int(status.state is state)
        for status in processing.breaker_statuses()
        for state in State
    }
    return _gauge(
        "windlass_breaker_state", "Which state each circuit breaker is in: 1 for it.", ["name", "state"], figures
    )


def _work() -> Iterable[Metric]:
    """Queries by index: few jobs wait or run, however many are done."""
    open_states = (JobState.QUEUED, JobState.RUNNING, JobState.DEAD)
    jobs = {(stage.value, state.value): 0 for stage in Stage for state in open_states}
    waiting = Job.objects.filter(state__in=open_states).values_list("stage", "state").annotate(n=Count("id"))
    jobs |= {(stage, state): n for stage, state, n in waiting}
    yield _gauge("windlass_jobs", "Jobs that wait, run or are dead letters.", ["stage", "state"], jobs)
    due = Job.objects.filter(state=JobState.QUEUED, due_at__lte=now()).aggregate(since=Min("due_at"))["since"]
    age = {(): _age(due)}
    yield _gauge("windlass_jobs_oldest_age_seconds", "How long the job that is due for longest has waited.", [], age)
    uploads = _counted(UploadSession, UploadStatus)
    yield _gauge("windlass_uploads", "Upload sessions that are remembered.", ["status"], uploads)
    yield CounterMetricFamily("windlass_events", "Events that were ever recorded.", value=events.last_id())


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now() - since).total_seconds())


def _tables() -> Sequence[Metric]:
    files = _counted(FileAsset, FileStatus)
    stored = {("file", name): size for name, size in _bytes(Blob)}
    stored |= {("rendition", name): size for name, size in _bytes(Rendition)}
    trashed, damaged = trash_totals(), damaged_blobs().count()
    ended = StepRun.objects.filter(state__in=(StepState.DONE, StepState.FAILED, StepState.OWED))
    steps = list(ended.order_by().values_list("step", "state").annotate(n=Count("id"), seconds=Sum("seconds")))
    runs = {(step, state): n for step, state, n, _ in steps}
    seconds = {(step, state): seconds or 0.0 for step, state, _, seconds in steps}
    return [
        _gauge("windlass_files", "Files on record.", ["status"], files),
        _gauge("windlass_damaged_objects", "Stored files that are not what was received.", [], {(): damaged}),
        _gauge(
            "windlass_verified_oldest_age_seconds",
            "How long the stored file that has waited longest has not been read and compared, or was received ago.",
            [],
            {(): _age(oldest_verification())},
        ),
        _gauge("windlass_trashed_files", "Files in the trash whose bytes are kept.", [], {(): trashed.files}),
        _gauge("windlass_trashed_bytes", "Their bytes, each by its own size.", [], {(): trashed.bytes}),
        _gauge("windlass_stored_bytes", "Bytes of files, and of what was made of them.", ["kind", "store"], stored),
        _gauge("windlass_step_runs", "How steps ended, of the files on record.", ["step", "state"], runs),
        _gauge("windlass_step_seconds", "Time that these runs took in all.", ["step", "state"], seconds),
    ]


tables = Kept(_tables, TABLE_SECONDS)


def _counted(model: Any, statuses: Iterable[TextChoices]) -> dict[tuple[str], int]:
    """Rows by status; statuses without rows are 0."""
    counted = model.objects.order_by().values_list("status").annotate(n=Count("id"))
    return {(status.value,): 0 for status in statuses} | {(status,): n for status, n in counted}


def _bytes(model: Any) -> Iterable[tuple[str, int]]:
    """Bytes by store; configured stores without any are 0."""
    sizes = dict.fromkeys(stores_in_service(), 0)
    sizes |= dict(model.objects.order_by().values_list("store").annotate(size=Sum("size")))
    return sizes.items()


def _gauge(name: str, doc: str, labels: Sequence[str], figures: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, doc, labels=labels)
    for values, figure in figures.items():
        family.add_metric(values, figure)
    return family


registry = CollectorRegistry(auto_describe=False)
registry.register(Records())
registry.register(Connections())
ProcessCollector(namespace="windlass", registry=registry)


async def metrics(request: Request) -> Response:
    body = await in_database(generate_latest, registry)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})
