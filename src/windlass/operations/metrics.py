"""Metrics for Prometheus: figures of the records, read at each scrape, and what the processes of this machine count.

All web processes report the same figures of the records, and those of one machine the same counters; each reports its
own ``windlass_process_*``. Figures of the records are gauges, not counters: deleting a file removes what was counted
for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.db.models import TextChoices
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
    FileStatus,
    UploadStatus,
    damaged_blobs,
    oldest_verification,
    stores_in_service,
)
from windlass.jobs import api as jobs
from windlass.kernel import instruments
from windlass.kernel.clock import now
from windlass.kernel.instruments import Gauge, Histogram, Instrument
from windlass.operations.component_checks import CheckResult, CheckState, check_components
from windlass.operations.record_figures import record_figures
from windlass.processing import api as processing
from windlass.processing.sandbox.capability_level import NAMES
from windlass.receiving import disk_space
from windlass.resilience.circuits import State
from windlass.resilience.service_level import ServiceLevel

#: States of jobs that are not done, as ``jobs.QueueStatus`` names them.
_OPEN_STATES = ("queued", "running", "dead")


class Records(Collector):
    """Reads the database at each scrape, which blocks."""

    def collect(self) -> Iterable[Metric]:
        yield _gauge("windlass_info", "Which version runs.", ["version"], {(__version__,): 1})
        yield _sandbox()
        yield _breakers()
        yield _service_level()
        yield from _work()
        yield from _disks()
        yield from _objects()
        yield from _tables()


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
    stages = jobs.stage_statuses(queues)
    depths = {
        (stage.value, state): getattr(status, state) for stage, status in stages.items() for state in _OPEN_STATES
    }
    yield _gauge("windlass_jobs", "Jobs that wait, run or are dead letters.", ["stage", "state"], depths)
    yield _gauge(
        "windlass_jobs_oldest_age_seconds",
        "How long the job that is due for longest has waited.",
        ["stage", "cost"],
        {(queue.stage.value, queue.cost.value): status.oldest_age_seconds for queue, status in queues.items()},
    )
    deliveries = events.delivery_queue()
    yield _gauge("windlass_webhooks_pending", "Deliveries to webhooks that wait.", [], {(): deliveries.queued})
    overdue = {(): deliveries.oldest_age_seconds}
    yield _gauge(
        "windlass_webhooks_oldest_age_seconds", "How long the delivery that is due for longest waits.", [], overdue
    )
    yield CounterMetricFamily("windlass_events", "Events that were ever recorded.", value=events.last_id())


def _disks() -> Iterable[Metric]:
    free = {(name,): disk_space.free_bytes(name) for name in stores_in_service()}
    yield _gauge(
        "windlass_disk_free_bytes", "Free bytes where this machine keeps a store's files and the home.", ["store"], free
    )
    reserve = conf.get().disk_reserve_mb * conf.MB
    yield _gauge("windlass_disk_reserve_bytes", "Free bytes below which uploads are refused.", [], {(): reserve})


def _quotas(totals: Mapping[str, int]) -> Iterable[Metric]:
    uses = {"limited": "owners", "over-80-percent": "over_80_percent", "full": "full"}
    owners = {(use,): totals[name] for use, name in uses.items()}
    yield _gauge("windlass_quota_owners", "Owners with a quota, by how much of it is taken.", ["use"], owners)
    taken, limit = {(): totals["bytes_taken"]}, {(): totals["bytes_limit"]}
    yield _gauge("windlass_quota_taken_bytes", "Bytes that they have stored or reserved.", [], taken)
    yield _gauge("windlass_quota_limit_bytes", "Bytes that they may store.", [], limit)


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now() - since).total_seconds())


def _objects() -> Iterable[Metric]:
    """Queries by index."""
    damaged = {(): damaged_blobs().count()}
    yield _gauge("windlass_damaged_objects", "Stored files that are not what was received.", [], damaged)
    yield _gauge(
        "windlass_verified_oldest_age_seconds",
        "How long the stored file that has waited longest has not been read and compared, or was received ago.",
        [],
        {(): _age(oldest_verification())},
    )


def _tables() -> Iterable[Metric]:
    """Figures of whole tables, which are counted apart from the scrapes."""
    kept = record_figures.read()
    if not kept:
        return  # of many files, which the scheduler counts for the first time
    files, uploads = _statuses(FileStatus, kept["files"]), _statuses(UploadStatus, kept["uploads"])
    stores = dict.fromkeys(stores_in_service(), 0)
    stored = {(kind, name): size for kind, sizes in kept["stored"].items() for name, size in (stores | sizes).items()}
    runs = {(step, state): n for step, state, n, _ in kept["steps"]}
    seconds = {(step, state): seconds for step, state, _, seconds in kept["steps"]}
    trash = kept["trash"]
    yield _gauge("windlass_files", "Files on record.", ["status"], files)
    yield _gauge("windlass_uploads", "Upload sessions that are remembered.", ["status"], uploads)
    yield _gauge("windlass_trashed_files", "Files in the trash whose bytes are kept.", [], {(): trash["files"]})
    yield _gauge("windlass_trashed_bytes", "Their bytes, each by its own size.", [], {(): trash["bytes"]})
    yield _gauge("windlass_stored_bytes", "Bytes of files, and of what was made of them.", ["kind", "store"], stored)
    yield _gauge("windlass_step_runs", "How steps ended, of the files on record.", ["step", "state"], runs)
    yield _gauge("windlass_step_seconds", "Time that these runs took in all.", ["step", "state"], seconds)
    yield from _quotas(kept["quotas"])
    age = {(): record_figures.age()}
    yield _gauge("windlass_figures_age_seconds", "How long ago these figures of whole tables were counted.", [], age)


def _statuses(statuses: Iterable[TextChoices], counted: Mapping[str, int]) -> dict[tuple[str], int]:
    """Statuses without rows are 0."""
    return {(status.value,): counted.get(status.value, 0) for status in statuses}


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
