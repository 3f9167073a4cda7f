"""Bytes in: every upload dialect, each a translation between HTTP and the receiving core."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from windlass.accounts.api import CONTINUE_UPLOAD, CREATE_UPLOAD, PUBLIC
from windlass.http.endpoints import endpoint
from windlass.http.request_head import effective_method, path_of_put
from windlass.http.uploads import chunk_api as chunks
from windlass.http.uploads import direct_uploads as straight
from windlass.http.uploads import forms, resumable
from windlass.http.uploads import ietf as rufh_calls
from windlass.http.uploads import media_api as media
from windlass.http.uploads import raw_body as whole
from windlass.http.uploads import tus as tus_calls
from windlass.http.uploads.upload_request import Incoming, receiving
from windlass.protocols.dialects import Dialect, recognise_dialect

__all__ = ["effective_method", "path_of_put", "routes"]


async def _create(incoming: Incoming) -> Response:
    """A new file, in whatever dialect the client speaks."""
    match recognise_dialect(incoming.head):
        case Dialect.TUS:
            return await tus_calls.create(incoming)
        case Dialect.IETF:
            return await rufh_calls.create(incoming)
        case Dialect.FORM:
            return await forms.take(incoming)
        case Dialect.RAW:
            return await whole.take(incoming)


routes = [
    Route("/files", receiving(_create, CREATE_UPLOAD), methods=["POST", "PUT"]),
    Route("/files", receiving(resumable.discover, PUBLIC), methods=["OPTIONS"]),
    Route("/files/batch", receiving(forms.take_batch, CREATE_UPLOAD), methods=["POST"]),
    Route("/files/{name}", receiving(_create, CREATE_UPLOAD), methods=["PUT"]),
    Route("/uploads/{id}", receiving(resumable.operate, CONTINUE_UPLOAD), methods=["PATCH", "DELETE", "HEAD"]),
    Route("/uploads/{id}", receiving(resumable.discover, PUBLIC), methods=["OPTIONS"]),
    Route("/uploads/{id}", endpoint(resumable.show, CONTINUE_UPLOAD), methods=["GET"]),
]
# Starlette answers HEAD wherever GET is; here HEAD asks how far an upload is.
routes[-1].methods = {"GET"}
routes += [*chunks.routes, *media.routes, *straight.routes]
