"""Where this server's resources are, as the client of the present request reaches them. All of our URLs are built here.

A proxy may serve this server below a path (``ROOT_PATH``, ``FORCE_SCRIPT_NAME``, ``X-Forwarded-Prefix``) and under
another scheme, host and port. The front door binds what holds for a request (``bind``); outside of a request the paths
are as the server itself knows them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Base:
    """``origin``: scheme, host and port of the client's request, as ``https://files.example.org``.
    ``prefix``: what stands in front of our paths, as ``/upload``, or nothing.
    ``proxied``: whether a trusted proxy told scheme or host, so that the connection itself shows another origin."""

    origin: str = ""
    prefix: str = ""
    proxied: bool = False


_OUTSIDE_OF_A_REQUEST = Base()
_base: ContextVar[Base] = ContextVar("windlass_url_base", default=_OUTSIDE_OF_A_REQUEST)


@contextmanager
def bind(base: Base) -> Iterator[None]:
    """Build URLs for this client until the end of the block, in the present task and what it starts."""
    token = _base.set(base)
    try:
        yield
    finally:
        _base.reset(token)


def path(resource: str) -> str:
    """A reference from the same origin, such as ``/upload/files/``. ``resource`` begins with a slash."""
    return _base.get().prefix + resource


def location(resource: str) -> str:
    """For a ``Location`` field: a path, or an absolute URL where a proxy told the origin, as clients that resolve the
    field against their own connection need it."""
    base = _base.get()
    return (base.origin if base.proxied else "") + base.prefix + resource


def absolute(resource: str) -> str:
    """An absolute URL, for links that are handed on to others."""
    base = _base.get()
    return base.origin + base.prefix + resource


def file(file_id: uuid.UUID | str, rest: str = "") -> str:
    """The path of a file's resource: ``/files/{id}/`` and what follows it."""
    return path(f"/files/{file_id}/{rest}")


def media(media_url: str, resource: str) -> str:
    """A link to bytes: on ``MEDIA_URL`` where one is set, which names its own prefix, else a path."""
    return media_url.rstrip("/") + resource if media_url else path(resource)
