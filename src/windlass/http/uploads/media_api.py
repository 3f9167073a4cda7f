"""The media API's calls that bring bytes: ``/api/v1/media/upload/`` (http-api section 4)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from windlass import conf
from windlass.accounts.api import OWNER
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http import file_records as records
from windlass.http import media_records
from windlass.http.endpoints import endpoint, principal_of
from windlass.http.live.wait_for_files import until_shown
from windlass.http.uploads import json_bodies
from windlass.http.uploads.form_events import FormEvents
from windlass.http.uploads.media_forms import MediaForm, shown
from windlass.http.uploads.upload_request import Incoming, receiving
from windlass.http.uploads.upload_responses import of_reply
from windlass.kernel.errors import BadRequest, InvalidField, Problem, UploadGone
from windlass.kernel.principals import Principal
from windlass.protocols import chunks as chunk_dialect
from windlass.protocols import heads
from windlass.protocols import media as dialect
from windlass.protocols.dialects import Dialect, require_whole_body
from windlass.protocols.form import FieldCollector, FormParser, PartBegan
from windlass.protocols.intents import ChunkProgress, PutChunk
from windlass.protocols.json_fields import LARGEST, parse_upload_id
from windlass.receiving import chunk_completion, chunked, disk_space
from windlass.receiving.body import ByteSource, SpooledBody
from windlass.receiving.session import find_session
from windlass.storage.registry import store


async def init(incoming: Incoming) -> Response:
    principal = incoming.principal
    intent = dialect.parse_init(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    session = await chunked.create(intent, principal, dialect=Dialect.MEDIA)
    layout = files.chunk_layout(session)
    return of_reply(dialect.created(session.id, layout.chunk_size, layout.total, session.expires_at))


async def take_chunk(incoming: Incoming) -> Response:
    """A form with ``upload_id``, ``chunk_index`` and ``chunk``, which is streamed to its place where the others stand
    before it or in the query."""
    require_whole_body(incoming.head)
    heads.refuse_content_encoding(incoming.head)
    form = _ChunkForm(incoming)
    try:
        intent, outcome = await form.take()
    finally:
        await asyncio.shield(form.close())
    following = await in_database(chunked.first_missing, outcome.session.id, outcome.progress.total_chunks)
    return of_reply(dialect.received(outcome.session.id, intent.index, outcome.progress, following))


class _ChunkForm:
    """One form with one chunk."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._query = dict(incoming.head.query)
        self._events = FormEvents(incoming.body, FormParser(incoming.head.headers.get("content-type", "")))
        self._events.limit = LARGEST  # what the chunk may have is known once it is found
        self._fields = FieldCollector()
        self._spool: SpooledBody | None = None

    async def take(self) -> tuple[PutChunk, chunked.ChunkOutcome]:
        taken: tuple[PutChunk, chunked.ChunkOutcome] | None = None
        while (event := await self._events.next()) is not None:
            if not (isinstance(event, PartBegan) and event.name == "chunk"):
                self._fields.take(event)
            elif taken is not None or self._spool is not None:
                raise BadRequest("The form has more than one chunk.")
            elif self._said().keys() >= _NAMING:
                taken = await self._put(self._events)
            else:
                await self._keep_until_it_is_known()
        if self._spool is not None:
            taken = await self._put(self._spool)
        if taken is None:
            raise InvalidField("The form has no part called chunk.", field="chunk")
        return taken

    async def close(self) -> None:
        if self._spool is not None:
            await self._spool.close()

    def _said(self) -> dict[str, str]:
        return self._query | self._fields.values

    async def _keep_until_it_is_known(self) -> None:
        await self._incoming.principal_of_form(self._fields.values)
        profile = files.profile(dialect.PROFILE)
        await disk_space.require_free_space(profile.store)
        self._spool = SpooledBody()
        await self._spool.fill(self._events, store(profile.store).capabilities.max_chunk_size)

    async def _put(self, source: ByteSource) -> tuple[PutChunk, chunked.ChunkOutcome]:
        principal = await self._incoming.principal_of_form(self._fields.values)
        intent = dialect.parse_chunk(self._said())
        return intent, await chunked.put(intent, lambda: principal, source, dialect=Dialect.MEDIA)


