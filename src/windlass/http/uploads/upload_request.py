"""What every endpoint that receives a body shares: the body, the caller, and refusals while bytes still come."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from urllib.parse import urlencode

from django.conf import settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.http import query_parameters
from windlass.http import request_head as heads
from windlass.http.endpoints import PRINCIPAL, admit, principal_of, problem_of, problem_response
from windlass.http.uploads.upload_responses import no_reply
from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Caller, Principal
from windlass.protocols import media_types, rufh, tus
from windlass.protocols.dialects import Dialect, resumable_dialect
from windlass.protocols.heads import effective_method
from windlass.protocols.intents import Head
from windlass.receiving import lease as leases
from windlass.receiving.body import ClientGone, RequestBody


@dataclass(frozen=True)
class Incoming:
    """One request that may carry bytes."""

    request: Request
    head: Head
    body: RequestBody
    access: Access

    @property
    def waits_for_invitation(self) -> bool:
        """Its body comes only once it is asked for, by the first receive (RFC 9110, 10.1.1)."""
        return self.head.headers.get("expect", "").lower() == "100-continue"

    @property
    def request_id(self) -> str:
        return str(self.request.scope.get("windlass.request_id", ""))

    def location(self, upload_id: uuid.UUID) -> str:
        """Where an upload goes on, as this client reaches it. That of a grant carries the right to go on."""
        grant = self.head.query.get(accounts.GRANT_PARAMETER)
        right = f"?{urlencode({accounts.GRANT_PARAMETER: grant})}" if grant else ""
        return urls.location(f"/uploads/{upload_id}{right}")

    @property
    def principal(self) -> Principal:
        """Raises Forbidden for a form whose CSRF token has not come yet."""
        if _UNPROVED in self.request.scope:
            raise self.request.scope[_UNPROVED]
        return principal_of(self.request)

    async def principal_of_form(self, fields: Mapping[str, str]) -> Principal:
        """``principal``, where the fields that have come of a form may prove it. Raises Forbidden."""
        token = fields.get(CSRF_FIELD)
        if token is not None and _UNPROVED in self.request.scope:
            proved = {**self.request.scope, "headers": _with_csrf_token(self.request.scope["headers"], token)}
            self.request.scope[PRINCIPAL] = await admit(proved, self.access)
            del self.request.scope[_UNPROVED]
        return self.principal

    def caller(self) -> Caller:
        principal = self.principal
        return lambda: principal


CSRF_FIELD = "csrfmiddlewaretoken"
#: The key of an ASGI scope for why the caller is not known yet.
_UNPROVED = "windlass.unproved"

Handler = Callable[[Incoming], Awaitable[Response]]
Refuse = Callable[[Problem, Incoming], Response]


def receiving(
    handler: Handler, access: Access, *, refuse: Refuse | None = None, own_query: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that begins to receive at once, and reads nothing of the body before the credential is proved.

    ``refuse`` renders a problem; without it, in the caller's dialect. ``own_query``: the query is the dialect's.
    """
    render = refuse or _refused

    @wraps(handler)
    async def answered(request: Request) -> Response:
        head = heads.of_request(request)
        empty = "transfer-encoding" not in head.headers and head.headers.get("content-length", "0") == "0"
        incoming = Incoming(request, head, RequestBody(request.receive, empty=empty), access)
        if not empty and not incoming.waits_for_invitation:
            incoming.body.start()
        try:
            with _arrival(incoming):
                await _admit(incoming)
                own_names = own_query or resumable_dialect(head) is not None
                query_parameters.check(request.scope, access, own_names=own_names)
                return await handler(incoming)
        except ClientGone:
            return no_reply()
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return render(problem_of(error), incoming)
        finally:
            incoming.body.close()

    return accounts.declare_access(answered, access)


async def _admit(incoming: Incoming) -> None:
    """A form of a Django page has its CSRF token as a field, so it is admitted once that has come, before any file."""
    try:
        await admit(incoming.request.scope, incoming.access)
    except accounts.CsrfTokenMissing as refusal:
        if media_types.parse(incoming.head.headers.get("content-type")) != media_types.FORM:
            raise
        incoming.request.scope[_UNPROVED] = refusal


def _with_csrf_token(headers: list[tuple[bytes, bytes]], token: str) -> list[tuple[bytes, bytes]]:
    name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower().encode()
    return [*(field for field in headers if field[0] != name), (name, token.encode("latin-1", "replace"))]


def _arrival(incoming: Incoming) -> AbstractContextManager[None]:
    """Of a request that will write to an upload: whoever asks how far it is waits for what this one still commits."""
    found = parse_id(str(incoming.request.path_params.get("id", "")))
    if found is None or effective_method(incoming.head) != "PATCH":
        return nullcontext()
    return leases.writers.registered(found)


def _refused(problem: Problem, incoming: Incoming) -> Response:
    """The problem in the dialect of who is refused."""
    dialect = resumable_dialect(incoming.head)
    if dialect is None or effective_method(incoming.head) == "OPTIONS":
        return problem_response(problem, incoming.request)
    if dialect is Dialect.TUS:
        response = problem_response(problem, incoming.request)
        response.headers.update(tus.refused(problem))
        return response
    refusal = rufh.refused(problem)
    document = problem.document(incoming.request.url.path, incoming.request_id)
    return JSONResponse(
        document | dict(refusal.members),
        status_code=refusal.status,
        headers=dict(refusal.headers),
        media_type="application/problem+json",
    )
