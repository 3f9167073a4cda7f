"""Structured logging to standard error: JSON, or text for people (LOG_FORMAT). Secrets are removed here.

Each line has the name of its process, and what is bound to the context: the ids of the request and of the job that it
belongs to.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from windlass import conf
from windlass.kernel.redaction import without_secrets as without_secrets

#: Client data, such as file names, that is logged at debug level only.
CLIENT_NAMES = frozenset({"filename", "original_filename", "client_metadata"})

#: The least level at which other libraries log.
_LEVELS = {
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery": logging.WARNING,
    "celery.worker.consumer": logging.INFO,  # connected, lost the broker
    "django": logging.WARNING,
    "django.request": logging.ERROR,  # a client's error is not an incident
    "httpx": logging.WARNING,
    "kombu": logging.WARNING,
    "PIL": logging.WARNING,
    "pyvips": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.WARNING,
}

EventDict = MutableMapping[str, Any]


def configure(process: str) -> None:
    """Configure logging; every line contains the name of the process. The last call counts."""
    level = logging.getLevelNamesMapping()[conf.get().log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _names(process),
        hide_client_names,
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering()],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)


def _rendering() -> list[Any]:
    chosen = conf.get().log_format
    if chosen == "console" or (chosen == "auto" and sys.stderr.isatty()):
        # Rich's tracebacks would show local variables, which may hold secrets.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        return [redact, renderer]
    return [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]


def _names(process: str) -> Any:
    def add(logger: Any, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def hide_client_names(logger: Any, method: str, event: EventDict) -> EventDict:
    """Drop client data from lines above debug level."""
    if method != "debug":
        for name in CLIENT_NAMES & event.keys():
            del event[name]
    return event


def redact(logger: Any, method: str, event: EventDict) -> EventDict:
    """Replace credentials in every text of the line, tracebacks included."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = without_secrets(value)
    return event
