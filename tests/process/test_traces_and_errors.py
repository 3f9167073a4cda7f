"""Traces and error reports of ``windlass serve``, sent to a receiver that answers, is away, or does not answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.wire import PATCH, TUS, Wire, connect, eventually, wait_until_processed
from tests.telemetry_receiver import ReceivedSpan, Receiver, telemetry_receiver

pytestmark = pytest.mark.slow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SERVER, CONSUMER, INTERNAL = 2, 5, 1
FILE_NAME = "confidential-merger.txt"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with telemetry_receiver() as running:
        yield running


def named(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_one_upload_is_one_trace_and_one_error_is_one_report(
    make_server: Callable[..., ServerProcess], receiver: Receiver, tmp_path: Path
) -> None:
    server = make_server(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc",
        OTEL_SERVICE_NAME="uploads",
        OTEL_BSP_SCHEDULE_DELAY="100",
        SENTRY_DSN=receiver.dsn,
        SENTRY_ENVIRONMENT="test",
        JOB_MAX_ATTEMPTS="1",
        **step_package.install(tmp_path / "plugins", step_package.FAULTY),
    )
    assert f"ok      traces       to {receiver.url}/v1/traces" in server.command("check").stdout
    with connect(server) as http:
        # A trace that the client has begun goes on through its request, the job and the steps.
        metadata = "filename " + "Y29uZmlkZW50aWFsLW1lcmdlci50eHQ="
        created = http.post("/files/", headers=TUS | {"Upload-Length": "5", "Upload-Metadata": metadata})
        upload = created.headers["Location"]
        parent = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "order-17"}
        sent = http.patch(upload, headers=PATCH | {"Upload-Offset": "0"} | parent, content=b"hello")
        assert sent.status_code == 204
        file_id = sent.headers["Windlass-File"].strip("/").rpartition("/")[2]
        assert wait_until_processed(http, file_id)["status"] == "READY"
        eventually(lambda: any(span.kind == CONSUMER for span in receiver.trace(TRACE)))

        # Refusals, a client that goes away, and a lost path are no errors; a step that raises what no step should is.
        assert http.get("/files/nothing-here/").status_code == 404
        assert http.post("/files/", headers=TUS | {"Upload-Length": "x"}).status_code == 400
        with Wire(server.port) as client:
            client.head("PUT", f"/files/{FILE_NAME}", {"Content-Length": "100"}, b"part")
            client.wait_until_read()
        answer = http.post(f"/files/?filename={FILE_NAME}", content=b"FAULTY sesame", headers={"X-Request-ID": "bad-1"})
        faulty = answer.json()["id"]
        assert wait_until_processed(http, faulty)["status"] == "FAILED"
    assert server.stop() == 0  # what is left is sent

    spans = receiver.trace(TRACE)
    request = named(spans, "PATCH /uploads/{upload_id}")
    assert (request.parent_id, request.kind, request.failed) == (CALLER, SERVER, False)
    expected = {"http.response.status_code": 204, "http.request.body.size": 5, "windlass.dialect": "tus"}
    assert expected.items() <= request.attributes.items()
    assert request.attributes["windlass.request_id"] == "order-17"
    assert request.resource["service.name"] == "uploads"
    assert request.resource["windlass.process"] == "web"
    # A busy machine may announce a job twice; then one of two runs claims it.
    job = named([span for span in spans if span.attributes.get("windlass.job.outcome") != "not_claimed"], "job intake")
    assert (job.parent_id, job.kind, job.resource["windlass.process"]) == (request.span_id, CONSUMER, "worker")
    expected = {"windlass.file.id": file_id, "windlass.job.outcome": "done", "windlass.request_id": "order-17"}
    assert expected.items() <= job.attributes.items()
    steps = [span for span in spans if span.name.startswith("step ")]
    assert {"step checksum", "step type", "step text_facts"} <= {step.name for step in steps}
    assert {step.parent_id for step in steps} == {job.span_id}
    assert named(steps, "step type").attributes["windlass.step.outcome"] == "done"
    assert receiver.credentials == {"Bearer abc"}

    failed = [span for span in receiver.spans if span.name == "step faulty" and span.failed]
    assert [span.attributes["error.type"] for span in failed] == ["RuntimeError"]
    lost = [span for span in receiver.spans if span.name == "PUT /files/{name}"]
    assert [span.attributes["http.request.body.size"] for span in lost] == [4]

    (event,) = receiver.events
    assert event["environment"] == "test"
    assert event["release"].startswith("windlass@")
    tags = {"event": "job.error", "process": "worker", "request_id": "bad-1", "step": "faulty", "file_id": faulty}
    assert tags.items() <= event["tags"].items()
    assert event["tags"]["trace_id"] == failed[0].trace_id
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "cannot open https://***@example.org/***?token=***")
    assert error["stacktrace"]["frames"][-1]["function"] == "run"
    assert all("vars" not in frame for frame in error["stacktrace"]["frames"])
    assert not any(event.get(part) for part in ("request", "user", "extra", "breadcrumbs"))
    everything = "\n".join(receiver.texts)
    assert "step faulty" in everything
    for secret in (FILE_NAME, "swordfish", "row: sesame", "abracadabra"):
        assert secret not in everything


@pytest.fixture(params=["refuses", "hangs"])
def absent_receiver(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a receiver that refuses connections, or accepts them and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_uploads_do_not_depend_on_the_receiver(
    make_server: Callable[..., ServerProcess], absent_receiver: str, tmp_path: Path
) -> None:
    server = make_server(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{absent_receiver}",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_BSP_SCHEDULE_DELAY="50",
        SENTRY_DSN=f"http://public@{absent_receiver}/7",
        JOB_MAX_ATTEMPTS="1",
        **step_package.install(tmp_path / "plugins", step_package.FAULTY),
    )

    def logged(event: str, process: str) -> int:
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        return len([line for line in lines if line["event"] == event and line["process"] == process])

    with connect(server) as http:
        for number in range(3):
            file = http.post("/files/?filename=a.txt", content=b"content %d" % number).json()["id"]
            assert wait_until_processed(http, file)["status"] == "READY"
            eventually(lambda: logged("traces.receiver_unavailable", "web"))
        file = http.post("/files/?filename=b.txt", content=b"FAULTY").json()["id"]
        assert wait_until_processed(http, file)["status"] == "FAILED"
    checked = server.command("check")
    assert f"traces       http://{absent_receiver}/v1/traces does not take traces" in checked.stdout
    assert checked.returncode == 1
    assert server.stop() == 0
    assert logged("traces.receiver_unavailable", "web") == 1
    assert logged("traces.receiver_unavailable", "worker") <= 1
    assert logged("error_reports.receiver_unavailable", "worker") <= 1
    text = server.log.read_text()
    assert "process.killed" not in text
    assert "Retrying" not in text
    assert text.count("Traceback") == 1, "the step's own"
