"""Resumable uploads at ``/files`` and ``/uploads/{upload_id}``, in tus or the IETF's protocol, and what OPTIONS
announces of both."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.accounts.api import CONTINUE_UPLOAD, PUBLIC
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.callers import principal_of
from windlass.http.downloads.files import send_file
from windlass.http.endpoints import BINARY, Content, header
from windlass.http.file_records import FileRecord, file_record
from windlass.http.problem_responses import problem_of
from windlass.http.server.asgi_extensions import send_interim_response
from windlass.http.upload_status import UploadStatusOut, upload_status
from windlass.http.uploads.upload_endpoints import UploadEndpoints, client_gone_response, response_of
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import (
    BadRequest,
    Conflict,
    FileTooLarge,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PastDeclaredLength,
    Problem,
    ReceiveTimeout,
    Unavailable,
    UploadLocked,
)
from windlass.protocols import ietf, tus
from windlass.protocols.dialects import Dialect, ResumableDialect, recognise_dialect
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Head, Query, Reply, UploadState
from windlass.protocols.json_fields import parse_upload_id
from windlass.protocols.request_heads import announces_body
from windlass.receiving import concatenation, lease, offset_uploads
from windlass.receiving.body import RequestBody
from windlass.receiving.session import Outcome, state_of
from windlass.receiving.transfer import TransferEnd
from windlass.resilience.rate_limits.policies import RateClass
from windlass.storage.contract import StoreError

_ANNOUNCED = {
    204: ("`Tus-*`, `Upload-Limit` and `Accept-Patch` have the supported versions, extensions and limits", None)
}

endpoints = UploadEndpoints("Uploads", CONTINUE_UPLOAD)


@endpoints.upload(
    "PATCH /uploads/{upload_id}",
    name="append",
    rate=RateClass.UNLIMITED,
    summary="Append the request body at an offset",
    parameters=(
        header("Tus-Resumable", "`1.0.0`: the request is tus."),
        header("Upload-Offset", "Offset at which the body begins, in bytes.", "integer", required=True),
        header("Upload-Complete", "IETF: `?1` if these are the last bytes."),
        header("Upload-Length", "Size of the file in bytes, if it was not declared before.", "integer"),
        header("Upload-Checksum", "tus: checksum of this body, as an algorithm and the digest in base64."),
        header("Content-Digest", "IETF: digest of this body (RFC 9530)."),
    ),
    body=Content({"application/offset+octet-stream": BINARY, "application/partial-upload": BINARY}),
    replies={
        201: ("IETF: the upload is complete; its file record", FileRecord),
        204: ("`Upload-Offset` is the new offset; once the upload is complete, `Windlass-File` names the file", None),
    },
)
@endpoints.upload(
    "HEAD /uploads/{upload_id}",
    name="read_offset",
    rate=RateClass.UNLIMITED,
    summary="Offset of an upload",
    parameters=(header("Tus-Resumable", "`1.0.0`: the request is tus."),),
    replies={
        200: ("tus: `Upload-Offset`, and `Upload-Length` if it is known", None),
        204: ("IETF: `Upload-Offset`, with `Upload-Complete` and `Upload-Limit`", None),
    },
)
@endpoints.upload(
    "DELETE /uploads/{upload_id}",
    name="end_upload",
    summary="Cancel an upload; of a complete one only the session ends",
    replies={204: ("The upload has ended", None)},
)
async def operate(upload: UploadRequest) -> Response | Reply:
    upload_id = parse_upload_id(upload.path["upload_id"])
    dialect = Dialect.TUS if recognise_dialect(upload.head) is Dialect.TUS else Dialect.IETF
    match (tus.parse if dialect is Dialect.TUS else ietf.parse)(upload.head, upload_id):
        case Append() as intent:
            outcome = await offset_uploads.append(
                intent, upload.caller, upload.body, dialect=dialect, request_id=upload.request_id
            )
            if dialect is Dialect.IETF:
                return await _ietf_reply(upload, outcome)
            _check_outcome(outcome)
            return client_gone_response() if outcome.end is TransferEnd.CLIENT_GONE else tus.appended(outcome.state)
        case Query():
            state = (await offset_uploads.query(upload_id, upload.caller, dialect=dialect)).state
            if dialect is Dialect.IETF:
                return ietf.queried(state, ietf.interop_of(upload.head), now())
            return tus.queried(state)
        case Abort():
            await offset_uploads.abort(upload_id, upload.caller)
            return tus.aborted() if dialect is Dialect.TUS else ietf.aborted()
    raise BadRequest("Uploads are created at POST /files/.")


async def create(upload: UploadRequest, dialect: ResumableDialect) -> Response | Reply:
    """``POST /files`` in a resumable protocol, with or without the first bytes."""
    principal = upload.principal
    intent = tus.parse(await _creation_head(upload), None) if dialect is Dialect.TUS else ietf.parse(upload.head, None)
    match intent:
        case Create():
            return await _create(intent, upload, principal, dialect)
        case Concatenate():
            outcome = await concatenation.concatenate(intent, principal, dialect=dialect, request_id=upload.request_id)
            return tus.created(outcome.state, upload.location(outcome.state.upload_id), received_body=False)
    raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})


async def created_again(upload: UploadRequest, session: files.UploadSession) -> Response | Reply:
    """The answer to the repeated creation of this upload: its URL as before, and its offset as it is now."""
    state = state_of(session)
    if session.dialect == Dialect.IETF:
        return await _ietf_reply(upload, Outcome(state), creation=True)
    received_body = bool(state.offset) or announces_body(upload.head)
    return tus.created(state, upload.location(session.id), received_body=received_body)


@endpoints.upload(
    "OPTIONS /files",
    access=PUBLIC,
    tag="Files",
    name="announce",
    rate=RateClass.UNLIMITED,
    summary="Supported upload protocols, extensions and limits",
    replies=_ANNOUNCED,
)
@endpoints.upload(
    "OPTIONS /uploads/{upload_id}",
    access=PUBLIC,
    name="announce_upload",
    rate=RateClass.UNLIMITED,
    summary="Supported upload protocols, extensions and limits",
    replies=_ANNOUNCED,
)
async def announce(upload: UploadRequest) -> Response:
    """The versions, extensions and limits of both protocols, whichever the request is in."""
    profiles = files.profiles().values()
    largest = max(profile.max_size for profile in profiles)
    smallest = min(profile.min_size for profile in profiles)
    seconds = int(conf.get().upload_ttl_hours * 3600)
    response = response_of(tus.discovered(largest))
    response.headers.update(ietf.discovered(largest, smallest, seconds, ietf.interop_of(upload.head)))
    return response


@endpoints.endpoint(
    "GET /uploads/{upload_id}",
    name="read_upload",
    summary="Status of an upload, if `Accept` asks for JSON; else its bytes, once it is complete",
    replies={200: ("The status or the bytes", Content({"application/json": UploadStatusOut, "*/*": BINARY}))},
    answers_head=False,
)
async def read_upload(request: Request) -> Response:
    principal = principal_of(request)
    upload_id = parse_upload_id(request.path_params["upload_id"])
    writers = await lease.writers.arrived(upload_id)
    session, asset = await in_database(_load, upload_id, principal)
    if writers:
        await lease.writers.wait_for_commits(session.id, writers)
        session, asset = await in_database(_load, session.id, principal)
    if "application/json" in request.headers.get("accept", ""):
        status = await in_database(upload_status, session)
        return JSONResponse(status, headers={"Cache-Control": "no-store"})
    if principal.grant is not None:
        raise Forbidden("A grant is for sending a file. Its bytes are given to those who may download it.")
    if asset is None and session.file_id is not None:
        raise NotFound(f"The file of the upload {session.id} has been deleted since.")
    if asset is None:
        raise Conflict(
            f"This upload is {session.status}: its bytes are served once it is complete. "
            "'Accept: application/json' shows how far it is."
        )
    return await send_file(request, asset)


def _load(upload_id: uuid.UUID, principal: Principal) -> tuple[files.UploadSession, files.FileAsset | None]:
    session = files.get_upload(upload_id, principal)
    asset = files.load_file(session.file_id) if session.file_id else None
    return session, asset


async def _create(
    intent: Create, upload: UploadRequest, principal: Principal, dialect: ResumableDialect
) -> Response | Reply:
    upload_id: uuid.UUID | None = None

    async def on_created(state: UploadState) -> None:
        nonlocal upload_id
        upload_id = state.upload_id
        if dialect is Dialect.IETF:
            await _send_location(upload, state)

    try:
        outcome = await offset_uploads.create(
            intent,
            principal,
            upload.body if intent.has_body else None,
            dialect=dialect,
            request_id=upload.request_id,
            on_created=on_created if intent.has_body or dialect is Dialect.TUS else None,
            claim=upload.claim,
        )
        if dialect is Dialect.IETF:
            return await _ietf_reply(upload, outcome, creation=True)
        _check_outcome(outcome)
    except (Problem, StoreError) as error:
        raise await _with_location(error, upload_id, upload) from error
    if outcome.end is TransferEnd.CLIENT_GONE:
        return client_gone_response()
    return tus.created(outcome.state, upload.location(outcome.state.upload_id), received_body=intent.has_body)


async def _creation_head(upload: UploadRequest) -> Head:
    """The head without Transfer-Encoding where the body is empty: some clients of tus send every POST chunked."""
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


async def _send_location(upload: UploadRequest, state: UploadState) -> None:
    """Send the session's location in an interim response before the body is received, so that the client can resume if
    the connection breaks."""
    interop = ietf.interop_of(upload.head)
    if interop.sends_104:
        fields = ietf.interim_fields(state, upload.location(state.upload_id), interop, now())
        await send_interim_response(upload.request.scope, ietf.UPLOAD_RESUMPTION_SUPPORTED, fields)


async def _ietf_reply(upload: UploadRequest, outcome: Outcome, *, creation: bool = False) -> Response | Reply:
    state, interop = outcome.state, ietf.interop_of(upload.head)
    if outcome.end is TransferEnd.OVER_LIMIT and outcome.declared is not None and interop.past_length_ends:
        await offset_uploads.invalidate(
            state.upload_id, f"More came than the {outcome.declared} bytes that were declared."
        )
    _check_outcome(outcome)
    if outcome.end is TransferEnd.CLIENT_GONE:
        return client_gone_response()
    record = await in_database(_record, state.file_id) if state.file_id else None
    return ietf.received(state, upload.location(state.upload_id), interop, now(), record, creation=creation)


def _record(file_id: uuid.UUID) -> dict[str, Any] | None:
    asset = files.load_file(file_id)
    return None if asset is None else file_record(asset)


def _check_outcome(outcome: Outcome) -> None:
    """Raise the problem of a request that ended before its body did. What arrived is stored in any case. Raises
    FileTooLarge, PastDeclaredLength, ReceiveTimeout, Unavailable, UploadLocked."""
    offset = {"Upload-Offset": str(outcome.state.offset)}
    match outcome.end:
        case TransferEnd.OVER_LIMIT if outcome.declared is None:
            raise FileTooLarge(outcome.state.max_size or outcome.state.offset)
        case TransferEnd.OVER_LIMIT:
            raise PastDeclaredLength(
                f"The body goes beyond the {outcome.declared} bytes that were declared; what fits is kept.",
                limit=outcome.declared,
            )
        case TransferEnd.TIMED_OUT:
            raise ReceiveTimeout(
                f"Nothing came for too long. The upload stands at byte {outcome.state.offset}; resume it.",
                headers=offset,
            )
        case TransferEnd.STOP_REQUESTED if lease.keeper.stopping:
            raise Unavailable(
                f"The server is stopping. The upload stands at byte {outcome.state.offset}; resume it shortly.",
                retry_after=1,
            )
        case TransferEnd.STOP_REQUESTED:
            raise UploadLocked(
                "Another request asked for this upload, so this one was ended and what had come was kept: the upload "
                f"stands at byte {outcome.state.offset}. Ask for its offset with HEAD and go on from there.",
                headers=offset | {"Retry-After": "1"},
                retry_after=1,
            )


async def _with_location(error: Exception, upload_id: uuid.UUID | None, upload: UploadRequest) -> Problem:
    """The problem of a failed creation. It names the session, if that exists by now and can be resumed."""
    problem = problem_of(error)
    session = await in_database(files.load_upload, upload_id) if upload_id is not None else None
    if session is not None and session.status == files.UploadStatus.ACTIVE:
        headers = {"Location": upload.location(session.id), "Upload-Offset": str(session.offset)}
        problem.headers |= headers | ({"Upload-Complete": "?0"} if session.dialect == Dialect.IETF else {})
    return problem
