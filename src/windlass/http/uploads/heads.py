"""A request's head as the pure dialects read it."""

from __future__ import annotations

from starlette.requests import Request

from windlass.http.middleware import Scope
from windlass.protocols import heads
from windlass.protocols.intents import Head


def of_request(request: Request) -> Head:
    return _head(request.scope, dict(request.query_params))


def effective_method(scope: Scope) -> str:
    """The method to route by: ``X-HTTP-Method-Override`` stands above the request line."""
    return heads.effective_method(_head(scope, {}))


def _head(scope: Scope, query: dict[str, str]) -> Head:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return Head(method=scope["method"], path=scope["path"], headers=found, query=query)
