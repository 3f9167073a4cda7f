"""What every endpoint that receives a body shares: the body, the caller, and refusals while bytes still come."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.http import query_parameters
from windlass.http.endpoints import admit, principal_of, problem_of, problem_response
from windlass.http.uploads import heads
from windlass.http.uploads.answers import no_reply
from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.kernel.principals import Principal
from windlass.protocols import rufh, tus
from windlass.protocols.dialects import Dialect, speaks
from windlass.protocols.heads import effective_method
from windlass.protocols.intents import Head
from windlass.receiving.source import ClientGone, RequestBody


@dataclass(frozen=True)
class Incoming:
    """One request that may carry bytes."""

    request: Request
    head: Head
    body: RequestBody

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
        return principal_of(self.request)

    def who(self) -> Callable[[], Principal]:
        principal = self.principal
        return lambda: principal


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
        incoming = Incoming(request, head, RequestBody(request.receive, empty=empty))
        if not empty and not incoming.waits_for_invitation:
            incoming.body.start()
        try:
            await admit(request.scope, access)
            own_names = own_query or speaks(head) is not None
            query_parameters.check(request.scope, access, own_names=own_names)
            return await handler(incoming)
        except ClientGone:
            return no_reply()
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return render(problem_of(error), incoming)
        finally:
            incoming.body.close()

    return accounts.declare(answered, access)


def _refused(problem: Problem, incoming: Incoming) -> Response:
    """The problem in the dialect of who is refused."""
    dialect = speaks(incoming.head)
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
