"""Server-Sent Events: what happens to a file, an upload, or all that is the caller's (http-api section 6).

WebSockets tell the same from the same follower; they join ``routes``.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from django.db import DatabaseError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from windlass.accounts.api import OWNER
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database
from windlass.files.api import get_file, get_upload
from windlass.http.credential_watch import until_revoked
from windlass.http.endpoints import endpoint, principal_of
from windlass.http.live.journal_follower import Subscriber, follower
from windlass.http.live.progress import Topic
from windlass.kernel.errors import NotFound
from windlass.kernel.ids import parse_id

RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0
#: How long a revoked stream waits for its client to take the end.
CLOSE_SECONDS = 1.0

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until a buffer is full
}


class EventStream(StreamingResponse):
    """A stream that leaves the follower when its client does, and ends when the credential that opened it does."""

    def __init__(self, frames: AsyncGenerator[str, None], revoked: Callable[[], Awaitable[None]]) -> None:
        super().__init__(frames, headers=_HEADERS)
        self.frames = frames
        self.revoked = revoked

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.frames):
            sending = asyncio.ensure_future(super().stream_response(send))
            revoked = asyncio.ensure_future(self.revoked())
            try:
                await asyncio.wait({sending, revoked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # A client that reads nothing holds ``sending`` for long, so that it is cancelled, not asked to end.
                revoked.cancel()
                was_sent = not sending.cancel()
                await asyncio.wait({sending, revoked})
        if was_sent and not _database_went_away(sending):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _database_went_away(sending: asyncio.Future[None]) -> bool:
    """The stream has begun, so it ends; its client comes back with Last-Event-ID. Raises any other error."""
    try:
        sending.result()
    except DatabaseError as error:
        if not is_outage(error):
            raise
        log_outage(error)
        return True
    return False


async def file_events(request: Request) -> Response:
    asset = await in_database(get_file, _id(request, "file_id"), principal_of(request))
    return _stream(request, Topic(file_id=asset.id), beginning=0)


async def upload_events(request: Request) -> Response:
    session = await in_database(get_upload, _id(request, "upload_id"), principal_of(request))
    return _stream(request, Topic(upload_id=session.id), beginning=0)


async def all_events(request: Request) -> Response:
    principal = principal_of(request)
    return _stream(request, Topic(owner=None if principal.staff else principal.owner), beginning=None)


async def shut_down() -> None:
    """End every stream of this loop. Call it before waiting for connections to close: streams end by nothing else."""
    follower().close()


def _stream(request: Request, topic: Topic, *, beginning: int | None) -> Response:
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    seen = _last_event_id(request)
    return EventStream(
        _frames(topic, beginning if seen is None else seen), partial(until_revoked, request.scope, OWNER)
    )


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
    """The field's number; anything else is no number of ours and means that none was given. Libraries that stand in for
    a browser's EventSource say it in the query."""
    given = request.headers.get("Last-Event-ID") or request.query_params.get("lastEventId", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def _id(request: Request, name: str) -> uuid.UUID:
    found = parse_id(request.path_params[name])
    if found is None:
        raise NotFound(f"There is nothing called {request.path_params[name]}.")
    return found


routes = [
    Route("/files/{file_id}/events", endpoint(file_events, OWNER), methods=["GET"]),
    Route("/uploads/{upload_id}/events", endpoint(upload_events, OWNER), methods=["GET"]),
    Route("/events", endpoint(all_events, OWNER), methods=["GET"]),
]
