"""The record plane's URL patterns: Ninja's, made to answer HEAD, and to refuse as the whole server refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from windlass.database.outage import is_away
from windlass.http.rest import openapi, problems
from windlass.http.rest.api import api
from windlass.kernel.errors import MethodNotAllowed, NoBytePlane, NotFound, Problem

#: Paths of ours that another project's own catch-alls must not answer.
OURS = r"^(?:files|uploads|events|profiles|s3|livez|readyz|healthz|api/v1/upload|api/v1/media)(?:/.*)?$"


def patterns() -> list[URLPattern | URLResolver]:
    """For ``path("", include(...))`` in any project."""
    found, app_name, namespace = api.urls
    ninja = [
        path(str(one.pattern), _answering(one.callback), name=one.name)
        for one in found
        if isinstance(one, URLPattern) and (one.callback is not None)
    ]
    return [path("", include((ninja, app_name), namespace=namespace)), re_path(OURS, refuse)]


@csrf_exempt
def refuse(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404, or 405 where the path is one that takes other methods, on whichever plane."""
    return problems.response(_refusal(request), request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler404`` of the standalone server."""
    return defaults.page_not_found(request, exception) if _is_page(request) else refuse(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return defaults.bad_request(request, exception) if _is_page(request) else problems.answer(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return defaults.permission_denied(request, exception) if _is_page(request) else problems.answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``, while the error is handled. Django logs it, unless it is an outage, which is logged once."""
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and is_away(error):
        away = problems.answer(request, error)
        away._has_been_logged = True  # type: ignore[attr-defined]  # what Django looks at
        return away
    if _is_page(request):
        return defaults.server_error(request)
    return problems.response(
        Problem("The request failed because of an error in the server; it has been logged."), request
    )


def _is_page(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def _refusal(request: HttpRequest) -> Problem:
    allowed = _allowed(request.path_info.rstrip("/") or "/")
    if request.method in allowed and not problems.request_id(request):
        return NoBytePlane(
            "File bytes and live events do not go through Django. Wrap the project's application in its asgi.py by "
            "windlass.asgi.wrap, and serve it as ASGI (`windlass web`, or uvicorn); `manage.py runserver` and WSGI "
            "servers cannot. `manage.py check` says what is missing."
        )
    if not allowed or request.method in allowed:
        return NotFound(f"There is nothing at {request.path}.")
    listed = ", ".join(sorted(allowed))
    return MethodNotAllowed(f"{request.path} takes {listed}, not {request.method}.", headers={"Allow": listed})


def _allowed(path_info: str) -> frozenset[str]:
    return frozenset(method for known, methods in _known() if known.fullmatch(path_info) for method in methods)


@lru_cache(maxsize=1)
def _known() -> list[Any]:
    return openapi.methods_by_pattern(api.get_openapi_schema(path_prefix=""))


def _answering(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view of one path, for HEAD as for GET; a method that it does not take is refused as a problem."""
    run = view if iscoroutinefunction(view) else sync_to_async(view)

    async def answered(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        head = request.method == "HEAD"
        if head:
            request.method = "GET"
        found: HttpResponseBase = await run(request, *arguments, **named)
        if head:
            request.method = "HEAD"
        return refuse(request) if found.status_code == 405 else found

    # A project's ATOMIC_REQUESTS is for its own views: Django refuses it for asynchronous ones, and what is recorded
    # here is committed before the reply.
    answered._non_atomic_requests = set(connections)  # type: ignore[attr-defined]
    answered.csrf_exempt = True  # type: ignore[attr-defined]  # accounts.of_request checks it where a session speaks
    return answered
