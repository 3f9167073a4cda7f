"""Declare the endpoints that receive a body: when that begins, and how they refuse while bytes still arrive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.files import api as files
from windlass.http import query_parameters, rate_limits, request_head
from windlass.http.counted_admission import admit_counted
from windlass.http.endpoints import ByteEndpoint, ByteEndpoints, RequestHandler
from windlass.http.problem_responses import problem_of, problem_response
from windlass.http.request_record import CLIENT_GONE, record_of
from windlass.http.server.direct_receive import socket_of
from windlass.http.uploads import keyed_requests
from windlass.http.uploads.upload_request import UNPROVED, UploadRequest
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import Problem
from windlass.protocols import ietf, media_types, tus
from windlass.protocols.dialects import Dialect, probable_dialect, resumable_dialect
from windlass.protocols.intents import Reply
from windlass.protocols.request_heads import effective_method
from windlass.receiving import lease as leases
from windlass.receiving.body import ClientGone, RequestBody
from windlass.resilience.rate_limits.policies import RateClass

F = TypeVar("F", bound=Callable[..., Any])

UploadHandler = Callable[[UploadRequest], Awaitable[Response | Reply]]
RenderProblem = Callable[[Problem, UploadRequest], Response]
#: Answer again a request that created this upload session.
AnswerAgain = Callable[[UploadRequest, files.UploadSession], Awaitable[Response | Reply]]


class UploadEndpoints(ByteEndpoints):
    """Endpoints of which some receive bytes."""

    def __init__(self, tag: str, access: Access, dialect: Dialect | None = None) -> None:
        """``dialect``: of all of these endpoints; None where the head of each request tells it."""
        super().__init__(tag, access)
        self._dialect = dialect

    def upload(
        self,
        call: str,
        *,
        render_problem: RenderProblem | None = None,
        answer_again: AnswerAgain | None = None,
        **declaration: Any,
    ) -> Callable[[F], F]:
        """Declare the decorated ``UploadHandler`` as an endpoint; see ``ByteEndpoints.endpoint``.

        ``render_problem`` makes the reply to a refused request. By default that is a problem document, in the
        resumable protocol that the client speaks. An endpoint that takes an idempotency key and creates upload sessions
        has an ``answer_again``.
        """
        wrap = partial(
            receiving, dialect=self._dialect, render_problem=render_problem or _refused, answer_again=answer_again
        )
        return self.declare(call, wrap, **declaration)


def receiving(
    handler: UploadHandler,
    declared: ByteEndpoint,
    dialect: Dialect | None,
    render_problem: RenderProblem,
    answer_again: AnswerAgain | None = None,
) -> RequestHandler:
    """``handler`` as an endpoint that starts to receive at once, and reads nothing of the body before the credential
    is proved."""

    async def respond(upload: UploadRequest) -> Response:
        try:
            return response_of(await handler(upload))
        except ClientGone:
            return client_gone_response()
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return render_problem(problem_of(error), upload)

    async def respond_again(upload: UploadRequest, session: files.UploadSession) -> Response:
        assert answer_again is not None, f"{declared.name} creates upload sessions and cannot answer again"
        return response_of(await answer_again(upload, session))

    @wraps(handler)
    async def answer(request: Request) -> Response:
        head = request_head.of_request(request)
        record_of(request.scope).dialect = dialect or probable_dialect(head)
        empty = "transfer-encoding" not in head.headers and head.headers.get("content-length", "0") == "0"
        body = RequestBody(request.receive, empty=empty, socket=socket_of(request.scope))
        upload = UploadRequest(request, head, body, declared.access)
        # With it, the client sends its body only after the first receive (RFC 9110, 10.1.1).
        expects_continue = head.headers.get("expect", "").lower() == "100-continue"
        if not empty and not expects_continue:
            upload.body.start()
        try:
            with _announced_writer(upload):
                await _admit(upload, declared.rate)
                checks_names = not declared.has_own_query and resumable_dialect(head) is None
                query_parameters.check(request.scope, declared.query_names if checks_names else None)
                if declared.takes_idempotency_key:
                    return await keyed_requests.answer_once(upload, declared, respond, respond_again)
                return await respond(upload)
        except ClientGone:
            return client_gone_response()
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return render_problem(problem_of(error), upload)
        finally:
            upload.body.close()

    return answer


def response_of(reply: Reply | Response) -> Response:
    """``reply`` itself, if it is a response already."""
    if isinstance(reply, Response):
        return reply
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    return JSONResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))


def client_gone_response() -> Response:
    """For a client that has disconnected: nobody reads this."""
    return Response(status_code=CLIENT_GONE)


async def _admit(upload: UploadRequest, kind: RateClass) -> None:
    """Admit the caller; a form of a Django page later, once its CSRF field has arrived, which is before any file."""
    try:
        await admit_counted(upload.request.scope, upload.access, kind)
    except accounts.CsrfTokenMissing as refusal:
        if media_types.parse(upload.head.headers.get("content-type")) != media_types.FORM:
            raise
        upload.request.scope[UNPROVED] = refusal
        await rate_limits.check(upload.request.scope, kind, None)


def _announced_writer(upload: UploadRequest) -> AbstractContextManager[None]:
    """Announce a PATCH as a writer of its session: a request for the offset then waits for what it still commits."""
    upload_id = parse_id(str(upload.path.get("upload_id", "")))
    if upload_id is None or effective_method(upload.head) != "PATCH":
        return nullcontext()
    return leases.writers.registered(upload_id)


def _refused(problem: Problem, upload: UploadRequest) -> Response:
    """The problem document, with the fields of the resumable protocol that the client speaks."""
    dialect = resumable_dialect(upload.head)
    if dialect is None or effective_method(upload.head) == "OPTIONS":
        return problem_response(problem, upload.request)
    if dialect is Dialect.TUS:
        response = problem_response(problem, upload.request)
        response.headers.update(tus.refused(problem))
        return response
    refusal = ietf.refused(problem)
    document = problem.document(upload.request.url.path, upload.request_id)
    return JSONResponse(
        document | refusal.body,
        status_code=refusal.status,
        headers=dict(refusal.headers),
        media_type="application/problem+json",
    )
