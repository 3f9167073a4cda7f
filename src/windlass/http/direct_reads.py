"""Answer reading calls of the record plane without Django's handler and middleware.

Django's handler starts a thread for each request, and most middleware runs in it: two thirds of the processor time of a
call that reads a record. On a reading call without a session, the middleware of the standalone server does nothing but
add headers. All other calls, and all of those of a project that Windlass is an app of, go through Django's handler
(docs/decisions/0088-record-plane.md).
"""

from __future__ import annotations

from io import BytesIO
from typing import cast

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.urls import ResolverMatch

from windlass.http.middleware import Headers, Scope, Send

#: What ``XFrameOptionsMiddleware`` and ``SecurityMiddleware`` add to every reply, in this order, before and after the
#: length that ``CommonMiddleware`` adds.
_FRAMES: Headers = [(b"X-Frame-Options", b"DENY")]
_ORIGINS: Headers = [(b"Referrer-Policy", b"same-origin"), (b"Cross-Origin-Opener-Policy", b"same-origin")]

#: Headers of a request that has a body.
_OF_BODIES = frozenset({b"content-length", b"transfer-encoding"})


def is_direct(scope: Scope, match: ResolverMatch) -> bool:
    """Whether Windlass's own view answers this request, and needs nothing of Django's handler for it."""
    return (
        scope["method"] in ("GET", "HEAD")
        and "GET" in getattr(match.func, "windlass_accesses", {})
        and bool(scope["query_string"].isascii())
        and not any(_needs_django(name, value) for name, value in scope["headers"])
    )


def _needs_django(name: bytes, value: bytes) -> bool:
    """Whether the header says that there is a body, or may have a cookie that middleware acts on when something is
    read. The page's CSRF token is none."""
    if name == b"cookie":
        return settings.SESSION_COOKIE_NAME.encode() in value or b"messages" in value
    return name in _OF_BODIES


async def answer(scope: Scope, match: ResolverMatch, send: Send) -> None:
    """Call the view; it turns its errors into problem documents. The caller has been admitted."""
    request = ASGIRequest(scope, BytesIO())
    request.resolver_match = match
    response = cast(HttpResponse, await match.func(request, *match.args, **match.kwargs))
    await send({"type": "http.response.start", "status": response.status_code, "headers": _headers(response)})
    await send({"type": "http.response.body", "body": response.content})


def _headers(response: HttpResponse) -> Headers:
    own = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    has_length = response.has_header("Content-Length")
    length = [] if has_length else [(b"Content-Length", str(len(response.content)).encode())]
    return [*own, *_FRAMES, *length, *_ORIGINS]
