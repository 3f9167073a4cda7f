"""What every request and reply goes through: request ids, security headers, the check of Host, limits of bodies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from windlass import conf
from windlass.http.memory_budget import budget
from windlass.kernel.document_policies import DATA_POLICY, PAGE_HEADERS, REPLY_HEADERS
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, Problem
from windlass.protocols import tus

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: Bytes of the largest body on the record plane: JSON calls and forms of the admin. File bytes never go there.
RECORD_BODY_LIMIT = 4 * 1024 * 1024
#: Bytes of the largest body of Django's own pages, which anybody may call.
PAGE_BODY_LIMIT = 1024 * 1024


#: The key of an ASGI scope under which the id of the request is stored.
REQUEST_ID = "windlass.request_id"


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of a request header, or None."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def with_headers(send: Send, change: Callable[[Message, Headers], Headers]) -> Send:
    """Give every reply the headers that ``change`` makes of its first message and of the headers in that."""

    async def send_changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": change(message, list(message.get("headers", [])))}
        await send(message)

    return send_changed


def without(headers: Headers, *names: bytes) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in names]


def guard_document(send: Send, policy: str = DATA_POLICY) -> Send:
    """Add the headers that limit a browser to every reply that does not set them itself; ``policy`` is its Content
    Security Policy."""
    guards = _encoded({"Content-Security-Policy": policy, **REPLY_HEADERS})

    def complete(_: Message, headers: Headers) -> Headers:
        present = {name.lower() for name, _ in headers}
        is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
        wanted = [*guards, *_OF_PAGES] if is_page else guards
        return headers + [(name, value) for name, value in wanted if name not in present]

    return with_headers(send, complete)


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


_OF_PAGES = _encoded(PAGE_HEADERS)


def identify(scope: Scope, send: Send) -> Send:
    """Add X-Request-ID and ``nosniff`` to the reply; to a tus request also Tus-Resumable, except to OPTIONS (tus 1.0.0,
    "Headers")."""
    identifier: str = scope[REQUEST_ID]
    extra = [(b"x-request-id", identifier.encode()), (b"x-content-type-options", b"nosniff")]
    if scope["method"] != "OPTIONS" and header(scope, b"tus-resumable") is not None:
        extra.append((b"tus-resumable", tus.VERSION.encode()))
    replaced = [name for name, _ in extra]
    return with_headers(send, lambda _, headers: [*without(headers, *replaced), *extra])


def secured(scope: Scope, send: Send) -> Send:
    """For the standalone server: add ``Secure`` to cookies of a request over TLS, and HSTS (RFC 6797) to its reply.

    ``scope`` is as the client sees it.
    """
    settings = conf.get()
    over_tls = scope["scheme"] in ("https", "wss")
    if not over_tls and not settings.secure_cookies:
        return send

    hsts = [(b"strict-transport-security", _hsts(settings).encode())] if over_tls and settings.hsts_seconds else []
    return with_headers(send, lambda _, headers: [*((name, _secure(name, value)) for name, value in headers), *hsts])


def _secure(name: bytes, value: bytes) -> bytes:
    is_open = name.lower() == b"set-cookie" and not re.search(rb";\s*secure\s*(;|$)", value, re.IGNORECASE)
    return value + b"; Secure" if is_open else value


def _hsts(settings: conf.Settings) -> str:
    return f"max-age={settings.hsts_seconds}" + ("; includeSubDomains" if settings.hsts_include_subdomains else "")


def check_host(scope: Scope) -> None:
    """Raise BadRequest for a Host that ALLOWED_HOSTS does not name, as Django does: it prevents DNS rebinding."""
    allowed = django_settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if django_settings.DEBUG else [])
    if not _is_allowed(header(scope, b"host") or "", tuple(allowed)):
        raise BadRequest("The Host of this request is not served here. ALLOWED_HOSTS names the hosts that are.")


@lru_cache(maxsize=256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


async def call_bounded(app: App, scope: Scope, receive: Receive, send: Send, limit: int = RECORD_BODY_LIMIT) -> None:
    """Call Django, which receives a body of any size before it routes the request.

    Raises BodyTooLarge for a body of more than ``limit`` bytes, at once where Content-Length names them; Unavailable
    while the memory budget is used up.
    """
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    async with budget().share() as share:

        async def receive_bounded() -> Message:
            message = await receive()
            size = len(message.get("body", b""))
            if share.size + size > limit:
                raise _too_large(limit)
            await share.grow(size)
            return message

        await app(scope, receive_bounded, send)


def without_body() -> Receive:
    """A ``receive`` that reports an empty body, for a request whose body is not used: nothing of it is read."""
    delivered = False

    async def receive_nothing() -> Message:
        nonlocal delivered
        if delivered:
            await asyncio.Event().wait()  # until the task that listens for a disconnect is cancelled
        delivered = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive_nothing


def _too_large(limit: int) -> Problem:
    return BodyTooLarge(
        f"This call takes a body of at most {limit // 2**20} MiB. Files go to POST /files/.", limit=limit
    )
