"""The ASGI application: byte routes first, Django for the rest.

Django's own handler writes a whole request body to disk before a view sees it, so file bytes never pass through it.

In another project, one line of its ``asgi.py``: ``application = windlass.asgi.wrap(get_asgi_application())``.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import django
from django.core.handlers.asgi import ASGIHandler
from starlette.requests import Request
from starlette.routing import Match, Route

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "windlass.settings")
django.setup(set_prefix=False)

# ruff: noqa: E402  Django's apps must be loaded before the modules below
from windlass import conf
from windlass.http import (
    byte_endpoints,
    cors,
    direct_reads,
    django_routes,
    query_parameters,
    rate_limits,
    request_head,
    request_record,
)
from windlass.http.counted_admission import admit_counted
from windlass.http.endpoints import answering
from windlass.http.forwarded import as_client_sees, base_of, path_of
from windlass.http.live import event_streams, websockets
from windlass.http.middleware import (
    PAGE_BODY_LIMIT,
    RECORD_BODY_LIMIT,
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    call_bounded,
    check_host,
    guard_document,
    identify,
    secured,
    with_headers,
    without,
    without_body,
)
from windlass.http.problem_responses import problem_of, problem_response
from windlass.http.request_log import measured
from windlass.http.server.asgi_extensions import DRAINS_BODY, BodyDrain
from windlass.kernel import urls
from windlass.kernel.document_policies import page_policy
from windlass.kernel.memory_allocator import keep_freed_buffers
from windlass.kernel.problem_types import NotFound
from windlass.kernel.stored_text import is_storable
from windlass.operations import health, level_evaluator, metrics
from windlass.operations.shared_counters import share_counters
from windlass.receiving import chunked, lease
from windlass.resilience.rate_limits.policies import RateClass
from windlass.web.static_files import StaticReplies

#: The handlers of the endpoints that ``windlass.http`` declares and ``windlass.operations`` answers.
_SERVICE_HANDLERS = {
    byte_endpoints.LIVEZ: health.livez,
    byte_endpoints.READYZ: health.readyz,
    byte_endpoints.HEALTHZ: health.readyz,
    byte_endpoints.HEALTH: health.health,
    byte_endpoints.METRICS_PAGE: metrics.metrics,
}
BYTE_ROUTES: list[Route] = [
    *byte_endpoints.ROUTES,
    *(declared.route(answering(handler, declared)) for declared, handler in _SERVICE_HANDLERS.items()),
]


def _first_segment(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


def _grouped(routes: Iterable[Route]) -> dict[tuple[str, str], list[Route]]:
    """The routes by method and first segment, in their order: a request is compared with few of them."""
    groups: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        for method in route.methods or ():
            groups.setdefault((method, _first_segment(route.path)), []).append(route)
    return groups


_ROUTES = _grouped(BYTE_ROUTES)

#: First segments of the paths that may be Windlass's. Every other path is passed to the wrapped project unchanged.
OWN_SEGMENTS = frozenset(
    {
        *("files", "uploads", "s3", "events", "profiles", "search", "graph", "api", "problems"),
        *("livez", "readyz", "healthz", "metrics", "error-handling"),
    }
)


#: The pages of Django's that take a password.
_SIGN_IN_PAGES = frozenset({"/admin/login/", "/first-run/"})

_DJANGO_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


class WindlassApplication:
    """An ASGI application around another one. ``alone``: the other application's pages are Windlass's too."""

    def __init__(self, inner: App, *, alone: bool = False) -> None:
        self._inner = inner
        self._alone = alone
        self._static = StaticReplies() if alone else None
        self._evaluating: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] == "http":
            request_record.begin(scope)
        seen = as_client_sees(scope)
        if self._alone:  # Django's pages get the scope as the client sees it through a proxy, too
            scope, send = seen, secured(seen, send)
        with urls.use_base(base_of(seen)):
            await self._dispatch(scope, seen, receive, send)

    async def _dispatch(self, scope: Scope, seen: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _may_be_windlass(seen):
            django_routes.begin(seen)
            routed = _for_routing(seen)
            route = _byte_route(routed)
            # A project may have a /metrics of its own.
            shared = route is None or route.path == byte_endpoints.METRICS_PAGE.path
            if shared and _is_of_project(seen):
                await self._inner(scope, receive, send)
            else:
                with measured(routed, receive, send, partial(_template, route, routed)) as (receive, send):
                    receive, send = _draining_body(routed, receive, send)
                    answered = identify(routed, cors.permitting(routed, guard_document(send)))
                    await self._answer(route, routed, receive, answered)
        elif scope["type"] == "http" and self._alone:
            with measured(scope, receive, send, partial(_template, None, scope)) as (receive, send):
                receive, send = _draining_body(scope, receive, send)
                await self._answer_page(scope, receive, identify(scope, guard_document(send, page_policy())))
        elif scope["type"] == "websocket" and (websockets.is_endpoint(seen) or isinstance(self._inner, ASGIHandler)):
            await websockets.serve(seen, receive, send)  # Django has none of its own
        else:
            await self._inner(scope, receive, send)

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive, send: Send) -> None:
        send = _with_common_headers(scope, send)
        try:
            check_host(scope)
            if not is_storable(scope["path"]) and scope["method"] != "PUT":  # PUT cleans the name in its path
                raise NotFound("There is nothing at an address that contains a NUL character.")
            if route is not None:
                await route.handle(scope, receive, send)
            elif scope["method"] == "OPTIONS" and (cors.is_preflight(scope) or _allowed(scope)):
                await cors.answer_options(send)
            else:
                await _admit_to_record_plane(scope)
                match = django_routes.match(scope, path_of(scope)) if self._alone else None
                if match is not None and direct_reads.is_direct(scope, match):
                    await direct_reads.answer(scope, match, send)
                else:
                    await self._call_django(scope, receive, send)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            await problem_response(problem_of(error), Request(scope))(scope, receive, send)

    async def _answer_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a page of Django's, whose forms and filters do not check every text of a query."""
        try:
            check_host(scope)
            query_parameters.check_text(scope["query_string"].decode("latin-1"))
            if scope["method"] == "POST" and path_of(scope) in _SIGN_IN_PAGES:
                await rate_limits.check(scope, RateClass.SIGN_IN, None)
            if self._static is not None and self._static.has(path_of(scope)):
                await self._static.answer(path_of(scope), scope, send)
            else:
                await self._call_django(scope, receive, _with_limits(scope, send), PAGE_BODY_LIMIT)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            await problem_response(problem_of(error), Request(scope))(scope, receive, send)

    async def _call_django(self, scope: Scope, receive: Receive, send: Send, limit: int = RECORD_BODY_LIMIT) -> None:
        if _has_view(scope):
            await call_bounded(self._inner, scope, receive, send, limit)
        else:
            await self._inner(scope, without_body(), send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the inner application's lifespan. Django has none and raises at once; then ours is run."""
        has_received = False

        async def receive_and_follow() -> Message:
            nonlocal has_received
            has_received = True
            message = await receive()
            if message["type"] == "lifespan.startup":
                keep_freed_buffers()
                share_counters("web")
                self._start_evaluating()
            else:
                await self._stop_evaluating()
                await stop()
            return message

        try:
            await self._inner(scope, receive_and_follow, send)
        except Exception:
            if has_received:
                raise
            while (await receive_and_follow())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

    def _start_evaluating(self) -> None:
        """Evaluate the service level while no scheduler does; where jobs run eagerly (in tests), not at all."""
        if not conf.get().celery_task_always_eager:
            evaluator = level_evaluator.LevelEvaluator(spare=level_evaluator.SPARE_SECONDS)
            self._evaluating = asyncio.create_task(evaluator.run())

    async def _stop_evaluating(self) -> None:
        if self._evaluating is not None:
            self._evaluating.cancel()
            with suppress(asyncio.CancelledError):
                await self._evaluating


def wrap(inner: Any) -> App:
    """Put the byte routes in front of another ASGI application, such as a project's ``get_asgi_application()``."""
    return WindlassApplication(inner)


async def stop() -> None:
    """End uploads and live streams, which may last for ever, before the connections are waited for.

    Running uploads flush, commit their offset and release their leases. Idempotent.
    """
    lease.keeper.stop_all()
    chunked.stop_all()
    await event_streams.shut_down()


def _draining_body(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Let a client see a reply that is sent before its body has ended, where the server does not do so itself."""
    if DRAINS_BODY in (scope.get("extensions") or {}):
        return receive, send
    body = BodyDrain(scope, receive, send)
    return body.receive, body.send


def _record_plane() -> Any:
    """The routing of the record plane, imported by the first request that needs it: its operations take long to
    build."""
    from windlass.http.rest import routing

    return routing


def _has_view(scope: Scope) -> bool:
    """Whether Django has a view for this path. For a path without one, no body is received."""
    refuse, path = _record_plane().refuse, path_of(scope)
    views = (django_routes.view(scope, each) for each in (path.rstrip("/"), path))
    return any(view is not None and view is not refuse for view in views)


def _may_be_windlass(scope: Scope) -> bool:
    return _first_segment(path_of(scope)) in OWN_SEGMENTS


def _is_of_project(scope: Scope) -> bool:
    """Whether the wrapped project has a page below a segment that Windlass uses too, such as ``/api/``."""
    path = path_of(scope)
    own = django_routes.view(scope, path.rstrip("/"))
    if own is not None and own is not _record_plane().refuse and own.__module__.startswith("windlass."):
        return False
    view = django_routes.view(scope, path)
    return view is not None and not view.__module__.startswith("windlass.")


async def _admit_to_record_plane(scope: Scope) -> None:
    """Prove the credential and count the call before Django receives the body, which it does before a view sees the
    request."""
    view = django_routes.view(scope, path_of(scope))
    access = _record_plane().access_of(view, scope["method"]) if view is not None else None
    if access is not None:
        await admit_counted(scope, access, _record_plane().rate_of(view, scope["method"]))


def _allowed(scope: Scope) -> frozenset[str]:
    methods: frozenset[str] = _record_plane().allowed_methods(path_of(scope))
    return methods


def _with_common_headers(scope: Scope, send: Send) -> Send:
    """Add ``Cache-Control: private, no-store`` to replies without a Cache-Control, ``Allow``, with the methods of the
    path on both planes, to 405 and to replies to OPTIONS, and the limits of a call that was counted."""

    def complete(message: Message, headers: Headers) -> Headers:
        if message["status"] == 405 or scope["method"] == "OPTIONS":
            allowed = ", ".join(sorted(_allowed(scope))).encode()
            headers = [*without(headers, b"allow"), (b"allow", allowed)] if allowed else headers
        if all(name.lower() != b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"private, no-store"))
        return rate_limits.with_fields(scope, headers)

    return with_headers(send, complete)


def _with_limits(scope: Scope, send: Send) -> Send:
    """Add to the reply the limits of a call that was counted."""
    return with_headers(send, lambda _, headers: rate_limits.with_fields(scope, headers))


def _template(route: Route | None, scope: Scope) -> str:
    """The path of a byte route or of Django's view, with its parameters in braces and without a slash at its end; empty
    where there is neither."""
    if route is not None:
        return route.path
    match = django_routes.match(scope, path_of(scope))
    pattern = "^" if match is None else match.route
    is_regular_expression = "^" in pattern or "(?" in pattern
    return "" if is_regular_expression else "/" + _DJANGO_PARAMETER.sub(r"{\1}", pattern).rstrip("/")


def _for_routing(scope: Scope) -> Scope:
    """The scope without trailing slashes in its path, and with X-HTTP-Method-Override as its method."""
    method = request_head.effective_method(scope)
    path = (request_head.path_of_put(scope) if method == "PUT" else scope["path"]).rstrip("/") or "/"
    return {**scope, "path": path, "raw_path": None, "method": method}


def _byte_route(scope: Scope) -> Route | None:
    for route in _ROUTES.get((scope["method"], _first_segment(path_of(scope))), ()):
        match, child = route.matches(scope)
        if match is Match.FULL:
            scope.update(child)
            return route
    return None


#: The standalone server.
application = WindlassApplication(cast(App, ASGIHandler()), alone=True)
