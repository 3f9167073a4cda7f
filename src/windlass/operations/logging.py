"""Structured lines on standard error: JSON for machines, coloured for a terminal. Everything logged passes here."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

import structlog

from windlass import conf

#: Names that clients gave their files are theirs: they appear in debug lines only.
CLIENT_NAMES = frozenset({"filename", "original_filename", "client_metadata"})

#: Parameters of URLs whose values are credentials, or name what a credential is for.
_SECRET_PARAMETERS = frozenset(
    {"access_token", "grant", "jwt", "key", "password", "secret", "signature", "ticket", "token"}
    | {"x-amz-credential", "x-amz-security-token", "x-amz-signature"}
)
_PARAMETER = re.compile(r"(?<=[?&;])([^=&;\s\"']+)=([^&;\s\"']+)")
#: A text in which something is percent-encoded, such as the path of a request.
_ENCODED = re.compile(r"[^\s\"'<>]*%[0-9A-Fa-f]{2}[^\s\"'<>]*")

_SECRETS = (
    re.compile(r"(?<=://)[^/@\s]*(?=@)"),  # user:password@ of a URL
    re.compile(r"(?<=[Bb]earer )\S+"),
    re.compile(r"(?<![A-Za-z0-9])wlg?_[A-Za-z0-9_-]{8,}"),  # our own API tokens and grants
)

#: What others say at INFO that an operator of Windlass does not need to hear.
_LEVELS = {
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery": logging.WARNING,
    "celery.worker.consumer": logging.INFO,  # connected, lost the broker
    "django": logging.WARNING,
    "django.request": logging.ERROR,  # a client's mistake is no incident of ours
    "httpx": logging.WARNING,
    "kombu": logging.WARNING,
    "PIL": logging.WARNING,
    "pyvips": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.INFO,  # on only where asked for
}

EventDict = MutableMapping[str, Any]


def configure(process: str) -> None:
    """Set up logging for this process, whose name every line carries. The last call counts."""
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
        # Rich's tracebacks would show local variables, and with them whatever secret they hold.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [redact, renderer]
    return [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]


def _names(process: str) -> Any:
    def add(logger: Any, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def hide_client_names(logger: Any, method: str, event: EventDict) -> EventDict:
    """Drop client file names from everything above debug."""
    if method != "debug":
        for name in CLIENT_NAMES & event.keys():
            del event[name]
    return event


def redact(logger: Any, method: str, event: EventDict) -> EventDict:
    """Blot out credentials in every text of the line, tracebacks included."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """``text`` with ``***`` in the place of each credential, however the URL that carries it is encoded."""
    shown = _PARAMETER.sub(_hide_parameter, text)
    for pattern in _SECRETS:
        shown = pattern.sub("***", shown)
    return _ENCODED.sub(_hide_encoded, shown)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}=***" if unquote(found[1]).strip().lower() in _SECRET_PARAMETERS else found[0]


def _hide_encoded(found: re.Match[str]) -> str:
    """What holds a credential once it is decoded is shown decoded, without it; anything else as it is."""
    decoded = unquote(found[0])
    hidden = decoded
    for pattern in _SECRETS:
        hidden = pattern.sub("***", hidden)
    return found[0] if hidden == decoded else hidden
