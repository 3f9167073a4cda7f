"""Server-Sent Events: what happens to a file, an upload, or all that is the caller's (http-api section 6).

WebSockets tell the same from the same follower; they join ``routes``.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from django.db import DatabaseError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from windlass.database.outage import is_away, note
from windlass.files.api import assets, uploads
from windlass.http.endpoints import endpoint, principal_of
from windlass.http.follower import Subscriber, follower
from windlass.http.progress import Topic
from windlass.kernel.errors import NotFound
from windlass.kernel.ids import parse_id
from windlass.receiving.offload import in_database

RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until a buffer is full
}


class EventStream(StreamingResponse):
    """A stream that leaves the follower the moment its client does."""

    def __init__(self, frames: AsyncGenerator[str, None]) -> None:
        super().__init__(frames, headers=_HEADERS)
        self.frames = frames

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.frames):
            try:
                await super().stream_response(send)
            except DatabaseError as error:
                # The stream has begun, so it ends; its client comes back with Last-Event-ID.
                if not is_away(error):
                    raise
                note(error)
                await send({"type": "http.response.body", "body": b"", "more_body": False})


@endpoint
async def file_events(request: Request) -> Response:
    asset = await in_database(assets.get, _id(request, "file_id"), await principal_of(request))
    return _stream(request, Topic(file_id=asset.id), beginning=0)


@endpoint
async def upload_events(request: Request) -> Response:
    session = await in_database(uploads.get, _id(request, "upload_id"), await principal_of(request))
    return _stream(request, Topic(upload_id=session.id), beginning=0)


@endpoint
async def all_events(request: Request) -> Response:
    principal = await principal_of(request)
    return _stream(request, Topic(owner=None if principal.staff else principal.owner), beginning=None)


async def shut_down() -> None:
    """End every stream of this loop. Call it before waiting for connections to close: streams end by nothing else."""
    follower().close()


def _stream(request: Request, topic: Topic, *, beginning: int | None) -> Response:
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    seen = _last_event_id(request)
    return EventStream(_frames(topic, beginning if seen is None else seen))


async def _frames(topic: Topic, since: int | None) -> AsyncGenerator[str, None]:
    shared = follower()
    async with shared.following(topic, since) as subscriber:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        while not shared.closed:
            told = await subscriber.next()
            if told:
                yield "".join(_frame(event) for event in told)
            elif not await _woken(subscriber):
                yield ": still here\n\n"


def _frame(event: dict[str, Any]) -> str:
    """Unnamed, so that ``onmessage`` hears it. Progress has no number: it is not there to be resumed after."""
    number = "" if event["id"] is None else f"id: {event['id']}\n"
    return f"{number}data: {json.dumps(event, separators=(',', ':'))}\n\n"


async def _woken(subscriber: Subscriber) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await subscriber.wake.wait()
    return False


def _last_event_id(request: Request) -> int | None:
    """The field's number; anything else is no number of ours and means that none was given."""
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def _id(request: Request, name: str) -> uuid.UUID:
    found = parse_id(request.path_params[name])
    if found is None:
        raise NotFound(f"There is nothing called {request.path_params[name]}.")
    return found


routes = [
    Route("/files/{file_id}/events", file_events, methods=["GET"]),
    Route("/uploads/{upload_id}/events", upload_events, methods=["GET"]),
    Route("/events", all_events, methods=["GET"]),
]
