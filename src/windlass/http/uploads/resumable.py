"""Resumable uploads at ``/uploads/{upload_id}``, in tus or the IETF's protocol, and what OPTIONS announces of both."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.accounts.api import CONTINUE_UPLOAD, PUBLIC
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.authentication import principal_of
from windlass.http.downloads.files import send_file
from windlass.http.endpoints import BINARY, Content, header
from windlass.http.file_records import FileRecord
from windlass.http.upload_status import UploadStatusOut, upload_status
from windlass.http.uploads import ietf, tus
from windlass.http.uploads.upload_request import UploadEndpoints, UploadRequest
from windlass.http.uploads.upload_responses import response_of
from windlass.kernel.errors import Conflict, Forbidden, NotFound
from windlass.kernel.principals import Principal
from windlass.protocols import rufh
from windlass.protocols import tus as tus_protocol
from windlass.protocols.dialects import Dialect, recognise_dialect
from windlass.protocols.intents import Reply
from windlass.protocols.json_fields import parse_upload_id
from windlass.receiving import lease

_PATH = "/uploads/{upload_id}"
_ANNOUNCED = {204: ("`Tus-*`, `Upload-Limit` and `Accept-Patch` say what is spoken here", None)}

endpoints = UploadEndpoints("Uploads", CONTINUE_UPLOAD)


@endpoints.upload(
    "PATCH",
    _PATH,
    name="append",
    summary="Append the body at the offset",
    parameters=(
        header("Tus-Resumable", "`1.0.0`, from clients that speak tus."),
        header("Upload-Offset", "Where the body starts.", "integer", required=True),
        header("Upload-Complete", "`?1`: these are the last bytes. In the IETF's protocol."),
        header("Upload-Length", "Size of the whole, where it was not known before.", "integer"),
        header("Upload-Checksum", "Of this body, in tus: an algorithm and the digest in base64."),
        header("Content-Digest", "Of this body, in the IETF's protocol (RFC 9530)."),
    ),
    body=Content({"application/offset+octet-stream": BINARY, "application/partial-upload": BINARY}),
    replies={
        201: ("In the IETF's protocol: the upload is whole, and this is its file", FileRecord),
        204: ("`Upload-Offset` is the new offset; once whole, `Windlass-File` names the file", None),
    },
)
@endpoints.upload(
    "HEAD",
    _PATH,
    name="read_offset",
    summary="Where an upload stands",
    parameters=(header("Tus-Resumable", "`1.0.0`, from clients that speak tus."),),
    replies={
        200: ("In tus: `Upload-Offset`, and `Upload-Length` if it is known", None),
        204: ("In the IETF's protocol, with `Upload-Complete` and `Upload-Limit`", None),
    },
)
@endpoints.upload(
    "DELETE", _PATH, name="end_upload", summary="Give an upload up", replies={204: ("It has ended", None)}
)
async def operate(upload: UploadRequest) -> Response | Reply:
    upload_id = parse_upload_id(upload.path["upload_id"])
    if recognise_dialect(upload.head) is Dialect.TUS:
        return await tus.operate(upload, upload_id)
    return await ietf.operate(upload, upload_id)


@endpoints.upload(
    "OPTIONS",
    "/files",
    access=PUBLIC,
    tag="Files",
    name="announce",
    summary="What uploads this server speaks",
    replies=_ANNOUNCED,
)
@endpoints.upload(
    "OPTIONS",
    _PATH,
    access=PUBLIC,
    name="announce_upload",
    summary="What uploads this server speaks",
    replies=_ANNOUNCED,
)
async def announce(upload: UploadRequest) -> Response:
    """The versions, extensions and limits of both protocols, whichever the request is in."""
    profiles = files.profiles().values()
    largest = max(profile.max_size for profile in profiles)
    smallest = min(profile.min_size for profile in profiles)
    seconds = int(conf.get().upload_ttl_hours * 3600)
    response = response_of(tus_protocol.discovered(largest))
    response.headers.update(rufh.discovered(largest, smallest, seconds, rufh.interop_of(upload.head)))
    return response


@endpoints.endpoint(
    "GET",
    _PATH,
    name="read_upload",
    summary="The status as JSON where `Accept` asks for it; else the bytes, once the upload is whole",
    replies={200: ("Status or bytes", Content({"application/json": UploadStatusOut, "*/*": BINARY}))},
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
