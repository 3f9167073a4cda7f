"""Server-Sent Events of a file, of an upload, or of everything that the caller may read (http-api section 6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

from django.db import DatabaseError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from windlass.accounts.api import LIVE
from windlass.database.outage import is_outage, log_outage
from windlass.http.callers import PRINCIPAL, principal_of
from windlass.http.endpoints import ByteEndpoints, Content, header, query
from windlass.http.live.credential_watch import credential_watch
from windlass.http.live.journal_follower import Subscriber, follower
from windlass.http.live.reader_limit import counted_reader, require_room
from windlass.http.live.topic_access import everything_of, topic_of
from windlass.http.live.topics import Topic
from windlass.http.request_record import record_of

RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0
#: Seconds that a revoked stream waits for its client to take the end of the reply.
CLOSE_SECONDS = 1.0

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until a buffer is full
}

endpoints = ByteEndpoints("Live", LIVE)


def _stream(path: str, name: str, summary: str) -> Callable[[Any], Any]:
    """Declare the decorated handler as a stream of events."""
    return endpoints.endpoint(
        f"GET {path}",
        name=name,
        summary=summary,
        parameters=(
            header("Last-Event-ID", "Id of the last event seen; the stream continues after it.", "integer"),
            query("lastEventId", "The same, for clients that cannot send the header.", "integer"),
        ),
        replies={
            200: ("Server-Sent Events; the stream stays open", Content({"text/event-stream": {"type": "string"}}))
        },
    )


@_stream("/files/{file_id}/events", "follow_file", "Events of a file from its first one on, as Server-Sent Events")
async def file_events(request: Request) -> Response:
    topic = await topic_of("file", request.path_params["file_id"], principal_of(request))
    return _respond(request, topic, since=0)


@_stream(
    "/uploads/{upload_id}/events",
    "follow_upload",
    "Events of an upload from its first one on, as Server-Sent Events",
)
async def upload_events(request: Request) -> Response:
    topic = await topic_of("upload", request.path_params["upload_id"], principal_of(request))
    return _respond(request, topic, since=0)


@_stream("/events", "follow_all", "Events of what the caller may read, from now on, as Server-Sent Events")
async def all_events(request: Request) -> Response:
    return _respond(request, everything_of(principal_of(request)), since=None)


async def shut_down() -> None:
    """End every stream of this loop, which does not end otherwise. Call it before waiting for connections to close."""
    follower().close()


class EventStream(StreamingResponse):
    """A stream that unsubscribes when its client disconnects, and ends when its credential does."""

    def __init__(self, frames: AsyncGenerator[str, None]) -> None:
        super().__init__(frames, headers=_HEADERS)
        self.frames = frames
        self.revoked = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).kind = "live"
        with counted_reader("sse", scope[PRINCIPAL]), credential_watch().watching(scope) as self.revoked:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.frames):
            sending = asyncio.ensure_future(super().stream_response(send))
            revoked = asyncio.ensure_future(self.revoked.wait())
            try:
                await asyncio.wait({sending, revoked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # ``sending`` may wait for long for a client that reads nothing, so it is cancelled, not asked to end.
                revoked.cancel()
                was_sent = not sending.cancel()
                await asyncio.wait({sending, revoked})
        if was_sent and not _ended_by_outage(sending):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _ended_by_outage(sending: asyncio.Future[None]) -> bool:
    """Whether the database went away. The stream then ends, and its client resumes with Last-Event-ID. Raises any other
    error."""
    try:
        sending.result()
    except DatabaseError as error:
        if not is_outage(error):
            raise
        log_outage(error)
        return True
    return False


def _respond(request: Request, topic: Topic, *, since: int | None) -> Response:
    """Stream the events after Last-Event-ID, or after ``since`` where the request names none."""
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    require_room(principal_of(request))
    last = _last_event_id(request)
    return EventStream(_frames(topic, since if last is None else last))


async def _frames(topic: Topic, since: int | None) -> AsyncGenerator[str, None]:
    shared = follower()
    async with shared.following(topic, since) as subscriber:
        # The number is no event: a browser resumes after it where the connection breaks before the first event.
        yield f"retry: {RETRY_MILLISECONDS}\nid: {subscriber.position}\n\n"
        while not shared.closed:
            subscriber.wake.clear()
            documents = await subscriber.next()
            if documents:
                yield "".join(_frame(document) for document in documents)
            elif not await _woken(subscriber):
                yield ": still here\n\n"


def _frame(document: dict[str, Any]) -> str:
    """A frame without a name, which ``onmessage`` receives. Progress has no id: a stream cannot be resumed after it."""
    number = "" if document["id"] is None else f"id: {document['id']}\n"
    return f"{number}data: {json.dumps(document, separators=(',', ':'))}\n\n"


async def _woken(subscriber: Subscriber) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await subscriber.wake.wait()
    return False


def _last_event_id(request: Request) -> int | None:
    """The number in Last-Event-ID, or in the query, where libraries that imitate EventSource put it. None for anything
    that is not such a number."""
    number = request.headers.get("Last-Event-ID") or request.query_params.get("lastEventId", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None
