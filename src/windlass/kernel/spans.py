"""Spans: named, timed parts of a trace, such as a request, a job run and a step.

Nothing is recorded until ``record_with`` installs a tracer (``windlass.operations.tracing`` does): a span then costs a
comparison. Attributes must not contain file names, credentials or anything else that an owner has sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]


class SpanKind(Enum):
    """What a span measures, as in OpenTelemetry."""

    SERVER = auto()  # a request that this process answers
    CONSUMER = auto()  # work that another process has queued
    CLIENT = auto()  # a call of another service
    INTERNAL = auto()


class Span:
    """A span that is being measured. This class records nothing."""

    def rename(self, name: str) -> None: ...

    def annotate(self, attributes: Attributes) -> None:
        """Add attributes; those of the same name are replaced."""

    def fail(self, error_type: str) -> None:
        """Mark what is measured as failed. ``error_type``: the class of the error, or a status."""


class Tracer(Protocol):
    """Measures spans. The span of the innermost block of the current task or thread is the current one."""

    def span(self, name: str, kind: SpanKind, parent: str, attributes: Attributes) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str: ...


_NO_SPAN = Span()
_NO_BLOCK = nullcontext(_NO_SPAN)
_tracer: Tracer | None = None


def record_with(tracer: Tracer | None) -> None:
    """Measure spans with ``tracer`` from now on; None: no longer measure any."""
    global _tracer
    _tracer = tracer


def are_recorded() -> bool:
    return _tracer is not None


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, *, parent: str = "", attributes: Attributes | None = None
) -> AbstractContextManager[Span]:
    """Measure the block as a span; an exception that leaves the block marks it as failed.

    ``parent``: a ``traceparent`` (W3C Trace Context). If it is empty or invalid, the parent is the current span; where
    there is none, a trace begins.
    """
    return _NO_BLOCK if _tracer is None else _tracer.span(name, kind, parent, attributes or {})


def traceparent() -> str:
    """The current span as a ``traceparent``, for the processes that continue its work; empty if there is none."""
    return "" if _tracer is None else _tracer.traceparent()
