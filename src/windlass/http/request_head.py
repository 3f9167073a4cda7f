"""The head of a request, as the protocol modules read it, and the method and path by which it is routed."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request

from windlass.http.middleware import Scope
from windlass.protocols import request_heads
from windlass.protocols.intents import Head


def of_request(request: Request) -> Head:
    return _head(request.scope, dict(request.query_params) if request.scope["query_string"] else {})


def effective_method(scope: Scope) -> str:
    """The method to route by: ``X-HTTP-Method-Override`` overrides the request line."""
    overriding = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-http-method-override"]
    return request_heads.overridden_method(", ".join(overriding), scope["method"])


def path_of_put(scope: Scope) -> str:
    """The path, with an encoded slash as part of its segment (RFC 3986, 2.2): the name ``a%2Fb.txt`` is one segment.

    The slash becomes a backslash, which file names are cleaned of as well.
    """
    path, raw = str(scope["path"]), (scope.get("raw_path") or b"").decode("latin-1")
    if "%2f" not in raw.lower() or not path.endswith(unquote(raw)):
        return path
    segments = [unquote(segment).replace("/", "\\") for segment in raw.split("/")]
    return path[: len(path) - len(unquote(raw))] + "/".join(segments)


def _head(scope: Scope, query: dict[str, str]) -> Head:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Head(method=scope["method"], path=scope["path"], headers=headers, query=query)
