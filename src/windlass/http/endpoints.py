"""Declare the endpoints of the byte plane.

A ``ByteEndpoint`` is the only definition of a call that carries bytes or live events: its Starlette route, the check of
its credential and of its query, the OpenAPI operation and docs/reference/http.md are all made of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.http import query_parameters
from windlass.http.counted_admission import admit_counted
from windlass.http.problem_responses import problem_of, problem_response
from windlass.kernel.principals import CredentialKind
from windlass.resilience.rate_limits.policies import RateClass

RequestHandler = Callable[[Request], Awaitable[Response]]
F = TypeVar("F", bound=Callable[..., Any])

#: What a body looks like: a Pydantic model or another type that Pydantic describes, a JSON schema, or either of them
#: by media type (``Content``). A type alone is JSON.
Shape = Any


@dataclass(frozen=True, slots=True)
class Content:
    """A body that may have several media types, or one that is not JSON."""

    by_media_type: Mapping[str, Shape]


BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
ANY_BYTES = Content({"*/*": BINARY})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header field. ``kind`` is a type of JSON schema."""

    place: str
    name: str
    description: str
    kind: str = "string"
    required: bool = False


def query(name: str, description: str, kind: str = "string") -> Parameter:
    return Parameter("query", name, description, kind)


def header(name: str, description: str, kind: str = "string", *, required: bool = False) -> Parameter:
    return Parameter("header", name, description, kind, required)


@dataclass(frozen=True, eq=False)
class ByteEndpoint:
    """One method of one path.

    ``replies``: status -> what it means, and the shape of its body (None: no body). Any other reply is a problem
    document, or has the shape ``refusal``. ``name`` is the OpenAPI operation id.
    """

    method: str
    path: str
    access: Access
    name: str
    summary: str
    replies: Mapping[int, tuple[str, Shape]]
    tag: str = ""
    parameters: Sequence[Parameter] = ()
    body: Shape = None
    description: str = ""
    refusal: Shape = None
    #: Whether a GET also answers HEAD. With ``head_name`` HEAD is an operation of its own in the OpenAPI document.
    answers_head: bool = True
    head_name: str = ""
    #: Whether a repeated request with the same ``Idempotency-Key`` gets the first one's answer.
    takes_idempotency_key: bool = False
    rate: RateClass = RateClass.GENERAL
    #: Whether clients of this protocol add query parameters of their own, which are then not checked.
    has_own_query: bool = False

    @cached_property
    def query_names(self) -> frozenset[str]:
        """Names that the query may have."""
        names = {each.name for each in self.parameters if each.place == "query"}
        if self.access.grant_use:
            names.add(accounts.GRANT_PARAMETER)
        if CredentialKind.TICKET in self.access.credentials:
            names.add(accounts.TICKET_PARAMETER)
        return frozenset(names)

    @property
    def methods(self) -> frozenset[str]:
        return frozenset({"GET", "HEAD"} if self.method == "GET" and self.answers_head else {self.method})

    def route(self, handler: RequestHandler) -> Route:
        route = Route(self.path, handler)
        route.methods = set(self.methods)  # Starlette would add HEAD to every GET
        route.app = _answered_by(handler)
        return route


class ByteEndpoints:
    """The endpoints of one module, in the order in which their paths are tried.

    ``access`` is what an endpoint without an ``access`` of its own requires.
    """

    def __init__(self, tag: str, access: Access) -> None:
        self._tag = tag
        self._access = access
        self.declared: list[ByteEndpoint] = []
        self.routes: list[Route] = []

    def endpoint(self, call: str, **declaration: Any) -> Callable[[F], F]:
        """Declare the decorated ``RequestHandler`` as an endpoint. ``call``: method and path, such as
        ``GET /files/{file_id}``; ``declaration``: the other fields of ``ByteEndpoint``."""
        return self.declare(call, answering, **declaration)

    def declare(
        self, call: str, wrap: Callable[[Any, ByteEndpoint], RequestHandler], **declaration: Any
    ) -> Callable[[F], F]:
        """``wrap`` makes the ``RequestHandler`` of the decorated function."""
        method, path = call.split(" ")
        fields: dict[str, Any] = {"tag": self._tag, "access": self._access} | declaration

        def register(handler: F) -> F:
            declared = ByteEndpoint(method, path, **fields)
            self.declared.append(declared)
            self.routes.append(declared.route(wrap(handler, declared)))
            return handler

        return register


def _answered_by(handler: RequestHandler) -> ASGIApp:
    """The ASGI application of a handler. Starlette's own has two more layers, for exception handlers of its
    applications, which are not used here."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)

    return answer


def answering(handler: RequestHandler, declared: ByteEndpoint) -> RequestHandler:
    """``handler`` for the callers that the declaration admits.

    The credential is proved first, then the names in the query are checked. Problems become
    ``application/problem+json``; any other error is logged, and the reply tells nothing about it.
    """

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            principal = await admit_counted(request.scope, declared.access, declared.rate)
            signed = principal.credential is CredentialKind.SIGNED_URL
            query_parameters.check(request.scope, None if signed else declared.query_names)
            return await handler(request)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return problem_response(problem_of(error), request)

    return answer
