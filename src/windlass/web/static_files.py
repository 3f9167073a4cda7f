"""The page's, the API page's and the admin's static files, served by this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from windlass.kernel import urls


class PrefixedStaticFiles(StaticFilesStorage):
    """Links to static files below the prefix that the client used. Django works the prefix out once in a process,
    and a proxy may tell another with every request."""

    def url(self, name: str | None, force: bool = False) -> str:
        return urls.path(super().url(name))


class StaticFilesMiddleware:
    """WhiteNoise's files for ASGI. Its own middleware would move every other request to a thread and back, and gives
    Django an open file to iterate over on the event loop. These files are small: they are read in a thread, whole."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._files: dict[str, Any] = WhiteNoiseMiddleware(get_response, _Found()).files
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        found = self._files.get(request.path_info)
        if found is None:
            return self._get_response(request)
        if self._is_async:
            return sync_to_async(_serve, thread_sensitive=False)(found, request)
        return _serve(found, request)


class _Found:
    """The project's settings, but for those by which WhiteNoise would look for a file at each request (DEBUG), or only
    among those that were collected (STATIC_ROOT)."""

    WHITENOISE_AUTOREFRESH = False
    WHITENOISE_USE_FINDERS = True

    def __getattr__(self, name: str) -> Any:
        if name == "STATIC_ROOT" and not Path(settings.STATIC_ROOT or "").is_dir():
            return None  # nothing has been collected yet
        return getattr(settings, name)


def _serve(static_file: Any, request: HttpRequest) -> HttpResponse:
    found = static_file.get_response(request.method, request.META)
    with ExitStack() as stack:
        content = stack.enter_context(found.file).read() if found.file else b""
    response = HttpResponse(content, status=int(found.status))
    del response["Content-Type"]
    for name, value in found.headers:
        response[name] = value
    return response
