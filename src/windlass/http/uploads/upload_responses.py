"""Make HTTP responses of what the upload protocols reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from windlass.kernel import urls
from windlass.protocols.intents import Reply


def response_of(reply: Reply | Response) -> Response:
    """``reply`` itself, if it is a response already."""
    if isinstance(reply, Response):
        return reply
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    return JSONResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))


def created_file_response(record: Mapping[str, Any]) -> Response:
    """201 and the record. The ETag is that of the bytes once their checksum is known: Uppy 5 waits for an ETag after a
    form that it was told to send (http-api section 5)."""
    headers = {"Location": urls.location(f"/files/{record['id']}/"), "ETag": f'"{record["checksum"] or record["id"]}"'}
    return JSONResponse(dict(record), status_code=201, headers=headers)


def client_gone_response() -> Response:
    """For a client that has disconnected: nobody reads this."""
    return Response(status_code=499)
