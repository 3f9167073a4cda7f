"""Structured logging to standard error: JSON, or coloured text for a terminal. Secrets are removed here."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

import structlog

from windlass import conf

#: Client data, such as file names, that is logged at debug level only.
CLIENT_NAMES = frozenset({"filename", "original_filename", "client_metadata"})

#: URL parameters whose values are credentials or identify one.
_SECRET_PARAMETERS = frozenset(
    {"access_token", "grant", "jwt", "key", "password", "secret", "signature", "ticket", "token"}
    | {"x-amz-credential", "x-amz-security-token", "x-amz-signature"}
)
_PARAMETER = re.compile(r"(?<=[?&;])([^=&;\s\"']+)=([^&;\s\"']+)")
#: Percent-encoded text, such as the path of a request.
_ENCODED = re.compile(r"[^\s\"'<>]*%[0-9A-Fa-f]{2}[^\s\"'<>]*")

_SECRETS = (
    re.compile(r"(?<=://)[^/@\s]*(?=@)"),  # user:password@ of a URL
    re.compile(r"(?<=[Bb]earer )\S+"),
    re.compile(r"(?<![A-Za-z0-9])wlg?_[A-Za-z0-9_-]{8,}"),  # our own API tokens and grants
    re.compile(r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]{8,}"),  # secrets of webhooks
)

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
    "uvicorn.access": logging.INFO,  # off unless enabled
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
    if sys.stderr.isatty():
        # Rich's tracebacks would show local variables, which may hold secrets.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
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


def without_secrets(text: str) -> str:
    """Return ``text`` with ``***`` in place of each credential, however its URL is encoded."""
    shown = _PARAMETER.sub(_hide_parameter, text)
    for pattern in _SECRETS:
        shown = pattern.sub("***", shown)
    return _ENCODED.sub(_hide_encoded, shown)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}=***" if unquote(found[1]).strip().lower() in _SECRET_PARAMETERS else found[0]


def _hide_encoded(found: re.Match[str]) -> str:
    """Return text that contains a credential decoded and without it; other text unchanged."""
    decoded = unquote(found[0])
    hidden = decoded
    for pattern in _SECRETS:
        hidden = pattern.sub("***", hidden)
    return found[0] if hidden == decoded else hidden
