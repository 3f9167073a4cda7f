"""The calls whose time must not grow with the number of files, and how long each takes."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from benchmarks.growth import fill

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Milliseconds."""

    median: float
    p95: float
    cpu: float


def measure(
    calls: Mapping[str, Call], preparations: Mapping[str, Call], rounds: int, server: psutil.Process | None
) -> dict[str, Timing]:
    """The calls in turn, ``rounds`` times, after one of each that is not counted.

    A preparation precedes the call of its name, and is not counted. ``server``: the database's.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for round_number in range(rounds + 1):
        for name, call in calls.items():
            preparations.get(name, bool)()
            wall, cpu = time.perf_counter(), _processor_seconds(server)
            call()
            if round_number:
                times[name].append((time.perf_counter() - wall, _processor_seconds(server) - cpu))
    return {name: _timing(found) for name, found in times.items()}


def _processor_seconds(server: psutil.Process | None) -> float:
    """Of this process and of those of the database's server."""
    used = time.process_time()
    for child in server.children() if server else ():
        with suppress(OSError):  # it has ended
            used += int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9
    return used


def _timing(found: list[tuple[float, float]]) -> Timing:
    walls = sorted(wall * 1000 for wall, _ in found)
    return Timing(
        statistics.median(walls),
        walls[min(len(walls) - 1, round(0.95 * len(walls)))],
        statistics.median(cpu * 1000 for _, cpu in found),
    )


def calls(count: int) -> dict[str, Call]:
    """``count``: files on record. Django is set up."""
    return {**_lists(count), **_records(count), **_writes(), **_periodic(), **_admin(count)}


def preparations() -> dict[str, Call]:
    """What the measurement itself has left is done before a sweep, which then has nothing to do, as usual."""
    from windlass.jobs import api as jobs
    from windlass.operations import sweep

    def finish_jobs() -> None:
        jobs.Job.objects.filter(state="queued").update(state="done")
        sweep.sweep()

    return {"sweep": finish_jobs}


def _lists(count: int) -> dict[str, Call]:
    from windlass.http.rest.file_list import FileQuery, list_page
    from windlass.http.rest.file_order import FileOrder
    from windlass.kernel.principals import Principal

    owner = Principal(owner=fill.OWNER)
    staff = Principal(owner="user:1", staff=True)

    def page(principal: Any = owner, **parameters: Any) -> Call:
        query = FileQuery(**parameters)
        return lambda: list_page(query, principal)

    middle, _ = list_page(FileQuery(to=fill.moment_of(count // 2), limit=1), owner)
    deep = FileOrder("-created").cursor(middle[0].asset)
    return {
        "list, first page": page(),
        "list, a page in the middle": page(cursor=deep),
        "list, by name": page(sort="name"),
        "list, status FAILED (100 files)": page(status=[fill.RARE_STATUS]),
        "list, status READY": page(status=["READY"]),
        "list, two statuses": page(status=[fill.RARE_STATUS, "READY"]),
        "list, type image/jpeg": page(mime_type="image/jpeg"),
        "list, rare type (100 files)": page(mime_type=fill.RARE_TYPE),
        "list, image/*": page(mime_type="image/*"),
        "list, kind model": page(kind="model"),
        "list, reference": page(reference=fill.REFERENCE),
        "list, q that few files have": page(q=fill.RARE_TEXT),
        "list, q that all files have": page(q=fill.COMMON_TEXT),
        "list, q that no file has": page(q="no such name"),
        "list, every owner, rare status": page(staff, status=[fill.RARE_STATUS]),
        "list, every owner, few hits of q": page(staff, q=fill.RARE_TEXT),
    }


def _records(count: int) -> dict[str, Call]:
    from tests.integration.asgi_client import ApiClient
    from windlass.asgi import application

    client = ApiClient(application)
    file_id = uuid.UUID(fill.identifier("file", 10 * (count // 20)))

    def get(path: str) -> Call:
        def call() -> None:
            reply = client("GET", path)
            assert reply.status_code < 300, (path, reply.status_code, reply.text)

        return call

    return {
        "record, over HTTP": get(f"/files/{file_id}"),
        "status, over HTTP": get(f"/files/{file_id}/status"),
        "/metrics, over HTTP": get("/metrics"),
    }


def _writes() -> dict[str, Call]:
    from tests.integration.asgi_client import ApiClient
    from windlass.asgi import application
    from windlass.database.connection import atomic
    from windlass.jobs import api as jobs
    from windlass.jobs.claims import acquire

    client = ApiClient(application)

    def upload() -> None:
        reply = client("PUT", f"/files/{uuid.uuid4().hex}.txt", content=b"some bytes")
        assert reply.status_code == 201, reply.text

    def claim() -> None:
        with atomic():
            job = jobs.enqueue(jobs.Stage.INTAKE, uuid.uuid4())
        found = jobs.find_claimable(job.id, "benchmark")
        assert found is not None
        with atomic():
            acquire(found)
        jobs.Job.objects.filter(id=job.id).update(state="done")

    return {"create and complete, over HTTP": upload, "enqueue and claim a job": claim}


def _periodic() -> dict[str, Call]:
    from windlass.files.api import check_blobs, figures_of_owners, quota_usage
    from windlass.operations import sweep
    from windlass.operations.record_figures import record_figures

    record_figures.refresh()
    figures_of_owners.refresh()
    return {
        "sweep": sweep.sweep,
        "check of 1,000 blobs": lambda: check_blobs(seconds=0),
        "quota of an owner without limit": lambda: quota_usage(fill.OWNER),
    }


def _admin(count: int) -> dict[str, Call]:
    from django.contrib.auth import get_user_model
    from django.test import Client

    user, _ = get_user_model().objects.get_or_create(
        username="benchmark", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client(headers={"Host": "localhost"})
    client.force_login(user)

    def page(model: str, **query: Any) -> Call:
        def call() -> None:
            reply = client.get(f"/admin/{model}/?{urlencode(query)}")
            assert reply.status_code == 200, (model, query, reply.status_code)

        return call

    files, middle = "windlass_files/fileasset", fill.moment_of(count // 2).isoformat()
    return {
        "admin, files": page(files),
        "admin, files of a status": page(files, status__exact=fill.RARE_STATUS),
        "admin, search of few": page(files, q=fill.RARE_TEXT),
        "admin, search of all": page(files, q=fill.COMMON_TEXT),
        "admin, a page in the middle": page(files, created_at__lte=middle),
        "admin, page 15": page(files, p=15),
        "admin, uploads": page("windlass_files/uploadsession"),
        "admin, events": page("windlass_events/event"),
        "admin, jobs": page("windlass_jobs/job"),
    }
