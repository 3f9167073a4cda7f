"""The IETF's resumable uploads over HTTP: requests to the receiving core, and its outcomes as replies."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.file_records import file_record
from windlass.http.server.asgi_extensions import send_interim_response
from windlass.http.uploads.interrupted_uploads import check_outcome, with_location
from windlass.http.uploads.upload_request import UploadRequest
from windlass.http.uploads.upload_responses import client_gone_response
from windlass.kernel.clock import now
from windlass.kernel.errors import BadRequest, MethodNotAllowed, Problem
from windlass.protocols import rufh
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Abort, Append, Create, Query, Reply, UploadState
from windlass.receiving import offset_uploads
from windlass.receiving.checkpointed_transfer import TransferEnd
from windlass.receiving.session import Outcome
from windlass.storage.contract import StoreError


async def create(upload: UploadRequest) -> Response | Reply:
    """``POST /files`` with Upload-Complete."""
    intent = rufh.parse(upload.head, None)
    if not isinstance(intent, Create):
        raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})
    announcement = _LocationAnnouncement(upload)
    try:
        outcome = await offset_uploads.create(
            intent,
            upload.principal,
            upload.body if intent.has_body else None,
            dialect=Dialect.IETF,
            request_id=upload.request_id,
            on_created=announcement if intent.has_body else None,
        )
        return await _reply(upload, outcome, creation=True)
    except (Problem, StoreError) as error:
        raise await with_location(error, announcement.upload_id, upload) from error


async def operate(upload: UploadRequest, upload_id: uuid.UUID) -> Response | Reply:
    """HEAD, PATCH and DELETE of one upload session."""
    match rufh.parse(upload.head, upload_id):
        case Append() as intent:
            outcome = await offset_uploads.append(
                intent, upload.caller, upload.body, dialect=Dialect.IETF, request_id=upload.request_id
            )
            return await _reply(upload, outcome)
        case Query():
            outcome = await offset_uploads.query(upload_id, upload.caller, dialect=Dialect.IETF)
            return rufh.queried(outcome.state, rufh.interop_of(upload.head), now())
        case Abort():
            await offset_uploads.abort(upload_id, upload.caller)
            return rufh.aborted()
    raise BadRequest("Uploads are created at POST /files/.")


class _LocationAnnouncement:
    """Sends the session's location in an interim response before the body is received, so that the client can resume
    if the connection breaks."""

    def __init__(self, upload: UploadRequest) -> None:
        self._upload = upload
        self.upload_id: uuid.UUID | None = None

    async def __call__(self, state: UploadState) -> None:
        self.upload_id = state.upload_id
        interop = rufh.interop_of(self._upload.head)
        if interop.sends_104:
            headers = rufh.begun(state, self._upload.location(state.upload_id), interop, now())
            await send_interim_response(self._upload.request.scope, rufh.UPLOAD_RESUMPTION_SUPPORTED, headers)


async def _reply(upload: UploadRequest, outcome: Outcome, *, creation: bool = False) -> Response | Reply:
    state, interop = outcome.state, rufh.interop_of(upload.head)
    if outcome.end is TransferEnd.OVER_LIMIT and outcome.declared is not None and interop.past_length_ends:
        await offset_uploads.invalidate(
            state.upload_id, f"More came than the {outcome.declared} bytes that were declared."
        )
    check_outcome(outcome)
    if outcome.end is TransferEnd.CLIENT_GONE:
        return client_gone_response()
    record = await in_database(_record, state.file_id) if state.file_id else None
    return rufh.taken(state, upload.location(state.upload_id), interop, now(), record, creation=creation)


def _record(file_id: uuid.UUID) -> dict[str, Any] | None:
    asset = files.load_file(file_id)
    return None if asset is None else file_record(asset)
