"""Uploads in numbered chunks over HTTP, JSON flavour: ``/api/v1/upload/`` (http-api section 3)."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from windlass.accounts.api import OWNER
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import file_records as records
from windlass.http.endpoints import endpoint, principal_of
from windlass.http.uploads import json_bodies
from windlass.http.uploads.upload_request import Incoming, receiving
from windlass.http.uploads.upload_responses import of_reply
from windlass.kernel.errors import UploadGone
from windlass.kernel.principals import Principal
from windlass.protocols import chunks as dialect
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Reply
from windlass.protocols.json_fields import parse_upload_id
from windlass.receiving import chunk_completion, chunked
from windlass.receiving.body import BytesInMemory


async def init(incoming: Incoming) -> Response:
    principal = incoming.principal
    intent = dialect.parse_init(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    session = await chunked.create(intent, principal, dialect=Dialect.CHUNKS)
    layout = files.chunk_layout(session)
    return of_reply(dialect.created(session.id, layout.chunk_size, layout.total, session.expires_at))


async def take_json(incoming: Incoming) -> Response:
    """A chunk as base64 in JSON: in memory, so bounded, and decoded beside the loop."""
    principal = incoming.principal
    async with json_bodies.parsed(
        incoming.head, incoming.body, dialect.parse_chunk, dialect.MAX_JSON_CHUNK_BODY, dialect.too_large()
    ) as chunk:
        outcome = await chunked.put(chunk.intent, lambda: principal, BytesInMemory(chunk.data), dialect=Dialect.CHUNKS)
    return _received(outcome, chunk.intent.index)


async def take_raw(incoming: Incoming) -> Response:
    """A chunk as the body: streamed to its place."""
    parameters = incoming.request.path_params
    intent = dialect.parse_put(incoming.head, parameters["id"], parameters["index"])
    outcome = await chunked.put(intent, incoming.caller(), incoming.body, dialect=Dialect.CHUNKS)
    return _received(outcome, intent.index)


async def complete(incoming: Incoming) -> Response:
    principal = incoming.principal
    upload_id = dialect.parse_upload_id(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    session = await chunk_completion.complete(
        upload_id, lambda: principal, dialect=Dialect.CHUNKS, request_id=incoming.request_id
    )
    if session.status != files.UploadStatus.COMPLETED:
        return of_reply(dialect.assembling(upload_id))
    return of_reply(await in_database(_completed, session))


async def cancel(incoming: Incoming) -> Response:
    principal = incoming.principal
    upload_id = dialect.parse_upload_id(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    await chunked.cancel(upload_id, lambda: principal, dialect=Dialect.CHUNKS)
    return of_reply(dialect.cancelled(upload_id))


async def status(request: Request) -> Response:
    """Of an upload that is being assembled it also sees to it that somebody does so."""
    upload_id = parse_upload_id(request.path_params["id"])
    principal = principal_of(request)
    document = await in_database(_status, upload_id, principal)
    if document["status"] == files.UploadStatus.ASSEMBLING:
        await chunk_completion.complete(upload_id, lambda: principal, dialect=document["protocol"], wait=0)
    return of_reply(dialect.status(document))


def _received(outcome: chunked.ChunkOutcome, index: int) -> Response:
    return of_reply(dialect.received(outcome.session.id, index, outcome.progress, duplicate=outcome.duplicate))


def _completed(session: files.UploadSession) -> Reply:
    asset = files.assets.load(session.file_id) if session.file_id else None
    if asset is None:
        raise UploadGone(f"The upload {session.id} is complete, and its file has been deleted since.")
    return dialect.completed(records.new_file_record(asset), session.id, asset.checksum or "")


def _status(upload_id: uuid.UUID, principal: Principal) -> dict[str, Any]:
    return records.upload_status(files.get_upload(upload_id, principal))


routes = [
    Route("/api/v1/upload/init", receiving(init, OWNER), methods=["POST"]),
    Route("/api/v1/upload/chunk", receiving(take_json, OWNER), methods=["POST"]),
    Route("/api/v1/upload/complete", receiving(complete, OWNER), methods=["POST"]),
    Route("/api/v1/upload/cancel", receiving(cancel, OWNER), methods=["POST"]),
    Route("/api/v1/upload/status/{id}", endpoint(status, OWNER), methods=["GET"]),
    Route("/api/v1/upload/{id}/chunks/{index}", receiving(take_raw, OWNER), methods=["PUT"]),
]
