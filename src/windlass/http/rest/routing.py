"""URL patterns of the record plane: Ninja's views, which also answer HEAD, check the credentials that they declare, and
refuse with problem documents."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from ninja.operation import Operation

from windlass.accounts.api import PUBLIC, Access
from windlass.database.outage import is_outage
from windlass.http import query_parameters
from windlass.http.byte_endpoints import BYTE_ENDPOINTS
from windlass.http.callers import admit_call
from windlass.http.rest import keyed_calls, problems
from windlass.http.rest.call_rates import declared_rate
from windlass.http.rest.credentials import Credential
from windlass.http.rest.openapi import api
from windlass.kernel.problem_types import MethodNotAllowed, NoBytePlane, NotFound, Problem
from windlass.kernel.stored_text import is_storable
from windlass.resilience.rate_limits.policies import RateClass

#: Windlass's paths, which a catch-all of another project must not answer.
_OWN_PATHS = (
    r"^(?:files|uploads|events|profiles|s3|error-handling|livez|readyz|healthz"
    r"|api/v1/upload|api/v1/media|api/v1/webhooks|api/v1/audit|api/v1/auth)(?:/.*)?$"
)


ErrorHandler = Callable[[HttpRequest, Exception], HttpResponse]


def patterns() -> list[URLPattern | URLResolver]:
    """For ``path("", include(...))`` in any project. Raises LookupError for an operation without ``auth``."""
    ninja_patterns, app_name, namespace = api.urls
    operations: defaultdict[str, dict[str, Operation]] = defaultdict(dict)
    for template, operation in _bound_operations():
        operations[template] |= dict.fromkeys(operation.methods, operation)
    ninja = [
        path(str(each.pattern), _view(each.callback, operations[str(each.pattern)]), name=each.name)
        for each in ninja_patterns
        if isinstance(each, URLPattern) and each.callback is not None
    ]
    return [path("", include((ninja, app_name), namespace=namespace)), re_path(_OWN_PATHS, refuse)]


def access_of(view: Callable[..., Any], method: str) -> Access | None:
    """The credentials that the view declares for this method; None for a view of another project."""
    declared: Mapping[str, Access] = getattr(view, "windlass_accesses", {})
    return declared.get("GET" if method == "HEAD" else method)


def rate_of(view: Callable[..., Any], method: str) -> RateClass:
    """The rate limit that the view declares for this method."""
    declared: Mapping[str, RateClass] = getattr(view, "windlass_rates", {})
    return declared.get("GET" if method == "HEAD" else method, RateClass.GENERAL)


@csrf_exempt
def refuse(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404, or 405 where the path has other methods on either plane."""
    return problems.response(_refusal(request), request)


def _error_handler(of_page: ErrorHandler, of_call: ErrorHandler) -> ErrorHandler:
    def handle(request: HttpRequest, exception: Exception) -> HttpResponse:
        return (of_page if _is_page(request) else of_call)(request, exception)

    return handle


