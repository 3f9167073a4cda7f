"""Resumable uploads over HTTP: creation at ``/files``, everything else at ``/uploads/{id}``, in either protocol."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import file_records as records
from windlass.http.downloads import files as downloads
from windlass.http.endpoints import principal_of
from windlass.http.uploads import ietf as rufh_calls
from windlass.http.uploads import tus as tus_calls
from windlass.http.uploads.upload_request import Incoming
from windlass.http.uploads.upload_responses import of_reply
from windlass.kernel.errors import Conflict, Forbidden, NotFound
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.protocols import rufh, tus
from windlass.protocols.dialects import Dialect, recognise_dialect
from windlass.receiving import lease


async def operate(incoming: Incoming) -> Response:
    """HEAD, PATCH and DELETE of one upload."""
    wanted = upload_id(incoming.request)
    if recognise_dialect(incoming.head) is Dialect.TUS:
        return await tus_calls.operate(incoming, wanted)
    return await rufh_calls.operate(incoming, wanted)


async def discover(incoming: Incoming) -> Response:
    """OPTIONS: what is spoken here, in both protocols, whichever the request is in."""
    profiles = files.profiles().values()
    largest = max(profile.max_size for profile in profiles)
    smallest = min(profile.min_size for profile in profiles)
    life = int(conf.get().upload_ttl_hours * 3600)
    response = of_reply(tus.discovered(largest))
    response.headers.update(rufh.discovered(largest, smallest, life, rufh.interop_of(incoming.head)))
    return response


async def show(request: Request) -> Response:
    """GET of an upload: its status where JSON is asked for, else its bytes once they are all here."""
    principal = principal_of(request)
    session, asset = await in_database(_load, upload_id(request), principal)
    if await lease.writers.wait_for_commits(session.id):
        session, asset = await in_database(_load, session.id, principal)
    if "application/json" in request.headers.get("accept", ""):
        status = await in_database(records.upload_status, session)
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
    return await downloads.send_file(request, asset)


def upload_id(request: Request) -> uuid.UUID:
    """Raises NotFound for a text that is no id."""
    found = parse_id(request.path_params["id"])
    if found is None:
        raise NotFound(f"There is no upload {request.path_params['id']!r}.")
    return found


def _load(wanted: uuid.UUID, principal: Principal) -> tuple[files.UploadSession, files.FileAsset | None]:
    session = files.get_upload(wanted, principal)
    asset = files.assets.load(session.file_id) if session.file_id else None
    return session, asset
