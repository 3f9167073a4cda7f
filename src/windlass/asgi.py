"""The front door: routes that carry file bytes first, Django for the rest.

Django's own handler writes a whole request body to disk before a view sees it, so bytes never enter through it.

In another project, one line of its ``asgi.py``: ``application = windlass.asgi.wrap(get_asgi_application())``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import django
from django.core.handlers.asgi import ASGIHandler
from django.urls import Resolver404, resolve
from starlette.requests import Request
from starlette.routing import Match, Route

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "windlass.settings")
django.setup(set_prefix=False)

from windlass.accounts.api import declared_access  # noqa: E402  Django's apps must be loaded first
from windlass.http import cors, query_parameters, uploads  # noqa: E402
from windlass.http.downloads import files as downloads  # noqa: E402
from windlass.http.downloads import zip_archives as zip_files  # noqa: E402
from windlass.http.endpoints import admit, endpoint, problem_of, problem_response  # noqa: E402
from windlass.http.forwarded import as_client_sees, base_of, path_of  # noqa: E402
from windlass.http.live import event_streams as live  # noqa: E402
from windlass.http.live import websockets  # noqa: E402
from windlass.http.middleware import (  # noqa: E402
    PAGE_BODY_LIMIT,
    RECORD_BODY_LIMIT,
    App,
    Message,
    Receive,
    Scope,
    Send,
    call_bounded,
    check_host,
    identify,
    secured,
    without_body,
)
from windlass.http.server.drain_request_body import LINGERS, UnreadBody  # noqa: E402
from windlass.kernel import urls  # noqa: E402
from windlass.kernel.errors import NotFound  # noqa: E402
from windlass.kernel.memory_allocator import keep_freed_buffers  # noqa: E402
from windlass.kernel.stored_text import is_storable  # noqa: E402
from windlass.operations import health, metrics  # noqa: E402
from windlass.processing import breakers  # noqa: E402
from windlass.receiving import chunked, lease  # noqa: E402

breakers.watch()


def _guarded(route: Route) -> Route:
    """The same route, for callers whom the declaration of its handler lets in."""
    return Route(
        route.path, endpoint(route.endpoint, declared_access(route.endpoint)), methods=list(route.methods or ())
    )


METRICS_ROUTES = [_guarded(route) for route in metrics.routes]
BYTE_ROUTES: list[Route] = [
    *uploads.routes,
    *zip_files.routes,
    *downloads.routes,
    *live.routes,
    *map(_guarded, health.routes),
    *METRICS_ROUTES,
]
for _route in BYTE_ROUTES:
    declared_access(_route.endpoint)  # one without a declaration is not served: the start fails

#: First segments of the paths that may be Windlass's. Every other path is the wrapped project's, untouched.
OURS = frozenset(
    {"files", "uploads", "events", "profiles", "api", "livez", "readyz", "healthz", "metrics", "problems", "s3"}
)


class FrontDoor:
    """An ASGI application around another one. ``alone``: all of it is Windlass's, its other pages too."""

    def __init__(self, inner: App, *, alone: bool = False) -> None:
        self._inner = inner
        self._alone = alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        seen = as_client_sees(scope)
        with urls.use_base(base_of(seen)):
            await self._dispatch(scope, seen, receive, send)

    async def _dispatch(self, scope: Scope, seen: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _may_be_ours(seen):
            ours = _without_slash(seen)
            route = _byte_route(ours)
            if (route is None or route in METRICS_ROUTES) and _is_anothers(path_of(seen)):
                await self._inner(scope, receive, send)
            else:
                receive, send = _letting_clients_finish(ours, receive, send)
                await self._answer(route, ours, receive, identify(ours, cors.permitting(ours, send)))
        elif scope["type"] == "http" and self._alone:
            receive, send = _letting_clients_finish(scope, receive, send)
            await self._answer_page(scope, receive, identify(scope, send))
        elif scope["type"] == "websocket" and isinstance(self._inner, ASGIHandler):
            await websockets.refuse(seen, receive, send)  # Django knows none
        else:
            await self._inner(scope, receive, send)

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive, send: Send) -> None:
        send = _completing(scope, send)
        try:
            check_host(scope)
            if not is_storable(scope["path"]) and scope["method"] != "PUT":  # a name in the path is cleaned
                raise NotFound("There is nothing at an address that contains a NUL character.")
            if route is not None:
                await route.handle(scope, receive, send)
            elif scope["method"] == "OPTIONS" and (cors.is_preflight(scope) or _allowed(scope)):
                await cors.answer_options(send)
            else:
                await _admit_to_record_plane(scope)
                await self._call_django(scope, receive, send)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            await problem_response(problem_of(error), Request(scope))(scope, receive, send)

    async def _answer_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page of Django's, whose forms and filters do not check every text of a query."""
        try:
            check_host(scope)
            query_parameters.check_text(scope["query_string"].decode("latin-1"))
            await self._call_django(scope, receive, send, PAGE_BODY_LIMIT)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            await problem_response(problem_of(error), Request(scope))(scope, receive, send)

    async def _call_django(self, scope: Scope, receive: Receive, send: Send, limit: int = RECORD_BODY_LIMIT) -> None:
        if _takes_body(path_of(scope)):
            await call_bounded(self._inner, scope, receive, send, limit)
        else:
            await self._inner(scope, without_body(), send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The inner application's lifespan, where it has one; Django has none and says so by raising at once."""
        begun = False

        async def receive_for_inner() -> Message:
            nonlocal begun
            begun = True
            message = await receive()
            if message["type"] == "lifespan.startup":
                keep_freed_buffers()
            else:
                await stop()
            return message

        try:
            await self._inner(scope, receive_for_inner, send)
        except Exception:
            if begun:
                raise
            await _own_lifespan(receive, send)


def wrap(inner: Any) -> App:
    """Put the byte routes in front of another ASGI application, such as a project's ``get_asgi_application()``."""
    return FrontDoor(inner)


async def _own_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            keep_freed_buffers()
            await send({"type": "lifespan.startup.complete"})
        else:
            await stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def stop() -> None:
    """End what would never end by itself, before the connections are waited for: uploads in flight flush, commit and
    give their leases back; live streams close. Repeatable."""
    lease.keeper.stop_all()
    chunked.stop_all()
    await live.shut_down()


def _letting_clients_finish(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """A client that is answered before its body has ended shall see why, which not every server cares for."""
    if LINGERS in (scope.get("extensions") or {}):
        return receive, send
    body = UnreadBody(scope, receive, send)
    return body.receive, body.send


def _takes_body(path: str) -> bool:
    """Whether there is anything at this path of Django's. Of a body to nowhere nothing is taken in."""
    from windlass.http.rest.routing import refuse

    return any(view is not None and view is not refuse for view in (_view(path.rstrip("/")), _view(path)))


def _may_be_ours(scope: Scope) -> bool:
    return path_of(scope).lstrip("/").partition("/")[0] in OURS


def _is_anothers(path: str) -> bool:
    """Whether the wrapped project has a page of its own below a name that is ours too, such as ``/api/``."""
    from windlass.http.rest.routing import refuse  # with the first request that needs it: Ninja takes long to import

    ours = _view(path.rstrip("/"))
    if ours is not None and ours is not refuse and ours.__module__.startswith("windlass."):
        return False
    view = _view(path)
    return view is not None and not view.__module__.startswith("windlass.")


async def _admit_to_record_plane(scope: Scope) -> None:
    """Prove the credential before Django takes in the body, which it does before a view sees the request."""
    from windlass.http.rest.routing import access_of

    view = _view(path_of(scope))
    access = access_of(view, scope["method"]) if view is not None else None
    if access is not None:
        await admit(scope, access)


def _allowed(scope: Scope) -> frozenset[str]:
    from windlass.http.rest.routing import allowed_methods

    return allowed_methods(path_of(scope))


def _completing(scope: Scope, send: Send) -> Send:
    """Adds what every reply says: not to be stored where it says nothing of caches, because it is of one caller and one
    moment; and to OPTIONS, or where the method is refused, ``Allow`` with what the path takes on both planes."""

    async def send_completed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            if message["status"] == 405 or scope["method"] == "OPTIONS":
                allowed = ", ".join(sorted(_allowed(scope))).encode()
                others = [(name, value) for name, value in headers if name.lower() != b"allow"]
                headers = [*others, (b"allow", allowed)] if allowed else headers
            if all(name.lower() != b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"private, no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return send_completed


def _view(path: str) -> Callable[..., Any] | None:
    try:
        return resolve(path or "/").func
    except Resolver404:
        return None


def _without_slash(scope: Scope) -> Scope:
    """Trailing slashes are optional everywhere, and X-HTTP-Method-Override is the method for who may not send it."""
    method = uploads.effective_method(scope)
    path = (uploads.path_of_put(scope) if method == "PUT" else scope["path"]).rstrip("/") or "/"
    return {**scope, "path": path, "raw_path": None, "method": method}


def _byte_route(scope: Scope) -> Route | None:
    for route in BYTE_ROUTES:
        match, child = route.matches(scope)
        if match is Match.FULL:
            scope.update(child)
            scope["windlass.route"] = route.path
            return route
    return None


_standalone = FrontDoor(cast(App, ASGIHandler()), alone=True)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The server that stands alone. Here the pages behind the front door are seen through the proxy too."""
    if scope["type"] == "lifespan":
        await _standalone(scope, receive, send)
        return
    seen = as_client_sees(scope)
    await _standalone(seen, receive, secured(seen, send))