# ``handler400``, ``handler403`` and ``handler404`` of the standalone server
bad_request = _error_handler(defaults.bad_request, problems.error_response)
permission_denied = _error_handler(defaults.permission_denied, problems.error_response)
not_found = _error_handler(defaults.page_not_found, refuse)


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``. Django logs the error, unless it is an outage of the database, which is logged once."""
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and is_outage(error):
        outage = problems.error_response(request, error)
        outage._has_been_logged = True  # type: ignore[attr-defined]  # Django reads this attribute
        return outage
    if _is_page(request):
        return defaults.server_error(request)
    return problems.response(
        Problem("The request failed because of an error in the server; it has been logged."), request
    )


def allowed_methods(route_path: str) -> frozenset[str]:
    """The methods of a path on both planes, for ``Allow``; none where there is no such path."""
    known = _methods()
    methods = {method for template in _matching(known, route_path.rstrip("/")) for method in known[template]}
    return frozenset(methods | {"OPTIONS"}) if methods else frozenset()


#: Parameters that accept any text. All others are ids or numbers, which no fixed segment of a path is.
_ANY_TEXT = frozenset({"{name}", "{slug}", "{post_id}"})


def _matching(templates: Iterable[str], path: str) -> set[str]:
    """The templates that describe ``path``.

    ``/files/{file_id}`` does not describe ``/files/zip``, because another template has that segment; ``/files/{name}``
    does.
    """
    fitting = {template for template in templates if _matches(template, path)}
    return {each for each in fitting if not any(_is_more_specific(other, each) for other in fitting)}


def _matches(template: str, path: str) -> bool:
    parts, segments = template.split("/"), path.split("/")
    return len(parts) == len(segments) and all(
        bool(text) if part.startswith("{") else part == text for part, text in zip(parts, segments, strict=True)
    )


def _is_more_specific(other: str, template: str) -> bool:
    """Whether ``other`` has a fixed segment where ``template`` has an id."""
    pairs = zip(other.split("/"), template.split("/"), strict=True)
    return any(
        not mine.startswith("{") and theirs.startswith("{") and theirs not in _ANY_TEXT for mine, theirs in pairs
    )


def _is_page(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def _refusal(request: HttpRequest) -> Problem:
    allowed = allowed_methods(request.path_info)
    if request.method in allowed and not problems.request_id(request):
        return NoBytePlane(
            "File bytes and live events do not go through Django. Wrap the project's application in its asgi.py by "
            "windlass.asgi.wrap, and serve it as ASGI (`windlass web`, or uvicorn); `manage.py runserver` and WSGI "
            "servers cannot. `manage.py check` says what is missing."
        )
    if not allowed or request.method in allowed:
        return NotFound(f"There is nothing at {request.path}.")
    listed = ", ".join(sorted(allowed))
    detail = f"{request.method} is not allowed on {request.path} (allowed: {listed})."
    return MethodNotAllowed(detail, headers={"Allow": listed})


@lru_cache(maxsize=1)
def _methods() -> dict[str, set[str]]:
    """Path template -> methods on both planes. The record plane answers HEAD wherever it answers GET."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for declared in BYTE_ENDPOINTS:
        methods[declared.path] |= declared.methods
    for pattern, operation in _bound_operations():
        template = "/" + pattern.replace("<", "{").replace(">", "}")
        methods[template] |= {*operation.methods, *(["HEAD"] if "GET" in operation.methods else [])}
    return methods | {str(page): {"GET", "HEAD"} for page in (api.docs_url, api.openapi_url)}


def _bound_operations() -> Iterator[tuple[str, Operation]]:
    for bound in api._get_bound_routers():
        operations = [operation for view in bound.path_operations.values() for operation in view.operations]
        for pattern, operation in zip(bound.urls_paths(bound.prefix), operations, strict=True):
            yield str(pattern.pattern), operation


def _declared(operation: Operation) -> Access:
    """What ``auth`` requires; None means that anybody may call it."""
    match operation.auth_param:
        case Credential() as credential:
            return credential.access
        case None:
            return PUBLIC
    raise LookupError(f"{operation.view_func.__qualname__} does not declare which credentials it takes")


def _query_names(operation: Operation) -> frozenset[str]:
    models = [model for model in operation.models if model.__ninja_param_source__ == "query"]
    return frozenset(name for model in models for name in getattr(model, "__ninja_flatten_map__", {}))


def _view(view: Callable[..., Any], operations: Mapping[str, Operation]) -> Callable[..., Any]:
    """The view of one path. HEAD is answered as GET.

    The credential is proved first, then the names in the query are checked. Another method is refused with a problem.
    """
    run = view if iscoroutinefunction(view) else sync_to_async(view)
    accesses = {method: _declared(operation) for method, operation in operations.items()}
    names = {method: _query_names(operation) for method, operation in operations.items()}

    async def answered(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        method = request.method or ""
        effective = "GET" if method == "HEAD" else method
        if effective not in (accesses or {"GET"}):
            return refuse(request)
        try:
            if not is_storable(request.path):
                raise NotFound("There is nothing at an address that contains a NUL character.")
            if effective in accesses:
                await admit_call(request, accesses[effective], named)
                endpoint = f"{effective} {request.path}"
                query_parameters.check_names(request.META.get("QUERY_STRING", ""), names[effective], endpoint)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return problems.error_response(request, error)
        request.method = effective
        operation = operations.get(effective)
        if operation is not None and keyed_calls.is_declared(operation):
            response = await _answered_once(request, partial(run, request, *arguments, **named))
        else:
            response = await run(request, *arguments, **named)
        request.method = method
        return response

    async def _answered_once(request: HttpRequest, call: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
        try:
            return await keyed_calls.answer_once(request, call)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return problems.error_response(request, error)

    # A project's ATOMIC_REQUESTS must not apply here: Django refuses it for asynchronous views, and Windlass commits
    # before it replies.
    answered._non_atomic_requests = set(connections)  # type: ignore[attr-defined]
    answered.csrf_exempt = True  # type: ignore[attr-defined]  # accounts.authenticate checks the token of a session
    answered.windlass_accesses = accesses  # type: ignore[attr-defined]
    rates = {method: declared_rate(operation) for method, operation in operations.items()}
    answered.windlass_rates = rates  # type: ignore[attr-defined]
    return answered
