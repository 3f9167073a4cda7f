"""Build the URLs of this server's resources as the client of the current request reaches them.

A proxy may serve this server below a path (``ROOT_PATH``, ``FORCE_SCRIPT_NAME``, ``X-Forwarded-Prefix``) and under
another scheme, host and port. ``windlass.asgi`` sets the base of each request (``use_base``); outside of a request the
base is empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UrlBase:
    """``origin``: scheme, host and port of the client's request, as ``https://files.example.org``.
    ``prefix``: the part before our paths, as ``/upload``, or empty.
    ``proxied``: whether a trusted proxy reported the scheme or host, so that the connection has another origin."""

    origin: str = ""
    prefix: str = ""
    proxied: bool = False


_base: ContextVar[UrlBase] = ContextVar("windlass_url_base", default=UrlBase())  # noqa: B039  frozen


@contextmanager
def use_base(base: UrlBase) -> Iterator[None]:
    """Build URLs on this base until the end of the block, in the current task and the tasks that it starts."""
    token = _base.set(base)
    try:
        yield
    finally:
        _base.reset(token)


def path(resource: str) -> str:
    """A reference from the same origin, such as ``/upload/files/``. ``resource`` begins with a slash."""
    return _base.get().prefix + resource


def location(resource: str) -> str:
    """For a ``Location`` field: a path, or an absolute URL where a proxy reported the origin, because some clients
    resolve the field against their own connection."""
    base = _base.get()
    return (base.origin if base.proxied else "") + base.prefix + resource


def absolute(resource: str) -> str:
    """An absolute URL, for links that are passed on to others."""
    base = _base.get()
    return base.origin + base.prefix + resource


def file_path(file_id: uuid.UUID | str, rest: str = "") -> str:
    """The path of a file's resource: ``/files/{id}/`` and ``rest``."""
    return path(f"/files/{file_id}/{rest}")


def media_url(base: str, resource: str) -> str:
    """A link to bytes: on ``base`` (MEDIA_URL) if it is set, else a path."""
    return base.rstrip("/") + resource if base else path(resource)
