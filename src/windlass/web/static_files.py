"""Serve the static files of the page, the API page and the admin from this process.

The standalone server does it before Django's handler, which would start a thread for each request: a page consists of
dozens of these files. In a project, which has its own order of things, a middleware does it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from starlette.types import Scope, Send
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from windlass.executors import in_thread
from windlass.kernel import urls
from windlass.kernel.document_policies import PART_POLICY

#: A smaller file is as small without compression (bytes).
LEAST_BYTES = 200
_PARTS_OF_PAGES = ("text/javascript", "text/css")
_ACCEPTS_GZIP = re.compile(r"\bgzip\b")


class PrefixedStaticFiles(StaticFilesStorage):
    """Links to static files below the prefix of the request. Django determines the prefix once in a process, but a
    proxy may send another with every request."""

    def url(self, name: str | None, force: bool = False) -> str:
        return urls.path(super().url(name))


class StaticReplies:
    """The static files as ASGI replies. ``path`` is that of a request without the prefix of the application."""

    def __init__(self) -> None:
        self._files = _files_by_path(_no_reply)

    def has(self, path: str) -> bool:
        return path in self._files

    async def answer(self, path: str, scope: Scope, send: Send) -> None:
        """Send a file that is there, or why not: it has not changed, or the method is neither GET nor HEAD."""
        response = await in_thread(_serve, self._files[path], ASGIRequest(scope, BytesIO()))
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response["Content-Length"] = "0"
        if response.get("Content-Type", "").startswith(_PARTS_OF_PAGES):
            response["Content-Security-Policy"] = PART_POLICY
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})


def _files_by_path(get_response: Callable[[HttpRequest], Any]) -> dict[str, Any]:
    """WhiteNoise's files by the paths of their URLs."""
    files: dict[str, Any] = WhiteNoiseMiddleware(get_response, _WhiteNoiseSettings()).files
    return files


def _no_reply(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=HTTPStatus.NOT_FOUND)


class StaticFilesMiddleware:
    """WhiteNoise's files for ASGI, each read whole in a thread, since these files are small.

    WhiteNoise's own middleware would move every other request to a thread and back, and would give Django an open file
    to iterate over on the event loop.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._files = _files_by_path(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        static_file = self._files.get(request.path_info)
        if static_file is None:
            return self._get_response(request)
        if self._is_async:
            return sync_to_async(_serve, thread_sensitive=False)(static_file, request)
        return _serve(static_file, request)


class _WhiteNoiseSettings:
    """The project's settings, except that WhiteNoise must not look for a file at each request, as with DEBUG, nor only
    among collected files, as with STATIC_ROOT."""

    WHITENOISE_AUTOREFRESH = False
    WHITENOISE_USE_FINDERS = True

    def __getattr__(self, name: str) -> Any:
        if name == "STATIC_ROOT" and not Path(settings.STATIC_ROOT or "").is_dir():
            return None  # nothing has been collected yet
        return getattr(settings, name)


def _serve(static_file: Any, request: HttpRequest) -> HttpResponse:
    served = static_file.get_response(request.method, _with_strong_tag(request.META))
    with ExitStack() as stack:
        content = stack.enter_context(served.file).read() if served.file else b""
    response = HttpResponse(content, status=int(served.status))
    del response["Content-Type"]
    for name, value in served.headers:
        response[name] = value
    return _compressed(request, response)


def _with_strong_tag(meta: dict[str, Any]) -> dict[str, Any]:
    """A compressed file has the weak form of its tag, which names the same state of it; WhiteNoise compares strings."""
    tag = meta.get("HTTP_IF_NONE_MATCH")
    return meta if tag is None else meta | {"HTTP_IF_NONE_MATCH": tag.removeprefix("W/")}


def _compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Compress a text for a client that takes it so: the pages consist of many small modules.

    Unlike pages, these files are the same for everybody and contain no secret, so the length may be the same each time.
    A file that the project has compressed when it collected its static files stays as it is.
    """
    is_text = response.get("Content-Type", "").startswith(("text/", "application/javascript", "image/svg+xml"))
    is_whole = response.status_code == HTTPStatus.OK and not response.has_header("Content-Encoding")
    if not is_text or not is_whole or len(response.content) < LEAST_BYTES:
        return response
    patch_vary_headers(response, ("Accept-Encoding",))
    if not _ACCEPTS_GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")):
        return response
    response.content = _gzip(response.content)
    response["Content-Length"] = str(len(response.content))
    response["Content-Encoding"] = "gzip"
    if response.has_header("ETag"):  # a file without a time of modification has none
        response["ETag"] = f"W/{response['ETag']}"
    return response


@lru_cache(maxsize=512)
def _gzip(content: bytes) -> bytes:
    """The compressed content, which is remembered: each page consists of dozens of files, and these do not change."""
    return gzip.compress(content, mtime=0)
