"""The span of a request: its name is a template, and a client decides nothing but its parent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.integration.asgi_client import ApiClient
from tests.integration.test_dead_letters import new_dead
from windlass.kernel import spans
from windlass.kernel.clock import now
from windlass.operations import tracing

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def recorded() -> Iterator[Callable[[], list[ReadableSpan]]]:
    """End the recording and return the spans so far."""
    exporter = InMemorySpanExporter()
    stop = tracing.record(exporter, {})

    def finished() -> list[ReadableSpan]:
        stop()
        return list(exporter.get_finished_spans())

    yield finished
    stop()


@pytest.fixture
def call(records_home: Path) -> ApiClient:
    """The whole application in open mode."""
    from windlass.asgi import application

    return ApiClient(application)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", f"/files/{uuid.uuid4()}/", "GET /files/{file_id}"),
        ("PUT", "/files/my%20diary.txt", "PUT /files/{name}"),
        ("HEAD", f"/uploads/{uuid.uuid4()}", "HEAD /uploads/{upload_id}"),
        ("GET", "/error-handling/circuit-breakers/my-breaker/", "GET /error-handling/circuit-breakers/{name}"),
        ("GET", "/files/my/diary", "GET"),
        ("GET", "/my-page", "GET"),
        ("GET", "/admin/login/", "GET /admin/login"),
        ("DIARY", "/files/", "_OTHER /files"),
    ],
)
def test_a_span_is_named_by_method_and_template(
    call: ApiClient, recorded: Callable[[], list[ReadableSpan]], method: str, path: str, name: str
) -> None:
    answer = call(method, path, headers={"X-Request-ID": "r-1"})
    (span,) = [span for span in recorded() if span.parent is None]
    attributes: Any = span.attributes
    assert span.name == name
    assert attributes["http.response.status_code"] == answer.status_code
    assert attributes["http.response.body.size"] == len(answer.content) or method == "HEAD"
    assert attributes["windlass.request_id"] == "r-1"
    assert not any("diary" in str(value) or "my-" in str(value) for value in attributes.values())


def test_an_upload_carries_its_trace_to_the_job(call: ApiClient, recorded: Callable[[], list[ReadableSpan]]) -> None:
    from windlass.jobs.api import Job

    created = call("POST", "/files/?filename=a.txt", content=b"content of a test")
    job = Job.objects.get(file_id=created.json()["id"])
    (span,) = [span for span in recorded() if span.name == "POST /files"]
    assert span.context is not None
    assert job.trace_context.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert span.attributes is not None
    assert span.attributes["windlass.dialect"] == "raw"
    assert span.attributes["http.request.body.size"] == len(b"content of a test")


@pytest.mark.parametrize(
    ("parent", "count"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", 0),  # its caller does not record the trace
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", 1),
        ("nonsense", 1),
    ],
)
def test_a_caller_decides_whether_its_trace_is_recorded_and_nonsense_begins_a_new_one(
    call: ApiClient, recorded: Callable[[], list[ReadableSpan]], parent: str, count: int
) -> None:
    assert call("GET", "/livez", headers={"traceparent": parent}).status_code == 200
    spans = recorded()
    assert len(spans) == count
    assert all(span.parent is None for span in spans)


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.usefixtures("records_home")
def test_a_job_that_a_step_queues_stays_in_the_trace_and_a_later_backfill_begins_one(
    recorded: Callable[[], list[ReadableSpan]],
) -> None:
    from windlass.jobs import api as jobs

    file_id = uuid.uuid4()
    with spans.span("job intake", parent=PARENT):
        job = jobs.enqueue(jobs.Stage.DESCRIBE, file_id)
    assert job.trace_context.startswith(PARENT[:36])
    claim = jobs.find_claimable(job.id, "worker-1")
    assert claim is not None
    assert claim.trace_context == job.trace_context
    jobs.acquire(claim)
    started = jobs.StartedStage(jobs.Stage.DERIVE, now())
    following = jobs.finish_and_continue(claim, [started])
    assert jobs.Job.objects.get(id=following.job_id).trace_context == job.trace_context

    jobs.finish(following)
    assert jobs.reopen(jobs.Stage.DERIVE, file_id, cost=jobs.CostClass.LIGHT, run=1)
    assert jobs.Job.objects.get(id=following.job_id).trace_context == ""


def test_a_retried_dead_letter_continues_the_trace_of_the_retry(
    call: ApiClient, recorded: Callable[[], list[ReadableSpan]]
) -> None:
    from windlass.jobs.api import Job

    dead = new_dead()
    Job.objects.filter(id=dead.id).update(trace_context=PARENT)
    assert call("POST", "/error-handling/retry-tasks", json={"task_ids": [str(dead.id)]}).status_code == 200
    (request,) = [span for span in recorded() if span.name == "POST /error-handling/retry-tasks"]
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" in Job.objects.get(id=dead.id).trace_context
