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
        parameters=(query("filename", "File name, if the path has none."), *file_forms.FIELDS_IN_QUERY),
        body=Content({"application/octet-stream": BINARY, "*/*": BINARY}),
        replies={201: ("The record of the file", FileRecord)},
    )(create_file)


@endpoints.upload(
    "POST /files",
    name="create_file",
    summary="Upload a file in any of the supported protocols",
    description=(
        "`Tus-Resumable` creates a tus upload, `Upload-Complete` an IETF resumable upload. "
        "multipart/form-data is a form with one or several files. Any other body is the bytes of the file."
    ),
    parameters=(
        query("filename", "File name of a raw body, if Content-Disposition has none."),
        *file_forms.FIELDS_IN_QUERY,
        header("Tus-Resumable", "`1.0.0`: creates a tus upload."),
        header("Upload-Complete", "Creates an IETF resumable upload: `?1` if the body is the whole file, else `?0`."),
        header("Upload-Length", "Size of a resumable upload, in bytes.", "integer"),
        header("Upload-Defer-Length", "`1`: the size of the tus upload follows with a later request."),
        header("Upload-Metadata", "Metadata of a resumable upload: `key base64`, separated by commas."),
        header("Upload-Concat", "`partial`, or `final;` and the URLs of the parts, separated by spaces."),
        header("Upload-Checksum", "tus: checksum of this body, as an algorithm and the digest in base64."),
        header("Content-Digest", "IETF: digest of this body (RFC 9530)."),
        header("Repr-Digest", "IETF: digest of the whole file (RFC 9530)."),
        header("Upload-Draft-Interop-Version", "Version of the IETF draft.", "integer"),
    ),
    body=Content({"multipart/form-data": file_forms.FORM, "application/octet-stream": BINARY, "*/*": BINARY}),
    replies={
        201: (
            "The file record. For a resumable upload `Location: /uploads/{id}`, "
            "in the IETF protocol with the file record if the upload is complete. "
            "For a form with several files `{files, errors}`",
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


_put("/files", "put_unnamed_file", "Upload a file as the request body; Content-Disposition has its name")
_put("/files/{name}", "put_file", "Upload a file of this name as the request body (`curl -T`)")


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
