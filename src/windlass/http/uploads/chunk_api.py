"""Uploads in numbered chunks, the JSON API below ``/api/v1/upload/`` (http-api section 3).

``protocols.chunks`` reads the requests and makes the replies; the models here describe them, and a test compares the
two.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from windlass.accounts.api import OWNER
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import json_bodies
from windlass.http.callers import principal_of
from windlass.http.endpoints import BINARY, Content, header
from windlass.http.file_records import new_file_record
from windlass.http.json_models import ReplyModel
from windlass.http.upload_status import UploadProgress, UploadStatusOut, file_of, upload_status
from windlass.http.uploads.upload_endpoints import UploadEndpoints, response_of
from windlass.http.uploads.upload_request import UploadRequest
from windlass.protocols import chunks as protocol
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import CreateInChunks, Reply
from windlass.protocols.json_fields import parse_upload_id
from windlass.receiving import chunk_completion, chunked
from windlass.receiving.body import BytesInMemory
from windlass.resilience.rate_limits.policies import RateClass

endpoints = UploadEndpoints("Chunks", OWNER, Dialect.CHUNKS)


class ChunkUploadIn(BaseModel):
    filename: str
    total_size: int = Field(ge=0, description="Bytes.")
    mime_type: str | None = Field(description="Media type that the client declares. Empty: none.")
    file_hash: str | None = Field(None, description="Expected SHA-256 of the whole file, hexadecimal.")
    chunk_size: int | None = Field(
        None, ge=1, description="Requested chunk size in bytes. The reply has the size to use."
    )
    profile: str | None = None
    reference: str | None = None


class ChunkUploadOut(ReplyModel):
    upload_id: UUID
    chunk_size: int
    total_chunks: int
    expires_at: datetime
    status: Literal["active"]


class ChunkIn(BaseModel):
    upload_id: UUID
    chunk_index: int = Field(ge=0)
    chunk_data: str = Field(description="Base64, at most 16 MiB decoded. Send larger chunks by PUT.")
    checksum: str | None = Field(None, description="SHA-256 of the chunk, hexadecimal.")


class ChunkOut(ReplyModel):
    upload_id: UUID
    chunk_index: int
    received: Literal[True]
    duplicate: bool = Field(description="Whether the same bytes were received before.")
    progress: UploadProgress


class UploadRef(BaseModel):
    upload_id: UUID


class ChunkUploadCompleted(ReplyModel):
    upload_id: UUID
    status: Literal["completed"]
    file_id: UUID
    filename: str
    size: int
    checksum: str = Field(description="SHA-256 of the whole file, hexadecimal.")
    mime_type: str | None
    file_path: str = Field(description="The URL of the bytes.")


class ChunkUploadAssembling(ReplyModel):
    upload_id: UUID
    status: Literal["assembling"]


class ChunkUploadCancelled(ReplyModel):
    upload_id: UUID
    status: Literal["cancelled"]


#: The reply of both chunk APIs while the digest of the whole is not known yet.
ASSEMBLING = ("The digest of the file is still being computed", ChunkUploadAssembling)


async def _created_again(_: UploadRequest, session: files.UploadSession) -> Reply:
    return protocol.created(layout_of(session))


@endpoints.upload(
    "POST /api/v1/upload/init",
    name="begin_chunks",
    rate=RateClass.CREATE,
    summary="Create an upload in numbered chunks",
    takes_idempotency_key=True,
    answer_again=_created_again,
    body=ChunkUploadIn,
    replies={201: ("The parameters of the upload", ChunkUploadOut)},
)
async def create(upload: UploadRequest) -> Reply:
    return protocol.created(await create_in_chunks(upload, protocol.parse_init, Dialect.CHUNKS))


async def create_in_chunks(
    upload: UploadRequest, parse: Callable[[bytes], CreateInChunks], dialect: Dialect
) -> dict[str, Any]:
    """Create an upload in numbered chunks; return what to send as a ``MediaUploadOut``."""
    principal = upload.principal
    intent = await json_bodies.parse_body(upload.head, upload.body, parse)
    return layout_of(await chunked.create(intent, principal, dialect=dialect, claim=upload.claim))


def layout_of(session: files.UploadSession) -> dict[str, Any]:
    layout = files.chunk_layout(session)
    return protocol.layout_document(session.id, layout.chunk_size, layout.total, session.expires_at)


@endpoints.upload(
    "POST /api/v1/upload/chunk",
    name="send_chunk",
    rate=RateClass.UNLIMITED,
    summary="Send one chunk as base64 in JSON; any order, may be repeated",
    body=ChunkIn,
    replies={200: ("The chunk is received", ChunkOut)},
)
async def receive_json_chunk(upload: UploadRequest) -> Reply:
    """The chunk is held in memory, so its size is bounded; large ones are decoded in a thread."""
    caller = upload.caller
    async with json_bodies.parsed_body(
        upload.head, upload.body, protocol.parse_chunk, protocol.MAX_JSON_CHUNK_BODY, protocol.too_large()
    ) as (intent, data):
        outcome = await chunked.put(intent, caller, BytesInMemory(data), dialect=Dialect.CHUNKS)
    return _received(outcome, intent.index)


@endpoints.upload(
    "PUT /api/v1/upload/{upload_id}/chunks/{index}",
    name="put_chunk",
    rate=RateClass.UNLIMITED,
    summary="Send one chunk as the request body; the faster way",
    parameters=(
        header("Content-Digest", "Digest of this chunk: `sha-256=:BASE64:` (RFC 9530)."),
        header("X-Checksum-SHA256", "The same digest, hexadecimal."),
    ),
    body=Content({"application/octet-stream": BINARY}),
    replies={200: ("The chunk is received", ChunkOut)},
)
async def receive_raw_chunk(upload: UploadRequest) -> Reply:
    intent = protocol.parse_put(upload.head, upload.path["upload_id"], upload.path["index"])
    outcome = await chunked.put(intent, upload.caller, upload.body, dialect=Dialect.CHUNKS)
    return _received(outcome, intent.index)


@endpoints.upload(
    "POST /api/v1/upload/complete",
    name="complete_chunks",
    rate=RateClass.UNLIMITED,
    summary="Complete an upload in chunks and create its file record",
    takes_idempotency_key=True,
    body=UploadRef,
    replies={200: ("The file", ChunkUploadCompleted), 202: ASSEMBLING},
)
async def complete(upload: UploadRequest) -> Reply:
    caller = upload.caller
    upload_id = await json_bodies.parse_body(upload.head, upload.body, protocol.parse_upload_id)
    session = await chunk_completion.complete(upload_id, caller, dialect=Dialect.CHUNKS, request_id=upload.request_id)
    if session.status != files.UploadStatus.COMPLETED:
        return protocol.assembling(upload_id)
    return await in_database(_completed, session)


@endpoints.upload(
    "POST /api/v1/upload/cancel",
    name="cancel_chunks",
    summary="Cancel an upload in chunks",
    body=UploadRef,
    replies={200: ("The upload has ended", ChunkUploadCancelled)},
)
async def cancel(upload: UploadRequest) -> Reply:
    caller = upload.caller
    upload_id = await json_bodies.parse_body(upload.head, upload.body, protocol.parse_upload_id)
    await chunked.cancel(upload_id, caller, dialect=Dialect.CHUNKS)
    return protocol.cancelled(upload_id)


@endpoints.endpoint(
    "GET /api/v1/upload/status/{upload_id}",
    name="read_chunks",
    summary="Status of an upload in chunks: received and missing chunks",
    replies={200: ("The status", UploadStatusOut)},
)
async def status(request: Request) -> Response:
    """Also starts the assembly of an upload that waits for it."""
    upload_id = parse_upload_id(request.path_params["upload_id"])
    principal = principal_of(request)
    document = await in_database(lambda: upload_status(files.get_upload(upload_id, principal)))
    if document["status"] == files.UploadStatus.ASSEMBLING:
        await chunk_completion.complete(upload_id, lambda: principal, dialect=document["protocol"], wait=0)
    return response_of(protocol.status(document))


def _received(outcome: chunked.ChunkOutcome, index: int) -> Reply:
    return protocol.received(outcome.session.id, index, outcome.progress, duplicate=outcome.duplicate)


def _completed(session: files.UploadSession) -> Reply:
    asset = file_of(session)
    return protocol.completed(new_file_record(asset), session.id, asset.checksum or "")
