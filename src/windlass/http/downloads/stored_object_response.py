"""Answer a download with a stored object: headers that are safe in a browser, conditions, ranges, and who sends it.

The bytes are sent by this process, by the proxy in front (``SENDFILE``), or by the store (``DOWNLOADS``). That the
object may be sent is decided by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from windlass import conf
from windlass.executors import in_thread
from windlass.http.downloads.conditional_requests import check_preconditions, http_date, if_range_holds, is_not_modified
from windlass.http.downloads.object_streaming import ObjectReader, ObjectResponse
from windlass.kernel.byte_ranges import ByteRange, UnsatisfiableRange, parse_range
from windlass.kernel.document_policies import STORED_OBJECT_HEADERS
from windlass.kernel.filenames import content_disposition
from windlass.kernel.problem_types import RangeNotSatisfiable
from windlass.storage.redirection import redirecting_store
from windlass.storage.registry import store

UNKNOWN_TYPE = "application/octet-stream"
#: Seconds for which a URL signed by the store is valid. A transfer that has begun may take longer.
PRESIGNED_SECONDS = 300

_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?charset=[\w-]+)?", re.ASCII)
#: Types that a browser may show in place, because nothing in them is executed. Not SVG, HTML and PDF, nor playlists,
#: which make the browser load other addresses.
_INLINE = re.compile(
    r"image/(jpeg|png|apng|gif|webp|avif|heic|heif|jxl|bmp|x-ms-bmp|tiff)|(audio|video)/(?!.*mpegurl).*|text/plain"
)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that may be sent, and what its headers say. ``etag`` is strong and quoted. ``inline``: a browser may
    show it, if its type allows that."""

    store: str
    key: str
    size: int
    mime_type: str | None
    filename: str
    etag: str | None
    modified_at: datetime
    inline: bool = True


async def stored_object_response(request: Request, stored: StoredObject) -> Response:
    """Answer GET or HEAD. Raises PreconditionFailed, RangeNotSatisfiable, and StoreError before anything is sent."""
    headers = _headers(stored)
    check_preconditions(request, stored.etag, stored.modified_at)
    if is_not_modified(request, stored.etag, stored.modified_at):
        names = ("ETag", "Last-Modified", "Cache-Control", *STORED_OBJECT_HEADERS)
        return Response(status_code=304, headers={name: headers[name] for name in names if name in headers})
    if request.method == "HEAD":  # ranges are defined for GET alone
        return Response(headers=headers)
    proxy_headers = sendfile_headers(request, stored.store, stored.key)
    if proxy_headers:
        # Length and ranges are set by the proxy, which sends the bytes.
        without_length = {
            name: value for name, value in headers.items() if name not in ("Content-Length", "Accept-Ranges")
        }
        return Response(headers={**without_length, **proxy_headers})
    url = await presigned_url(request, stored.store, stored.key, headers)
    if url is not None:
        return Response(status_code=302, headers={"Location": url, "Cache-Control": "private, no-store"})
    part = _range(request, stored)
    if part:
        headers |= {"Content-Range": part.content_range(stored.size), "Content-Length": str(part.length)}
    reader = await in_thread(ObjectReader.open, stored.store, stored.key, part or ByteRange(0, stored.size))
    return ObjectResponse(reader, 206 if part else 200, headers)


def sendfile_headers(request: Request, store_name: str, key: str) -> dict[str, str]:
    """The header that makes the proxy send the object; empty where this process sends it.

    A request with ``If-Range`` is answered here: the proxy would compare the tag with one of its own.
    """
    settings = conf.get()
    if settings.sendfile == "off" or "if-range" in request.headers:
        return {}
    path = store(store_name).local_path(key)
    if path is None:
        return {}
    if settings.sendfile == "x-accel-redirect":
        of_store = conf.store_settings(settings, store_name)
        root = of_store.sendfile_root if of_store is not None else ""
        return {"X-Accel-Redirect": f"{root}/{key}"} if root else {}  # without a root the proxy does not know the store
    return {"X-Sendfile": str(path)}


async def presigned_url(request: Request, store_name: str, key: str, headers: Mapping[str, str]) -> str | None:
    """A signed URL at which the store sends the object with ``headers``; None where this process sends it.

    A request with ``If-Range`` is answered here: the store would compare the tag with one of its own.
    """
    target = None if "if-range" in request.headers else redirecting_store(store_name)
    if target is None:
        return None
    of_bytes = {name: headers[name] for name in ("Content-Type", "Content-Disposition", "Cache-Control")}
    return await in_thread(target.presign, key, seconds=PRESIGNED_SECONDS, headers=of_bytes)


def _headers(stored: StoredObject) -> dict[str, str]:
    mime_type = stored.mime_type if _TYPE.fullmatch(stored.mime_type or "") else None
    inline = stored.inline and _INLINE.fullmatch((mime_type or "").partition(";")[0])
    headers = {
        "Content-Type": mime_type or UNKNOWN_TYPE,
        "Content-Length": str(stored.size),
        "Content-Disposition": content_disposition("inline" if inline else "attachment", stored.filename),
        "Accept-Ranges": "bytes",
        "Last-Modified": http_date(stored.modified_at),
        "Cache-Control": "private",
        **STORED_OBJECT_HEADERS,
    }
    return headers | ({"ETag": stored.etag} if stored.etag else {})


def _range(request: Request, stored: StoredObject) -> ByteRange | None:
    if not if_range_holds(request, stored.etag, stored.modified_at):
        return None
    try:
        return parse_range(request.headers.get("range"), stored.size)
    except UnsatisfiableRange as error:
        raise RangeNotSatisfiable(
            f"There are {stored.size} bytes here; the range begins after the last.",
            headers={"Content-Range": f"bytes */{stored.size}", **STORED_OBJECT_HEADERS},
            size=stored.size,
        ) from error
