"""Replies of the receiving calls, also where the client is still sending."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from windlass.protocols.intents import Reply
from windlass.receiving.source import RequestBody

#: How much of a refused body is read and forgotten, and for how long (bytes, seconds), before the connection closes.
#: Closing with unread bytes resets the connection, and the client would never see why it was refused.
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 2.0


class Answer(Response):
    """A reply that may come before the request's body has ended."""

    def __init__(self, response: Response, body: RequestBody, *, expected: bool) -> None:
        self._response = response
        self._body = body
        self._expected = expected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._body.ended:
            await self._response(scope, receive, send)
            return
        self._response.headers["Connection"] = "close"
        if self._expected and self._body.count == 0:
            await self._response(scope, receive, send)  # the client was never invited to send its body
            return
        await self._response(scope, receive, _holding_the_end(send))
        await self._body.drain(DRAIN_BYTES, DRAIN_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _holding_the_end(send: Send) -> Send:
    async def send_open(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await send(message)

    return send_open


def of_reply(reply: Reply) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    return JSONResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))


def of_file(root: str, record: Mapping[str, Any]) -> Response:
    """201 and the record. ``root`` is the path prefix under which this server is reached."""
    return JSONResponse(dict(record), status_code=201, headers={"Location": root + record["links"]["self"]})


def no_reply() -> Response:
    """For a client that is gone: nobody reads this."""
    return Response(status_code=499)
