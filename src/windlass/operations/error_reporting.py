"""Report unexpected errors to Sentry (extra ``sentry``). Off unless SENTRY_DSN is set; then nothing of it is imported.

An unexpected error is one that is logged with its traceback at level error, by Windlass or by a library, or that ends a
thread. Refusals, disconnects and failures of a service are logged without, and are not reported. A report has the stack
without local variables, and neither the request nor texts of clients. docs/decisions/0059-traces-and-errors.md
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from windlass import __version__, conf
from windlass.kernel import spans
from windlass.kernel.redaction import without_secrets
from windlass.operations.logging import CLIENT_NAMES

if TYPE_CHECKING:
    from sentry_sdk.transport import HttpTransport
    from sentry_sdk.types import Event, Hint

log = structlog.get_logger(__name__)

ErrorTriple = tuple[type[BaseException], BaseException, TracebackType | None]

#: Fields of a log line that a report has as tags, which Sentry filters by.
TAGS = ("request_id", "stage", "step", "task", "attempt", "job_id", "file_id")
#: Seconds that the end of a process waits for reports at most.
FLUSH_SECONDS = 2.0
#: Characters of an error's message in a report.
LONGEST_MESSAGE = 1000
#: Loggers whose lines are about what a client did, or about the reports themselves.
_NOT_REPORTED = ("django.security", "sentry_sdk", "urllib3")
#: A shorter name would be found in words.
_LEAST_NAME = 3


def start(process: str) -> Callable[[], None]:
    """Report errors of this process, if SENTRY_DSN is set. Return a function that sends what is left, within
    FLUSH_SECONDS. Call it after ``logging.configure``. Raises BadSetting if the library is not installed."""
    settings = conf.get()
    if not settings.sentry_dsn:
        return _do_nothing
    try:
        import sentry_sdk
    except ImportError as error:
        raise conf.BadSetting(
            "SENTRY_DSN is set, and the library for it is not installed: pip install 'windlass[sentry]'"
        ) from error
    logging.getLogger("sentry_sdk").setLevel(logging.CRITICAL)
    sentry_sdk.init(
        settings.sentry_dsn,
        release=f"windlass@{__version__}",
        environment=settings.sentry_environment,
        sample_rate=settings.sentry_sample_rate,
        transport=_transport(),
        before_send=_scrubbed,
        # No integration reads requests, arguments of the process or local variables.
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        max_request_body_size="never",
        send_client_reports=False,
        send_default_pii=False,
    )
    sentry_sdk.get_global_scope().set_tag("process", process)
    logging.root.addHandler(_ReportingHandler())
    _report_errors_that_end_threads()
    return _flush


def _do_nothing() -> None: ...


def _flush() -> None:
    import sentry_sdk

    sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)


def _transport() -> type[HttpTransport]:
    """Sentry's, whose thread sends reports; it says once in the log that Sentry does not answer."""
    from sentry_sdk.transport import HttpTransport

    class TransportThatLogsOnce(HttpTransport):
        is_available = True

        def on_dropped_event(self, reason: str) -> None:
            if self.is_available:
                self.is_available = False
                log.warning("error_reports.receiver_unavailable", reason=reason, hint="reports are dropped meanwhile")

        def _get_pool_options(self) -> dict[str, Any]:
            return {**super()._get_pool_options(), "retries": False}  # urllib3 would log each of them

    return TransportThatLogsOnce


class _ReportingHandler(logging.Handler):
    """Reports what is logged with a traceback at level error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_NOT_REPORTED):
            return
        event = record.msg if isinstance(record.msg, Mapping) else {}
        error = _error_of(event.get("exc_info") or record.exc_info)
        if error is not None:
            _report(error, str(event.get("event", record.name)), event)


def _error_of(exc_info: object) -> ErrorTriple | None:
    """``exc_info`` of a log line is an error, its triple, or True for the error that is being handled."""
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    kind, error, traceback = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    return None if kind is None or error is None or not exc_info else (kind, error, traceback)


def _report(error: ErrorTriple, name: str, fields: Mapping[str, Any]) -> None:
    import sentry_sdk

    known = {**structlog.contextvars.get_contextvars(), **fields}
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("event", name)
        for tag in TAGS:
            if known.get(tag):
                scope.set_tag(tag, str(known[tag]))
        if context := spans.traceparent():
            _, trace_id, span_id, _ = context.split("-")
            scope.set_tag("trace_id", trace_id)
            scope.set_tag("span_id", span_id)
        scope.capture_exception(error)


def _scrubbed(event: Event, hint: Hint) -> Event | None:
    """``before_send``: the report without credentials and without names that a client gave."""
    event.pop("breadcrumbs", None)
    for error in event.get("exception", {}).get("values", []):
        error["value"] = _public_message(str(error.get("value") or ""))
    scrubbed: Event = _without_secrets(event)
    return scrubbed


def _public_message(text: str) -> str:
    """The first line of an error's message: in a database's message the row follows. Without the file's name."""
    line = (text.splitlines() or [""])[0]
    for field, name in structlog.contextvars.get_contextvars().items():
        if field in CLIENT_NAMES and len(str(name)) >= _LEAST_NAME:
            line = line.replace(str(name), "***")
    return line[:LONGEST_MESSAGE]


def _without_secrets(value: Any) -> Any:
    """``value`` with its texts, at any depth, free of credentials."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: _without_secrets(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(each) for each in value]
    return value


def _report_errors_that_end_threads() -> None:
    """The main thread too. What is done with them otherwise is unchanged."""
    print_thread_error, print_error = threading.excepthook, sys.excepthook

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and issubclass(arguments.exc_type, Exception):
            _report((arguments.exc_type, arguments.exc_value, arguments.exc_traceback), "thread.ended", {})
        print_thread_error(arguments)

    def of_main_thread(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            _report((kind, error, traceback), "process.ended", {})
            _flush()
        print_error(kind, error, traceback)

    threading.excepthook, sys.excepthook = of_thread, of_main_thread
