"""Replies of the receiving calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from windlass.kernel import urls
from windlass.protocols.intents import Reply


def of_reply(reply: Reply) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    return JSONResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))


def of_file(record: Mapping[str, Any]) -> Response:
    """201 and the record. The tag is that of the bytes, where it is known by now: Uppy 5 waits for one after a form
    that it was told to send (http-api section 5)."""
    headers = {"Location": urls.location(f"/files/{record['id']}/"), "ETag": f'"{record["checksum"] or record["id"]}"'}
    return JSONResponse(dict(record), status_code=201, headers=headers)


def no_reply() -> Response:
    """For a client that is gone: nobody reads this."""
    return Response(status_code=499)
