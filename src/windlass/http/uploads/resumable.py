"""Resumable uploads over HTTP: creation at ``/files``, everything else at ``/uploads/{id}``."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.files import api as files
from windlass.http import downloads, records
from windlass.http.endpoints import principal_of
from windlass.http.uploads.answers import no_reply, of_reply
from windlass.http.uploads.receiving import Incoming
from windlass.kernel.errors import (
    BadRequest,
    Conflict,
    FileTooLarge,
    MethodNotAllowed,
    NotFound,
    PastDeclaredLength,
    Unavailable,
)
from windlass.kernel.errors import ReceiveTimeout as Silent
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.protocols import tus
from windlass.protocols.dialects import Dialect, recognise
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Discover, Query
from windlass.receiving import joining, resumable
from windlass.receiving.offload import in_database
from windlass.receiving.outcome import Outcome
from windlass.receiving.pump import End


async def create(incoming: Incoming) -> Response:
    """POST of a tus creation."""
    match tus.parse(incoming.head, None):
        case Create() as intent:
            return await _create(intent, incoming)
        case Concatenate() as intent:
            principal = await principal_of(incoming.request)
            outcome = await joining.concatenate(intent, principal, dialect=Dialect.TUS, request_id=incoming.request_id)
            return _created(incoming, outcome, received_body=False)
    raise MethodNotAllowed("Only POST creates an upload.", headers={"Allow": "POST, OPTIONS"})


async def operate(incoming: Incoming) -> Response:
    """HEAD, PATCH, DELETE and OPTIONS of one upload."""
    recognise(incoming.head)
    match tus.parse(incoming.head, upload_id(incoming.request)):
        case Append() as intent:
            return await _append(intent, incoming)
        case Query(upload_id=wanted):
            outcome = await resumable.query(wanted, incoming.who(), dialect=Dialect.TUS)
            return of_reply(tus.queried(outcome.state))
        case Abort(upload_id=wanted):
            await resumable.abort(wanted, incoming.who())
            return of_reply(tus.aborted())
        case Discover():
            return await discover(incoming)
        case Create() | Concatenate():
            raise BadRequest("Uploads are created at POST /files/.")


async def discover(incoming: Incoming) -> Response:
    """OPTIONS: what is spoken here."""
    return of_reply(tus.discovered(max(profile.max_size for profile in files.profiles().values())))


async def show(request: Request) -> Response:
    """GET of an upload: its status where JSON is asked for, else its bytes once they are all here."""
    principal = await principal_of(request)
    session, asset = await in_database(_load, upload_id(request), principal)
    if "application/json" in request.headers.get("accept", ""):
        status = await in_database(records.upload_status, session)
        return JSONResponse(status, headers={"Cache-Control": "no-store"})
    if asset is None:
        raise Conflict(
            f"This upload is {session.status}: its bytes are served once it is complete. "
            "'Accept: application/json' shows how far it is."
        )
    return await downloads.send_file(request, asset)


def upload_id(request: Request) -> uuid.UUID:
    """Raises NotFound for a text that is no id."""
    found = parse_id(request.path_params["id"])
    if found is None:
        raise NotFound(f"There is no upload {request.path_params['id']!r}.")
    return found


async def _create(intent: Create, incoming: Incoming) -> Response:
    outcome = await resumable.create(
        intent,
        await principal_of(incoming.request),
        incoming.body if intent.has_body else None,
        dialect=Dialect.TUS,
        request_id=incoming.request_id,
    )
    _must_have_ended_well(outcome)
    if outcome.end is End.CLIENT_GONE:
        return no_reply()
    return _created(incoming, outcome, received_body=intent.has_body)


def _created(incoming: Incoming, outcome: Outcome, *, received_body: bool) -> Response:
    location = f"{incoming.root}/uploads/{outcome.state.upload_id}"
    return of_reply(tus.created(outcome.state, location, received_body=received_body))


async def _append(intent: Append, incoming: Incoming) -> Response:
    outcome = await resumable.append(
        intent, incoming.who(), incoming.body, dialect=Dialect.TUS, request_id=incoming.request_id
    )
    _must_have_ended_well(outcome)
    return no_reply() if outcome.end is End.CLIENT_GONE else of_reply(tus.appended(outcome.state))


def _must_have_ended_well(outcome: Outcome) -> None:
    """Where the request ended before its body did, what arrived is kept and the client is told why."""
    match outcome.end:
        case End.OVER_LIMIT if outcome.declared is None:
            raise FileTooLarge(outcome.state.max_size or outcome.state.offset)
        case End.OVER_LIMIT:
            raise PastDeclaredLength(
                f"The body goes beyond the {outcome.declared} bytes that were declared; what fits is kept.",
                limit=outcome.declared,
            )
        case End.SILENT:
            raise Silent(f"Nothing came for too long. The upload stands at byte {outcome.state.offset}.")
        case End.ASKED:
            raise Unavailable(
                f"This request had to let go of the upload, which stands at byte {outcome.state.offset}. Resume it.",
                retry_after=1,
            )


def _load(wanted: uuid.UUID, principal: Principal) -> tuple[files.UploadSession, files.FileAsset | None]:
    session = files.uploads.get(wanted, principal)
    asset = files.assets.load(session.file_id) if session.file_id else None
    return session, asset
