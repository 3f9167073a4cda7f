"""Traces for OpenTelemetry: request, job run and step, sent by OTLP over HTTP (extra ``otel``).

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set: nothing of OpenTelemetry is imported then. The provider is this module's
own, so that it does not meet one of a project that Windlass is a part of (docs/decisions/0059-traces-and-errors.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from windlass import __version__, conf
from windlass.kernel import spans

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = structlog.get_logger(__name__)


#: How long ``check`` waits for the receiver.
CHECK_SECONDS = 3.0


class ReceiverUnavailable(Exception):
    """The receiver of traces does not answer, or refuses them."""


def is_configured(settings: conf.Settings) -> bool:
    is_off = settings.otel_sdk_disabled or settings.otel_traces_exporter == "none"
    return bool(settings.traces_endpoint) and not is_off


def start(process: str) -> Callable[[], None]:
    """Record the spans of this process and send them, if the settings name a receiver.

    Return a function that sends what is left, once. It waits for the receiver for as long as that takes: call it in a
    thread. Raises BadSetting if the libraries are not installed.
    """
    settings = conf.get()
    if not is_configured(settings):
        return _do_nothing
    resource = {"service.name": settings.otel_service_name, "windlass.process": process}
    return record(_exporter(settings), resource)


def check() -> str:
    """Send the receiver an empty batch; return its URL. Blocks for CHECK_SECONDS at most.

    Raises ReceiverUnavailable, BadSetting.
    """
    settings = conf.get()
    exporter = _exporter(settings, CHECK_SECONDS)
    if exporter.export([]).name != "SUCCESS":
        raise ReceiverUnavailable(f"{settings.traces_endpoint} does not take traces, or does not answer")
    return f"to {settings.traces_endpoint}"


def record(exporter: SpanExporter, resource: Mapping[str, str]) -> Callable[[], None]:
    """Record spans from now on; a thread gives them to the exporter in batches. Return a function that ends that, and
    gives it what is left.

    The sampler, limits and the pace of the batches are those of OTEL_TRACES_SAMPLER, OTEL_SPAN_* and OTEL_BSP_*, which
    the SDK reads itself.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(_logging_once(exporter))
    provider = TracerProvider(
        resource=Resource.create({"service.version": __version__, **resource}), shutdown_on_exit=False
    )
    provider.add_span_processor(processor)
    spans.record_with(_Tracer(provider.get_tracer("windlass", __version__)))

    def stop() -> None:
        spans.record_with(None)
        processor.shutdown()  # type: ignore[no-untyped-call]  # it has no annotations

    return stop


def _do_nothing() -> None: ...


def _exporter(settings: conf.Settings, seconds: float | None = None) -> SpanExporter:
    """``seconds``: after which a batch is given up, by default OTEL_EXPORTER_OTLP_TIMEOUT. Raises BadSetting."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.util.re import parse_env_headers
    except ImportError as error:
        raise conf.BadSetting(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the libraries for it are not installed: "
            "pip install 'windlass[otel]'"
        ) from error
    # The SDK logs every failed batch and every dropped span; ``_logging_once`` says so once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    headers = parse_env_headers(settings.otel_exporter_otlp_headers, liberal=True)
    return OTLPSpanExporter(settings.traces_endpoint, headers=headers, timeout=seconds)


def _logging_once(exporter: SpanExporter) -> SpanExporter:
    """The exporter, with one line in the log when its receiver becomes unavailable, and one when it is back."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class ExporterThatLogsOnce(SpanExporter):
        is_available = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            is_available = result is SpanExportResult.SUCCESS
            if is_available != self.is_available:
                self.is_available = is_available
                if is_available:
                    log.info("traces.receiver_available")
                else:
                    log.warning("traces.receiver_unavailable", hint="spans are dropped until it answers")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return ExporterThatLogsOnce()


class _Tracer(spans.Tracer):
    """OpenTelemetry's current span is a context variable, so it follows tasks and ``executors``' threads."""

    def __init__(self, tracer: trace.Tracer) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: spans.SpanKind, parent: str, attributes: spans.Attributes) -> Iterator[spans.Span]:
        from opentelemetry.trace import SpanKind

        context = self._propagator.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(
            name,
            context,
            SpanKind[kind.name],
            attributes,
            # The text of an exception may contain what an owner has sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as measured:
            span = _Span(measured)
            try:
                yield span
            except BaseException as error:
                span.fail(type(error).__name__)
                raise

    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")


class _Span(spans.Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def annotate(self, attributes: spans.Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error_type)
