"""tus over HTTP: its requests to the receiving core, and the outcomes back."""

from __future__ import annotations

import uuid

from starlette.responses import Response

from windlass.http.uploads.answers import no_reply, of_reply
from windlass.http.uploads.endings import must_have_ended_well
from windlass.http.uploads.receiving import Incoming
from windlass.kernel.errors import BadRequest, MethodNotAllowed
from windlass.protocols import tus
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Query
from windlass.receiving import concatenating, resumable
from windlass.receiving.outcome import Outcome
from windlass.receiving.pump import End


async def create(incoming: Incoming) -> Response:
    """POST of a tus creation."""
    match tus.parse(incoming.head, None):
        case Create() as intent:
            return await _create(intent, incoming)
        case Concatenate() as intent:
            principal = incoming.principal
            outcome = await concatenating.concatenate(
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
            outcome = await resumable.query(wanted, incoming.who(), dialect=Dialect.TUS)
            return of_reply(tus.queried(outcome.state))
        case Abort(upload_id=wanted):
            await resumable.abort(wanted, incoming.who())
            return of_reply(tus.aborted())
    raise BadRequest("Uploads are created at POST /files/.")


async def _create(intent: Create, incoming: Incoming) -> Response:
    outcome = await resumable.create(
        intent,
        incoming.principal,
        incoming.body if intent.has_body else None,
        dialect=Dialect.TUS,
        request_id=incoming.request_id,
    )
    must_have_ended_well(outcome)
    if outcome.end is End.CLIENT_GONE:
        return no_reply()
    return _created(incoming, outcome, received_body=intent.has_body)


def _created(incoming: Incoming, outcome: Outcome, *, received_body: bool) -> Response:
    location = incoming.location(outcome.state.upload_id)
    return of_reply(tus.created(outcome.state, location, received_body=received_body))


async def _append(intent: Append, incoming: Incoming) -> Response:
    outcome = await resumable.append(
        intent, incoming.who(), incoming.body, dialect=Dialect.TUS, request_id=incoming.request_id
    )
    must_have_ended_well(outcome)
    return no_reply() if outcome.end is End.CLIENT_GONE else of_reply(tus.appended(outcome.state))
