"""CORS (Fetch, "CORS protocol"): pages of the origins in CORS_ALLOWED_ORIGINS may call every endpoint."""

from __future__ import annotations

from windlass import conf
from windlass.conf.validators import ANY_ORIGIN, NULL_ORIGIN
from windlass.http.middleware import Headers, Scope, Send, header, with_headers, without

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

#: Request headers that a page may send besides the CORS-safelisted ones.
ALLOWED_HEADERS = (
    *("Authorization", "Content-Type", "Content-Disposition", "X-Request-ID", "X-CSRFToken", "Idempotency-Key"),
    *("X-HTTP-Method-Override", "X-Requested-With", "X-Checksum-SHA256", "Content-Digest", "Repr-Digest"),
    *("Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Offset", "Upload-Concat"),
    *("Upload-Checksum", "Upload-Complete", "Upload-Draft-Interop-Version"),
    *("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"),
    *("Last-Event-ID", "Cache-Control"),
)

#: Response headers that a page may read besides the CORS-safelisted ones.
EXPOSED_HEADERS = (
    *("Location", "Windlass-File", "X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy", "ETag"),
    *("Content-Disposition", "Content-Range", "Accept-Patch", "WWW-Authenticate", "Idempotency-Replayed"),
    *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    *("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires", "Upload-Concat"),
    *("Upload-Complete", "Upload-Limit", "Upload-Draft-Interop-Version"),
)

#: Seconds that a browser may cache the answer to a preflight; browsers cap it at this.
MAX_AGE = 7200


def permitting(scope: Scope, send: Send) -> Send:
    """Add the CORS headers to every reply, and those of a preflight to its reply."""
    if not conf.get().cors_allowed_origins:
        return send
    extra = [(name.encode(), value.encode("latin-1")) for name, value in _headers(scope).items()]
    return with_headers(send, lambda _, headers: _with_vary(headers) + extra)


def is_preflight(scope: Scope) -> bool:
    """Whether the request is a preflight for a page of an allowed origin."""
    return (
        scope["method"] == "OPTIONS"
        and header(scope, b"access-control-request-method") is not None
        and _allowed_origin(scope) is not None
    )


async def answer_options(send: Send) -> None:
    """Answer OPTIONS where no endpoint does, a preflight or not. ``send`` is that of ``permitting``."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _headers(scope: Scope) -> dict[str, str]:
    origin = _allowed_origin(scope)
    if origin is None:
        return {}
    headers = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS)}
    if origin not in (ANY_ORIGIN, NULL_ORIGIN):  # cookies are allowed only for origins that are named
        headers["Access-Control-Allow-Credentials"] = "true"
    if is_preflight(scope):
        headers |= {
            "Access-Control-Allow-Methods": ", ".join(METHODS),
            "Access-Control-Allow-Headers": ", ".join(ALLOWED_HEADERS),
            "Access-Control-Max-Age": str(MAX_AGE),
        }
    return headers


def _allowed_origin(scope: Scope) -> str | None:
    """The page's origin, or ``*``, if the settings allow it."""
    allowed = conf.get().cors_allowed_origins
    origin = header(scope, b"origin")
    if origin is None:
        return None
    return origin if origin in allowed else "*" if "*" in allowed else None


def _with_vary(headers: Headers) -> Headers:
    """Add ``Vary: Origin``, so that a cache does not give one origin the reply to another."""
    vary = [value for name, value in headers if name.lower() == b"vary"]
    return [*without(headers, b"vary"), (b"vary", b", ".join([*vary, b"Origin"]))]
