"""The media API's calls that carry bytes: chunks in forms, and whole pictures and videos in forms, below
``/api/v1/media/upload/`` (http-api section 4).

``protocols.media`` reads the requests and makes the replies; the models here describe them, and a test compares the
two.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.accounts.api import OWNER
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import json_bodies
from windlass.http.callers import principal_of
from windlass.http.endpoints import BINARY, Content, query
from windlass.http.json_models import ProblemDocument, ReplyModel
from windlass.http.live.wait_for_files import until_processed
from windlass.http.media_records import MediaOut, media_out, refusal_of
from windlass.http.upload_status import is_expired
from windlass.http.uploads.chunk_api import ASSEMBLING, create_in_chunks, layout_of
from windlass.http.uploads.form_events import FormEvents
from windlass.http.uploads.multipart_intake import FormIntake
from windlass.http.uploads.upload_endpoints import UploadEndpoints, response_of
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import BadRequest, InvalidField, Problem, UploadGone
from windlass.protocols import chunks as chunk_protocol
from windlass.protocols import media as protocol
from windlass.protocols.dialects import Dialect
from windlass.protocols.form_fields import FieldCollector, LateFields
from windlass.protocols.form_parser import PartBegan
from windlass.protocols.intents import ChunkProgress, Description, PutChunk, Reply
from windlass.protocols.json_fields import LARGEST, parse_upload_id
from windlass.receiving import chunk_completion, chunked, disk_space
from windlass.receiving.admission import admit
from windlass.receiving.body import ByteSource, SpooledBody
from windlass.receiving.session import find_session
from windlass.receiving.single import SingleRequestUpload
from windlass.resilience.rate_limits.policies import RateClass
from windlass.storage.registry import store

#: Bytes of the one file that ``/simple`` accepts, and files that ``/images`` accepts.
MAX_SIMPLE_SIZE = 50 * 1024 * 1024
MAX_IMAGES = 10

endpoints = UploadEndpoints("Media", OWNER, Dialect.MEDIA)


class MediaUploadIn(BaseModel):
    file_name: str
    file_size: int = Field(ge=0)
    content_type: str
    chunk_size: int | None = Field(None, ge=1)
    post_id: str | None = None
    media_type: Literal["video", "image"] | None = None


class MediaUploadOut(ReplyModel):
    upload_id: UUID
    chunk_size: int
    total_chunks: int
    expires_at: datetime


class MediaChunkOut(ReplyModel):
    upload_id: UUID
    chunk_index: int
    status: Literal["received", "completed"]
    progress: float = Field(description="0 to 100.")
    next_chunk: int | None


class MediaUploadStatus(ReplyModel):
    upload_id: UUID
    status: Literal["active", "assembling", "completed", "failed", "cancelled", "expired"]
    progress: float
    received_chunks: list[int]
    missing_chunks: list[int]
    next_chunk: int | None
    total_chunks: int


class FinalizeIn(BaseModel):
    post_id: str | None = None
    media_type: Literal["video", "image"] | None = None


class MediaError(BaseModel):
    error: ProblemDocument


_TEXT = {"type": "string"}
_DESCRIPTION_IN_QUERY = (
    query("post_id", "Used if the form has no such field."),
    query("media_type", "Used if the form has no such field."),
)


def _form(required: Sequence[str], **properties: Any) -> Content:
    return Content({"multipart/form-data": {"type": "object", "required": list(required), "properties": properties}})


async def _created_again(_: UploadRequest, session: files.UploadSession) -> Reply:
    return Reply(200, body=layout_of(session))


@endpoints.upload(
    "POST /api/v1/media/upload/init",
    name="begin_media",
    rate=RateClass.CREATE,
    summary="Create an upload of an image or video in numbered chunks",
    takes_idempotency_key=True,
    answer_again=_created_again,
    body=MediaUploadIn,
    replies={200: ("The parameters of the upload", MediaUploadOut)},
)
async def create(upload: UploadRequest) -> Reply:
    return Reply(200, body=await create_in_chunks(upload, protocol.parse_init, Dialect.MEDIA))


@endpoints.upload(
    "POST /api/v1/media/upload/chunk",
    name="send_media_chunk",
    rate=RateClass.UNLIMITED,
    summary="Send one chunk in a form; streamed if `upload_id` and `chunk_index` precede it",
    parameters=(
        query("upload_id", "Used if the form has no such field."),
        query("chunk_index", "Used if the form has no such field.", "integer"),
    ),
    body=_form(["upload_id", "chunk_index", "chunk"], upload_id=_TEXT, chunk_index={"type": "integer"}, chunk=BINARY),
    replies={200: ("The chunk is received", MediaChunkOut)},
)
async def receive_chunk(upload: UploadRequest) -> Reply:
    form = _ChunkForm(upload)
    try:
        intent, outcome = await form.receive()
    finally:
        await asyncio.shield(form.close())
    next_chunk = await in_database(chunked.first_missing, outcome.session.id, outcome.progress.total_chunks)
    return protocol.received(outcome.session.id, intent.index, outcome.progress, next_chunk)


@endpoints.endpoint(
    "GET /api/v1/media/upload/{upload_id}/status",
    name="read_media_upload",
    summary="Status of a media upload: received chunks and the next one",
    replies={200: ("The status", MediaUploadStatus)},
)
async def status(request: Request) -> Response:
    """Also starts the assembly of an upload that waits for it."""
    upload_id = parse_upload_id(request.path_params["upload_id"])
    principal = principal_of(request)
    state, progress = await in_database(_status, upload_id, principal)
    if state == files.UploadStatus.ASSEMBLING:
        await chunk_completion.complete(upload_id, lambda: principal, dialect=Dialect.MEDIA, wait=0)
    return response_of(protocol.status(upload_id, state, progress))


@endpoints.upload(
    "POST /api/v1/media/upload/{upload_id}/finalize",
    name="finalize_media",
    rate=RateClass.UNLIMITED,
    summary="Complete a media upload, and wait for its facts and thumbnail",
    takes_idempotency_key=True,
    body=FinalizeIn,
    replies={200: ("The image or video", MediaOut), 202: ASSEMBLING},
)
async def finalize(upload: UploadRequest) -> Response | Reply:
    caller = upload.caller
    upload_id = parse_upload_id(upload.path["upload_id"])
    described = await json_bodies.parse_body(upload.head, upload.body, protocol.parse_finalize)
    session = await chunk_completion.complete(
        upload_id, caller, dialect=Dialect.MEDIA, described=described, request_id=upload.request_id
    )
    if session.file_id is None:
        return chunk_protocol.assembling(upload_id)
    return await _media_response(session.file_id)


@endpoints.endpoint(
    "DELETE /api/v1/media/upload/{upload_id}",
    name="cancel_media_upload",
    summary="Cancel a media upload",
    replies={204: ("The upload has ended", None)},
)
async def cancel(request: Request) -> Response:
    upload_id = parse_upload_id(request.path_params["upload_id"])
    principal = principal_of(request)
    await chunked.cancel(upload_id, lambda: principal, dialect=Dialect.MEDIA)
    return Response(status_code=204)


@endpoints.upload(
    "POST /api/v1/media/upload/simple",
    name="send_media",
    rate=RateClass.CREATE,
    summary="Upload one image or video of at most 50 MB, and wait for its facts and thumbnail",
    takes_idempotency_key=True,
    parameters=_DESCRIPTION_IN_QUERY,
    body=_form(["file"], file=BINARY, post_id=_TEXT, media_type={"type": "string", "enum": ["video", "image"]}),
    replies={200: ("The image or video", MediaOut)},
)
async def receive_one(upload: UploadRequest) -> Response:
    form = _OneMediaForm(upload, max_files=1, max_size=MAX_SIMPLE_SIZE)
    await form.receive()
    await until_processed(form.file_ids, conf.get().media_wait_seconds)
    return await in_database(form.first_answer)


@endpoints.upload(
    "POST /api/v1/media/upload/images",
    name="send_images",
    rate=RateClass.CREATE,
    summary="Upload up to ten images; a refused one does not affect the others",
    takes_idempotency_key=True,
    parameters=_DESCRIPTION_IN_QUERY,
    body=_form(["images"], images={"type": "array", "items": BINARY}, post_id=_TEXT),
    replies={200: ("One entry for each image, in the order of the form", list[MediaOut | MediaError])},
)
async def receive_images(upload: UploadRequest) -> Response:
    form = _ImagesForm(upload, max_files=MAX_IMAGES, kind="image", part_name="images")
    await form.receive()
    await until_processed(form.file_ids, conf.get().media_wait_seconds)
    return await in_database(form.first_answer)


class _ChunkForm:
    """A form with one chunk. The chunk is streamed to its place if ``upload_id`` and ``chunk_index`` precede it in the
    form or stand in the query, else it waits in a temporary file until the form has ended."""

    def __init__(self, upload: UploadRequest) -> None:
        self._upload = upload
        # The limit of the chunk is known once its session is found.
        self._events = FormEvents(upload.head, upload.body, LARGEST)
        self._fields = FieldCollector()
        self._spool: SpooledBody | None = None

    async def receive(self) -> tuple[PutChunk, chunked.ChunkOutcome]:
        stored: tuple[PutChunk, chunked.ChunkOutcome] | None = None
        while (event := await self._events.next()) is not None:
            if not (isinstance(event, PartBegan) and event.name == "chunk"):
                self._fields.take(event)
            elif stored is not None or self._spool is not None:
                raise BadRequest("The form has more than one chunk.")
            elif self._values().keys() >= {"upload_id", "chunk_index"}:
                stored = await self._store(self._events)
            else:
                await self._spool_chunk()
        if self._spool is not None:
            stored = await self._store(self._spool)
        if stored is None:
            raise InvalidField("The form has no part called chunk.", field="chunk")
        return stored

    async def close(self) -> None:
        if self._spool is not None:
            await self._spool.close()

    def _values(self) -> dict[str, str]:
        return {**self._upload.head.query, **self._fields.values}

    async def _spool_chunk(self) -> None:
        await self._upload.principal_of_form(self._fields.values)
        profile = files.profile(protocol.PROFILE)
        await disk_space.require_free_space(profile.store)
        self._spool = SpooledBody()
        await self._spool.fill(self._events, store(profile.store).capabilities.max_chunk_size)

    async def _store(self, source: ByteSource) -> tuple[PutChunk, chunked.ChunkOutcome]:
        principal = await self._upload.principal_of_form(self._fields.values)
        intent = protocol.parse_chunk(self._values())
        return intent, await chunked.put(intent, lambda: principal, source, dialect=Dialect.MEDIA)


class _MediaForm(FormIntake):
    """A form of pictures and videos, at most ``max_files``, of one ``kind`` if that is given."""

    def __init__(
        self,
        upload: UploadRequest,
        *,
        max_files: int,
        kind: str | None = None,
        max_size: int | None = None,
        part_name: str = "file",
    ) -> None:
        super().__init__(upload, FieldCollector(), LARGEST)  # each file has a limit of its own
        self._max_files = max_files
        self._kind = kind
        self._max_size = max_size
        self._part_name = part_name

    def describe(self, part: PartBegan) -> Description:
        if len(self.received) == self._max_files:
            raise InvalidField(f"At most {self._max_files} files may be sent here.", limit=self._max_files)
        return protocol.describe(self._values(), part.filename, part.content_type)

    def admit(self, description: Description, principal: Principal) -> files.NewUpload:
        new = admit(description, None, principal, Dialect.FORM, max_size=self._max_size)
        return replace(new, claim=self.upload.claim)

    def concerns_form(self, error: Exception) -> bool:
        return isinstance(error, BadRequest)

    def check_form(self) -> None:
        if not self.received:
            raise InvalidField(f"The form has no file called {self._part_name}.", field=self._part_name)
        protocol.metadata(self._values())  # a field that followed the files

    def late_fields(self, upload: SingleRequestUpload) -> LateFields:
        description = protocol.describe(self._values(), upload.new.filename, None)
        return LateFields(description.reference, None, description.metadata)

    @property
    def file_ids(self) -> list[UUID]:
        return [UUID(item.record["id"]) for item in self.received if item.record is not None]

    def results(self) -> list[dict[str, Any] | Problem]:
        """The ``MediaOut`` or the refusal of each file, as it is now. Blocks on the database."""
        return [item.problem or _result(UUID((item.record or {})["id"])) for item in self.received]

    def _values(self) -> Mapping[str, Any]:
        """The fields that may stand anywhere in the form, or in the query."""
        form, in_query = self.fields.values, self.upload.head.query
        values = {name: form.get(name) or in_query.get(name) for name in ("post_id", "media_type")}
        return values | ({"media_type": self._kind} if self._kind else {})


class _OneMediaForm(_MediaForm):
    def first_answer(self) -> Response:
        (result,) = self.results()
        if isinstance(result, Problem):
            raise result
        return JSONResponse(result)


class _ImagesForm(_MediaForm):
    def first_answer(self) -> Response:
        entries = [self._entry(result) for result in self.results()]
        if all("error" in entry for entry in entries):
            raise InvalidField("None of the images was taken.", errors=[entry["error"] for entry in entries])
        return JSONResponse(entries)

    def _entry(self, result: dict[str, Any] | Problem) -> dict[str, Any]:
        if isinstance(result, Problem):
            return {"error": result.document(self.upload.request.url.path, self.upload.request_id)}
        return result


async def _media_response(file_id: uuid.UUID) -> Response:
    """The ``MediaOut`` of the file, once it is known or MEDIA_WAIT_SECONDS have passed. Raises its refusal."""
    await until_processed([file_id], conf.get().media_wait_seconds)
    result = await in_database(_result, file_id)
    if isinstance(result, Problem):
        raise result
    return JSONResponse(result)


def _result(file_id: uuid.UUID) -> dict[str, Any] | Problem:
    asset = files.load_file(file_id)
    if asset is None:
        return UploadGone("This file has been deleted since it came in.")
    return refusal_of(asset) or media_out(asset)


def _status(upload_id: uuid.UUID, principal: Principal) -> tuple[str, ChunkProgress]:
    session = find_session(upload_id, lambda: principal, Dialect.MEDIA)
    state = files.UploadStatus.EXPIRED if is_expired(session) else session.status
    return str(state), chunked.progress_of(upload_id)
