"""``POST /files`` and ``PUT /files/{name}``: a new file, in the protocol that the client speaks."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from windlass.accounts.api import CREATE_UPLOAD
from windlass.http.endpoints import BINARY, Content, header, query
from windlass.http.file_records import FileRecord, new_file_record
from windlass.http.uploads import file_forms, resumable
from windlass.http.uploads.upload_request import UploadEndpoints, UploadRequest, created_file_response
from windlass.protocols import raw
from windlass.protocols.dialects import Dialect, recognise_dialect
from windlass.protocols.intents import Reply
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload

endpoints = UploadEndpoints("Files", CREATE_UPLOAD)


def _put(path: str, name: str, summary: str) -> None:
    """Declare a PUT of the file's bytes."""
    endpoints.upload(
        f"PUT {path}",
        name=name,
        summary=summary,
        parameters=(query("filename", "Where the path has no name."), *file_forms.FIELDS_IN_QUERY),
        body=Content({"application/octet-stream": BINARY, "*/*": BINARY}),
        replies={201: ("The record of the file", FileRecord)},
    )(create_file)


@endpoints.upload(
    "POST /files",
    name="create_file",
    summary="Take a new file, in whatever dialect the client speaks",
    description=(
        "`Tus-Resumable` creates a tus upload, `Upload-Complete` one of the IETF's; "
        "multipart/form-data is a browser's form; any other body is the bytes themselves."
    ),
    parameters=(
        query("filename", "Of a raw body; or in Content-Disposition."),
        *file_forms.FIELDS_IN_QUERY,
        header("Tus-Resumable", "Makes this a tus creation."),
        header("Upload-Complete", "Makes this a resumable upload of the IETF: `?1` with the whole file, else `?0`."),
        header("Upload-Length", "Size of a resumable upload, in bytes.", "integer"),
        header("Upload-Defer-Length", "`1`: the size of a tus upload is said later."),
        header("Upload-Metadata", "Of a resumable upload: `key base64`, separated by commas."),
        header("Upload-Concat", "`partial`, or `final;` and the URLs of the parts, separated by spaces."),
        header("Upload-Checksum", "Of this body, in tus: an algorithm and the digest in base64."),
        header("Content-Digest", "Of this body, in the IETF's protocol (RFC 9530)."),
        header("Repr-Digest", "Of the whole file, in the IETF's protocol (RFC 9530)."),
        header("Upload-Draft-Interop-Version", "Of the IETF's draft.", "integer"),
    ),
    body=Content({"multipart/form-data": file_forms.FORM, "application/octet-stream": BINARY, "*/*": BINARY}),
    replies={
        201: (
            "The record of the file; for a resumable upload `Location: /uploads/{id}`, "
            "in the IETF's protocol with the record if it is whole; "
            "for a form with several files `{files, errors}`",
            FileRecord,
        )
    },
)
async def create_file(upload: UploadRequest) -> Response | Reply:
    match recognise_dialect(upload.head):
        case (Dialect.TUS | Dialect.IETF) as dialect:
            return await resumable.create(upload, dialect)
        case Dialect.FORM:
            return await file_forms.receive(upload, always_list=False)
        case Dialect.RAW:
            return await receive_raw_body(upload)


_put("/files", "put_unnamed_file", "Take the body as a new file, named by Content-Disposition")
_put("/files/{name}", "put_file", "Take the body as a new file of this name (`curl -T`)")


async def receive_raw_body(upload: UploadRequest) -> Response:
    """Store the body as the bytes of one file."""
    intent = raw.parse(upload.head, upload.path.get("name"))
    whole = SingleRequestUpload(admit(intent.description, intent.size, upload.principal, Dialect.RAW))
    try:
        await whole.receive(upload.body)
        record = await whole.finish(upload.request_id, new_file_record)
    except BaseException:  # also where the request is cancelled: bytes without a record are not kept
        await asyncio.shield(whole.discard())
        raise
    return created_file_response(record)