async def status(request: Request) -> Response:
    """Of an upload that is being assembled it also sees to it that somebody does so."""
    upload_id = parse_upload_id(request.path_params["id"])
    principal = principal_of(request)
    state, progress = await in_database(_status, upload_id, principal)
    if state == files.UploadStatus.ASSEMBLING:
        await chunk_completion.complete(upload_id, lambda: principal, dialect=Dialect.MEDIA, wait=0)
    return of_reply(dialect.status(upload_id, state, progress))


async def finalize(incoming: Incoming) -> Response:
    """The chunks become a file; the reply waits for what becomes of it."""
    principal = incoming.principal
    upload_id = parse_upload_id(incoming.request.path_params["id"])
    said = dialect.parse_finalize(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    session = await chunk_completion.complete(
        upload_id, lambda: principal, dialect=Dialect.MEDIA, described=said, request_id=incoming.request_id
    )
    if session.file_id is None:
        return of_reply(chunk_dialect.assembling(upload_id))
    return JSONResponse(await _one([session.file_id]))


async def cancel(request: Request) -> Response:
    upload_id = parse_upload_id(request.path_params["id"])
    principal = principal_of(request)
    await chunked.cancel(upload_id, lambda: principal, dialect=Dialect.MEDIA)
    return Response(status_code=204)


async def simple(incoming: Incoming) -> Response:
    """One file in one form."""
    form = MediaForm(incoming, most=1, max_size=SIMPLE_SIZE)
    made = await form.take()
    if isinstance(made[0], Problem):
        raise made[0]
    return JSONResponse(await _one([made[0]]))


async def images(incoming: Incoming) -> Response:
    """Up to ten pictures in one form, each for itself."""
    form = MediaForm(incoming, most=MOST_IMAGES, kind="image", name="images")
    made = await form.take()
    told = iter(await _results([each for each in made if not isinstance(each, Problem)]))
    found = [each if isinstance(each, Problem) else next(told) for each in made]
    listed = [shown(each, incoming) for each in found]
    if all(isinstance(each, Problem) for each in found):
        raise InvalidField("None of the images was taken.", errors=[each["error"] for each in listed])
    return JSONResponse(listed)


async def _one(file_ids: Sequence[uuid.UUID]) -> dict[str, Any]:
    (found,) = await _results(file_ids)
    if isinstance(found, Problem):
        raise found
    return found


async def _results(file_ids: Sequence[uuid.UUID]) -> list[dict[str, Any] | Problem]:
    """What has become of these files, in this order, once it is known or has been waited for long enough."""
    await until_shown(file_ids, conf.get().media_wait_seconds)
    return [await in_database(_result, file_id) for file_id in file_ids]


def _result(file_id: uuid.UUID) -> dict[str, Any] | Problem:
    asset = files.assets.load(file_id)
    if asset is None:
        return UploadGone("This file has been deleted since it came in.")
    return media_records.refusal(asset) or media_records.media_out(asset)


def _status(upload_id: uuid.UUID, principal: Principal) -> tuple[str, ChunkProgress]:
    session = find_session(upload_id, lambda: principal, Dialect.MEDIA)
    state = files.UploadStatus.EXPIRED if records.is_expired(session) else session.status
    return str(state), chunked.progress_of(upload_id)


#: What says where a chunk belongs.
_NAMING = frozenset({"upload_id", "chunk_index"})

#: What ``simple`` takes at most (bytes), and ``images`` (files).
SIMPLE_SIZE = 50 * 1024 * 1024
MOST_IMAGES = 10

routes = [
    Route("/api/v1/media/upload/init", receiving(init, OWNER), methods=["POST"]),
    Route("/api/v1/media/upload/chunk", receiving(take_chunk, OWNER), methods=["POST"]),
    Route("/api/v1/media/upload/simple", receiving(simple, OWNER), methods=["POST"]),
    Route("/api/v1/media/upload/images", receiving(images, OWNER), methods=["POST"]),
    Route("/api/v1/media/upload/{id}/status", endpoint(status, OWNER), methods=["GET"]),
    Route("/api/v1/media/upload/{id}/finalize", receiving(finalize, OWNER), methods=["POST"]),
    Route("/api/v1/media/upload/{id}", endpoint(cancel, OWNER), methods=["DELETE"]),
]
