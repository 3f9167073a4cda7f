"""tus over HTTP: its requests to the receiving core, and the outcomes back."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

from starlette.responses import Response

from windlass import conf
from windlass.http.uploads.endings import must_have_ended_well, tell_location
from windlass.http.uploads.upload_request import Incoming
from windlass.http.uploads.upload_responses import no_reply, of_reply
from windlass.kernel.errors import BadRequest, MethodNotAllowed, Problem, ReceiveTimeout
from windlass.kernel.principals import Principal
from windlass.protocols import tus
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Head, Query, UploadState
from windlass.receiving import concatenation, sequential
from windlass.receiving.body import RequestBody
from windlass.receiving.session import Outcome
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import StoreError


async def create(incoming: Incoming) -> Response:
    """POST of a tus creation."""
    principal = incoming.principal
    match tus.parse(await _head_of_creation(incoming), None):
        case Create() as intent:
            return await _create(intent, incoming, principal)
        case Concatenate() as intent:
            outcome = await concatenation.concatenate(
                intent, principal, dialect=Dialect.TUS, request_id=incoming.request_id
            )
            return _created(incoming, outcome, received_body=False)
    raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})


async def operate(incoming: Incoming, upload_id: uuid.UUID) -> Response:
    """HEAD, PATCH and DELETE of one upload."""
    match tus.parse(incoming.head, upload_id):
        case Append() as intent:
            return await _append(intent, incoming)
        case Query(upload_id=wanted):
            outcome = await sequential.query(wanted, incoming.caller(), dialect=Dialect.TUS)
            return of_reply(tus.queried(outcome.state))
        case Abort(upload_id=wanted):
            await sequential.abort(wanted, incoming.caller())
            return of_reply(tus.aborted())
    raise BadRequest("Uploads are created at POST /files/.")


async def _head_of_creation(incoming: Incoming) -> Head:
    """Some clients send every POST in chunks, of which a creation without bytes has none."""
    head = incoming.head
    if not tus.may_have_an_empty_body(head) or not await _is_empty(incoming.body):
        return head
    kept = {name: value for name, value in head.headers.items() if name != "transfer-encoding"}
    return replace(head, headers=kept)


async def _is_empty(body: RequestBody) -> bool:
    try:
        async with asyncio.timeout(conf.get().receive_timeout):
            return await body.is_empty()
    except TimeoutError as error:
        raise ReceiveTimeout("The body of this creation did not come. Send it again.") from error


async def _create(intent: Create, incoming: Incoming, principal: Principal) -> Response:
    begun: list[uuid.UUID] = []

    async def remember(state: UploadState) -> None:
        begun.append(state.upload_id)

    try:
        outcome = await sequential.create(
            intent,
            principal,
            incoming.body if intent.has_body else None,
            dialect=Dialect.TUS,
            request_id=incoming.request_id,
            on_created=remember,
        )
        must_have_ended_well(outcome)
    except (Problem, StoreError) as error:
        raise await tell_location(error, begun[0] if begun else None, incoming) from error
    if outcome.end is TransferEnd.CLIENT_GONE:
        return no_reply()
    return _created(incoming, outcome, received_body=intent.has_body)


def _created(incoming: Incoming, outcome: Outcome, *, received_body: bool) -> Response:
    location = incoming.location(outcome.state.upload_id)
    return of_reply(tus.created(outcome.state, location, received_body=received_body))


async def _append(intent: Append, incoming: Incoming) -> Response:
    outcome = await sequential.append(
        intent, incoming.caller(), incoming.body, dialect=Dialect.TUS, request_id=incoming.request_id
    )
    must_have_ended_well(outcome)
    return no_reply() if outcome.end is TransferEnd.CLIENT_GONE else of_reply(tus.appended(outcome.state))
