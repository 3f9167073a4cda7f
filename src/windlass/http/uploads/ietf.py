"""The IETF's resumable uploads over HTTP: their requests to the receiving core, and the outcomes back."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import file_records as records
from windlass.http.server.asgi_extensions import inform
from windlass.http.uploads.endings import must_have_ended_well, tell_location
from windlass.http.uploads.upload_request import Incoming
from windlass.http.uploads.upload_responses import no_reply, of_reply
from windlass.kernel.clock import now
from windlass.kernel.errors import BadRequest, MethodNotAllowed, Problem
from windlass.protocols import rufh
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Abort, Append, Create, Query, UploadState
from windlass.receiving import sequential
from windlass.receiving.session import Outcome
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import StoreError


async def create(incoming: Incoming) -> Response:
    """POST with Upload-Complete."""
    intent = rufh.parse(incoming.head, None)
    if not isinstance(intent, Create):
        raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})
    begun = _Interim(incoming)
    try:
        outcome = await sequential.create(
            intent,
            incoming.principal,
            incoming.body if intent.has_body else None,
            dialect=Dialect.IETF,
            request_id=incoming.request_id,
            on_created=begun if intent.has_body else None,
        )
        return await _taken(incoming, outcome, creation=True)
    except (Problem, StoreError) as error:
        raise await tell_location(error, begun.upload_id, incoming) from error


async def operate(incoming: Incoming, upload_id: uuid.UUID) -> Response:
    """HEAD, PATCH and DELETE of one upload."""
    match rufh.parse(incoming.head, upload_id):
        case Append() as intent:
            outcome = await sequential.append(
                intent, incoming.caller(), incoming.body, dialect=Dialect.IETF, request_id=incoming.request_id
            )
            return await _taken(incoming, outcome)
        case Query(upload_id=wanted):
            outcome = await sequential.query(wanted, incoming.caller(), dialect=Dialect.IETF)
            return of_reply(rufh.queried(outcome.state, rufh.interop_of(incoming.head), now()))
        case Abort(upload_id=wanted):
            await sequential.abort(wanted, incoming.caller())
            return of_reply(rufh.aborted())
    raise BadRequest("Uploads are created at POST /files/.")


class _Interim:
    """Tells a client, before its body is taken, where it can go on if the connection breaks."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self.upload_id: uuid.UUID | None = None

    async def __call__(self, state: UploadState) -> None:
        self.upload_id = state.upload_id
        interop = rufh.interop_of(self._incoming.head)
        if interop.sends_104:
            headers = rufh.begun(state, self._incoming.location(state.upload_id), interop, now())
            await inform(self._incoming.request.scope, rufh.UPLOAD_RESUMPTION_SUPPORTED, headers)


async def _taken(incoming: Incoming, outcome: Outcome, *, creation: bool = False) -> Response:
    state, interop = outcome.state, rufh.interop_of(incoming.head)
    if outcome.end is TransferEnd.OVER_LIMIT and outcome.declared is not None and interop.past_length_ends:
        await sequential.invalidate(state.upload_id, f"More came than the {outcome.declared} bytes that were declared.")
    must_have_ended_well(outcome)
    if outcome.end is TransferEnd.CLIENT_GONE:
        return no_reply()
    record = await in_database(_record, state.file_id) if state.file_id else None
    location = incoming.location(state.upload_id)
    return of_reply(rufh.taken(state, location, interop, now(), record, creation=creation))


def _record(file_id: uuid.UUID) -> dict[str, Any] | None:
    asset = files.assets.load(file_id)
    return None if asset is None else records.file_record(asset)
