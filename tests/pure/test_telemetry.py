"""Traces and error reports: off without settings, and what is an error. Each in a process of its own, because both
change the process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.telemetry_receiver import Receiver, telemetry_receiver
from windlass import conf
from windlass.kernel import spans
from windlass.operations import error_reporting, tracing

LIBRARIES = ("opentelemetry", "sentry_sdk", "google.protobuf")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with telemetry_receiver() as running:
        yield running


def run(program: str, home: Path, **environment: str) -> str:
    """Run a program with the server's logging and telemetry started; return what it prints."""
    start = "from windlass.operations import logging, telemetry\nlogging.configure('web')\ntelemetry.start('web')\n"
    foreign = ("OTEL_", "SENTRY_", "WINDLASS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ended = subprocess.run(
        [sys.executable, "-c", f"{start}{program}\ntelemetry.stop()"],
        env=inherited | {"DJANGO_SETTINGS_MODULE": "windlass.settings", "WINDLASS_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_a_process_without_telemetry_imports_no_library_of_it(tmp_path: Path, settings: dict[str, str]) -> None:
    """Nor the HTTP client, which only models and keys elsewhere need."""
    unused = (*LIBRARIES, "httpx")
    program = f"import sys, windlass.asgi, windlass.celery\nprint([n for n in {unused} if n in sys.modules])"
    assert run(program, tmp_path, **settings) == "[]\n"


def test_a_span_costs_nothing_while_none_is_recorded() -> None:
    assert not spans.are_recorded()
    with spans.span("a") as outer, spans.span("b") as inner:
        assert outer is inner
        inner.annotate({"x": 1})
        inner.fail("500")
        assert spans.traceparent() == ""


FORKS = """
import os
from windlass.kernel import spans
with spans.span("before") as span:
    parent = spans.traceparent()
child = os.fork()
if child == 0:
    with spans.span("of the child", parent=parent):
        pass
    telemetry.stop()
    os._exit(0)
os.waitpid(child, 0)
with spans.span("after", parent=parent):
    pass
"""


def test_a_forked_process_sends_its_own_spans_and_no_others(tmp_path: Path, receiver: Receiver) -> None:
    run(
        FORKS, tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces", OTEL_BSP_SCHEDULE_DELAY="60000"
    )
    assert sorted(span.name for span in receiver.spans) == ["after", "before", "of the child"]
    assert len({span.trace_id for span in receiver.spans}) == 1


ERRORS = """
import logging, threading, django
django.setup()
import structlog
from windlass.http.problem_responses import problem_of
from windlass.kernel.problem_types import NotFound
from windlass.operations import sweep
from windlass.receiving.body import ClientGone
from windlass.storage.contract import StoreUnavailable

def raises(error):
    raise error

def answered(error):
    try:
        raises(error)
    except Exception as caught:
        problem_of(caught)

def answered_by_django(logger):
    try:
        raises(ValueError("of a page"))
    except ValueError:
        logging.getLogger(logger).error("Internal Server Error: /files/secret-name", exc_info=True)

# Lawful: a refusal, a client and a store that are away, what a security check of Django refused, a warning.
for error in (NotFound("There is no such file."), ClientGone(), StoreUnavailable("away")):
    answered(error)
answered_by_django("django.security.DisallowedHost")
structlog.get_logger("x").warning("lawful", exc_info=ValueError("known"))
structlog.get_logger("x").error("job.dead", reason="The file is damaged.")

# Not lawful
with structlog.contextvars.bound_contextvars(request_id="r-1", filename="my diary"):
    answered(RuntimeError("in my diary, Bearer hush"))
answered_by_django("django.request")
sweep._run([sweep.CleanupTask("quotas", lambda dry_run: raises(LookupError("no account")))])
thread = threading.Thread(target=raises, args=[ArithmeticError("in a thread")])
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_unexpected_errors_are_reported_and_refusals_are_not(tmp_path: Path, receiver: Receiver) -> None:
    run(ERRORS, tmp_path, SENTRY_DSN=receiver.dsn)
    reported = {event["tags"]["event"]: event for event in receiver.events}
    assert list(reported) == ["request.failed", "django.request", "sweep.failed", "thread.ended"]
    values = [event["exception"]["values"][-1]["value"] for event in receiver.events]
    assert values == ["in ***, Bearer ***", "of a page", "no account", "in a thread"]
    assert reported["request.failed"]["tags"]["request_id"] == "r-1"
    assert reported["sweep.failed"]["tags"]["task"] == "quotas"
    assert {event["environment"] for event in receiver.events} == {"production"}
    assert "secret-name" not in "".join(receiver.texts)


@pytest.mark.parametrize(
    ("settings", "start", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, tracing.start, r"pip install 'windlass\[otel\]'"),
        ({"SENTRY_DSN": "https://public@example.org/7"}, error_reporting.start, r"pip install 'windlass\[sentry\]'"),
    ],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], start: object, message: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for library in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "sentry_sdk"):
        monkeypatch.setitem(sys.modules, library, None)
    try:
        conf.reload()
        with pytest.raises(conf.BadSetting, match=message):
            start("web")  # type: ignore[operator]
    finally:
        monkeypatch.undo()
        conf.reload()
