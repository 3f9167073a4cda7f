"""Uploads that are one request with one file: the body is the bytes."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from windlass.http import file_records as records
from windlass.http.uploads.upload_request import Incoming
from windlass.http.uploads.upload_responses import of_file
from windlass.protocols import raw
from windlass.protocols.dialects import Dialect
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload


async def take(incoming: Incoming) -> Response:
    """POST /files, PUT /files/{name}: the raw body."""
    intent = raw.parse(incoming.head, incoming.request.path_params.get("name"))
    principal = incoming.principal
    upload = SingleRequestUpload(admit(intent.description, intent.size, principal, Dialect.RAW))
    try:
        await upload.receive(incoming.body)
        record = await upload.finish(incoming.request_id, records.new_file_record)
    except BaseException:
        await asyncio.shield(upload.discard())
        raise
    return of_file(record)
