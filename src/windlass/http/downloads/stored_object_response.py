"""Stored bytes as an HTTP reply: safe headers, conditions, ranges. What may be sent is decided by the caller."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from windlass.executors import in_thread
from windlass.http.downloads import redirects, sendfile
from windlass.http.downloads.conditional_requests import fails, http_date, not_modified, range_holds
from windlass.http.downloads.object_streaming import ObjectReader, ObjectResponse
from windlass.kernel.byte_ranges import ByteRange, UnsatisfiableRange, parse_range
from windlass.kernel.errors import PreconditionFailed, RangeNotSatisfiable
from windlass.kernel.filenames import content_disposition

UNKNOWN_TYPE = "application/octet-stream"
_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?charset=[\w-]+)?", re.ASCII)
#: What a browser may show in place: nothing in it can run. Not SVG, HTML, PDF, nor playlists, which name other places.
_INLINE = re.compile(
    r"image/(jpeg|png|apng|gif|webp|avif|heic|heif|jxl|bmp|x-ms-bmp|tiff)|(audio|video)/(?!.*mpegurl).*|text/plain"
)


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes that may be sent, and what is said of them. ``etag`` is strong and quoted."""

    store: str
    key: str
    size: int
    mime_type: str | None
    filename: str
    etag: str | None
    modified_at: datetime


async def respond(request: Request, what: Representation) -> Response:
    """Answers GET and HEAD. Raises PreconditionFailed, RangeNotSatisfiable, and StoreError before anything is sent."""
    headers = _headers(what)
    check_preconditions(request, what.etag, what.modified_at)
    if _is_known(request, what):
        kept: dict[str, str] = {
            name: headers[name] for name in ("ETag", "Last-Modified", "Cache-Control") if name in headers
        }
        return Response(status_code=304, headers=kept)
    if request.method == "HEAD":  # ranges are defined for GET alone
        return Response(headers=headers)
    handed_over = sendfile.field_for(request, what.store, what.key)
    if handed_over:
        return Response(headers={**_of_proxy(headers), **handed_over})
    elsewhere = await redirects.place_of(request, what.store, what.key, headers)
    if elsewhere is not None:
        return Response(status_code=302, headers={"Location": elsewhere, "Cache-Control": "private, no-store"})
    part = _part(request, what)
    wanted = part or ByteRange(0, what.size)
    status = 200
    if part:
        status = 206
        headers |= {"Content-Range": part.content_range(what.size), "Content-Length": str(part.length)}
    reader = await in_thread(ObjectReader.begin, what.store, what.key, wanted)
    return ObjectResponse(reader, status, headers)


def _headers(what: Representation) -> dict[str, str]:
    mime_type = what.mime_type if _TYPE.fullmatch(what.mime_type or "") else None
    inline = _INLINE.fullmatch((mime_type or "").partition(";")[0])
    headers = {
        "Content-Type": mime_type or UNKNOWN_TYPE,
        "Content-Length": str(what.size),
        "Content-Disposition": content_disposition("inline" if inline else "attachment", what.filename),
        "Accept-Ranges": "bytes",
        "Last-Modified": http_date(what.modified_at),
        "Cache-Control": "private",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return headers | ({"ETag": what.etag} if what.etag else {})


def _of_proxy(headers: dict[str, str]) -> dict[str, str]:
    """Length and ranges are the proxy's to say: it sends the bytes."""
    return {name: value for name, value in headers.items() if name not in ("Content-Length", "Accept-Ranges")}


def check_preconditions(request: Request, etag: str | None, modified_at: datetime | None) -> None:
    """Raises PreconditionFailed. These conditions come before those that may end as 304 (RFC 9110, 13.2.2)."""
    if_match, until = _listed(request, "if-match"), request.headers.get("if-unmodified-since")
    if not fails(if_match, until, etag, modified_at):
        return
    if if_match is None:
        detail = "It was modified after If-Unmodified-Since. Ask without the condition, and read the new Last-Modified."
    else:
        detail = "It has another ETag than If-Match names. Ask without the condition, and read the new ETag."
    raise PreconditionFailed(detail, headers={"ETag": etag} if etag else {})


def _listed(request: Request, name: str) -> str | None:
    """A field that may be sent in several lines, as one list."""
    return ",".join(request.headers.getlist(name)) if name in request.headers else None


def _is_known(request: Request, what: Representation) -> bool:
    tags = _listed(request, "if-none-match")
    return not_modified(tags, request.headers.get("if-modified-since"), what.etag, what.modified_at)


def _part(request: Request, what: Representation) -> ByteRange | None:
    if not range_holds(request.headers.get("if-range"), what.etag, what.modified_at):
        return None
    try:
        return parse_range(request.headers.get("range"), what.size)
    except UnsatisfiableRange as error:
        raise RangeNotSatisfiable(
            f"There are {what.size} bytes here; the range begins after the last.",
            headers={"Content-Range": f"bytes */{what.size}"},
            size=what.size,
        ) from error
