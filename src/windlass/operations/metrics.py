"""Metrics for Prometheus: figures of the records, read at each scrape, and what the processes of this machine count.

All web processes report the same figures of the records, and those of one machine the same counters; each reports its
own ``windlass_process_*``. Figures of the records are gauges, not counters: deleting a file removes what was counted
for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.db.models import Count, Sum, TextChoices
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from windlass import __version__, conf
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
    quota_totals,
    stores_in_service,
    trash_totals,
)
from windlass.jobs import api as jobs
from windlass.kernel import instruments
from windlass.kernel.clock import monotonic, now
from windlass.kernel.instruments import Gauge, Histogram, Instrument
from windlass.operations.component_checks import CheckResult, CheckState, check_components
from windlass.processing import api as processing
from windlass.processing.sandbox.capability_level import NAMES
from windlass.receiving import disk_space
from windlass.resilience.circuits import State
from windlass.resilience.service_level import ServiceLevel

#: States of jobs that are not done, as ``jobs.QueueStatus`` names them.
_OPEN_STATES = ("queued", "running", "dead")

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
        yield _service_level()
        yield from _work()
        yield from _disks()
        yield from tables()


class Instruments(Collector):
    """What the processes of this machine count. Reads files, which blocks."""

    def collect(self) -> Iterable[Metric]:
        for instrument, values in instruments.report().items():
            yield _family(instrument, values)


def _family(instrument: Instrument, values: Mapping[tuple[str, ...], Sequence[float]]) -> Metric:
    name, doc, labels = instrument.name, instrument.doc, tuple(instrument.labels)
    if isinstance(instrument, Histogram):
        histogram = HistogramMetricFamily(name, doc, labels=labels)
        for labelled, (*counts, total) in values.items():
            histogram.add_metric(labelled, _cumulative(instrument.bounds, counts), total)
        return histogram
    family = (GaugeMetricFamily if isinstance(instrument, Gauge) else CounterMetricFamily)(name, doc, labels=labels)
    for labelled, (value,) in values.items():
        family.add_metric(labelled, value)
    return family


def _cumulative(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


def _sandbox() -> Metric:
    level = processing.sandbox_level().name
    levels = {(name,): int(name == level) for name in NAMES}
    return _gauge("windlass_sandbox_level", "How much of the sandbox this machine gives.", ["level"], levels)


def _service_level() -> Metric:
    current = events.service_level().level
    levels = {(level.value,): int(level is current) for level in ServiceLevel}
    return _gauge("windlass_service_level", "The level at which the installation works: 1 for it.", ["level"], levels)


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
    queues = jobs.queue_statuses()
    depths = {(stage.value, state): getattr(queue, state) for stage, queue in queues.items() for state in _OPEN_STATES}
    yield _gauge("windlass_jobs", "Jobs that wait, run or are dead letters.", ["stage", "state"], depths)
    yield _gauge(
        "windlass_jobs_oldest_age_seconds",
        "How long the job that is due for longest has waited.",
        ["stage"],
        {(stage.value,): queue.oldest_age_seconds for stage, queue in queues.items()},
    )
    deliveries = events.delivery_queue()
    yield _gauge("windlass_webhooks_pending", "Deliveries to webhooks that wait.", [], {(): deliveries.queued})
    overdue = {(): deliveries.oldest_age_seconds}
    yield _gauge(
        "windlass_webhooks_oldest_age_seconds", "How long the delivery that is due for longest waits.", [], overdue
    )
    uploads = _counted(UploadSession, UploadStatus)
    yield _gauge("windlass_uploads", "Upload sessions that are remembered.", ["status"], uploads)
    yield CounterMetricFamily("windlass_events", "Events that were ever recorded.", value=events.last_id())


def _disks() -> Iterable[Metric]:
    free = {(name,): disk_space.free_bytes(name) for name in stores_in_service()}
    yield _gauge(
        "windlass_disk_free_bytes", "Free bytes where this machine keeps a store's files and the home.", ["store"], free
    )
    reserve = conf.get().disk_reserve_mb * conf.MB
    yield _gauge("windlass_disk_reserve_bytes", "Free bytes below which uploads are refused.", [], {(): reserve})


def _quotas() -> Iterable[Metric]:
    totals = quota_totals()
    owners = {("limited",): totals.owners, ("over-80-percent",): totals.over_80_percent, ("full",): totals.full}
    yield _gauge("windlass_quota_owners", "Owners with a quota, by how much of it is taken.", ["use"], owners)
    yield _gauge("windlass_quota_taken_bytes", "Bytes that they have stored or reserved.", [], {(): totals.bytes_taken})
    yield _gauge("windlass_quota_limit_bytes", "Bytes that they may store.", [], {(): totals.bytes_limit})


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
        *_quotas(),
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
registry.register(Instruments())
ProcessCollector(namespace="windlass", registry=registry)


class Components(Collector):
    """What the checks of components found, in this process."""

    def __init__(self, results: Mapping[str, CheckResult]) -> None:
        self._results = results

    def collect(self) -> Iterable[Metric]:
        states = {
            (name, state.value): int(result.state is state)
            for name, result in self._results.items()
            for state in CheckState
        }
        yield _gauge(
            "windlass_component_state",
            "What the check of each component found: 1 for it.",
            ["component", "state"],
            states,
        )
        seconds = {(name,): result.latency_ms / 1000 for name, result in self._results.items()}
        yield _gauge("windlass_component_check_seconds", "How long that check took.", ["component"], seconds)


async def metrics(request: Request) -> Response:
    components = CollectorRegistry(auto_describe=False)
    components.register(Components(await check_components()))
    body = await in_database(lambda: generate_latest(registry) + generate_latest(components))
    return Response(body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})
