"""tus 1.0.0 over HTTP: requests to the receiving core, and its outcomes as replies."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

from starlette.responses import Response

from windlass import conf
from windlass.http.uploads.interrupted_uploads import check_outcome, with_location
from windlass.http.uploads.upload_request import UploadRequest
from windlass.http.uploads.upload_responses import client_gone_response
from windlass.kernel.errors import BadRequest, MethodNotAllowed, Problem, ReceiveTimeout
from windlass.protocols import tus
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Head, Query, Reply, UploadState
from windlass.receiving import concatenation, offset_uploads
from windlass.receiving.body import RequestBody
from windlass.receiving.checkpointed_transfer import TransferEnd
from windlass.receiving.session import Outcome
from windlass.storage.contract import StoreError


async def create(upload: UploadRequest) -> Response | Reply:
    """``POST /files`` of tus, with or without the first bytes."""
    principal = upload.principal
    match tus.parse(await _creation_head(upload), None):
        case Create() as intent:
            return await _create(intent, upload)
        case Concatenate() as intent:
            outcome = await concatenation.concatenate(
                intent, principal, dialect=Dialect.TUS, request_id=upload.request_id
            )
            return _created(upload, outcome, received_body=False)
    raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})


async def operate(upload: UploadRequest, upload_id: uuid.UUID) -> Response | Reply:
    """HEAD, PATCH and DELETE of one upload session."""
    match tus.parse(upload.head, upload_id):
        case Append() as intent:
            return await _append(intent, upload)
        case Query():
            outcome = await offset_uploads.query(upload_id, upload.caller, dialect=Dialect.TUS)
            return tus.queried(outcome.state)
        case Abort():
            await offset_uploads.abort(upload_id, upload.caller)
            return tus.aborted()
    raise BadRequest("Uploads are created at POST /files/.")


async def _append(intent: Append, upload: UploadRequest) -> Response | Reply:
    outcome = await offset_uploads.append(
        intent, upload.caller, upload.body, dialect=Dialect.TUS, request_id=upload.request_id
    )
    check_outcome(outcome)
    return client_gone_response() if outcome.end is TransferEnd.CLIENT_GONE else tus.appended(outcome.state)


async def _create(intent: Create, upload: UploadRequest) -> Response | Reply:
    upload_id: uuid.UUID | None = None

    async def remember(state: UploadState) -> None:
        nonlocal upload_id
        upload_id = state.upload_id

    try:
        outcome = await offset_uploads.create(
            intent,
            upload.principal,
            upload.body if intent.has_body else None,
            dialect=Dialect.TUS,
            request_id=upload.request_id,
            on_created=remember,
        )
        check_outcome(outcome)
    except (Problem, StoreError) as error:
        raise await with_location(error, upload_id, upload) from error
    if outcome.end is TransferEnd.CLIENT_GONE:
        return client_gone_response()
    return _created(upload, outcome, received_body=intent.has_body)


def _created(upload: UploadRequest, outcome: Outcome, *, received_body: bool) -> Reply:
    location = upload.location(outcome.state.upload_id)
    return tus.created(outcome.state, location, received_body=received_body)


async def _creation_head(upload: UploadRequest) -> Head:
    """The head without Transfer-Encoding where the body is empty: some clients send every POST chunked."""
    head = upload.head
    if not tus.may_have_an_empty_body(head) or not await _is_empty(upload.body):
        return head
    headers = {name: value for name, value in head.headers.items() if name != "transfer-encoding"}
    return replace(head, headers=headers)


async def _is_empty(body: RequestBody) -> bool:
    try:
        async with asyncio.timeout(conf.get().receive_timeout):
            return await body.is_empty()
    except TimeoutError as error:
        raise ReceiveTimeout("The body of this creation did not come. Send it again.") from error
