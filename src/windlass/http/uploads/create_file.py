"""New files at ``/files``, in the protocol that the client speaks: multipart forms, raw bodies, resumable uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.accounts.api import CREATE_UPLOAD
from windlass.files import api as files
from windlass.http.endpoints import BINARY, Content, header, query
from windlass.http.file_records import FileRecord, new_file_record
from windlass.http.json_models import ProblemDocument, ReplyModel
from windlass.http.uploads import resumable
from windlass.http.uploads.multipart_intake import FormIntake
from windlass.http.uploads.upload_endpoints import UploadEndpoints
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel import urls
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import BodyTooLarge, FileTooLarge
from windlass.protocols import raw
from windlass.protocols.dialects import Dialect, recognise_dialect
from windlass.protocols.form_fields import FormFields, LateFields
from windlass.protocols.form_parser import PartBegan
from windlass.protocols.intents import Description, Reply
from windlass.protocols.request_heads import body_length
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload
from windlass.resilience.rate_limits.policies import RateClass

#: Bytes that a form may have besides its files: part headers and ordinary fields.
OVERHEAD = 2 * 1024 * 1024

FIELDS_IN_QUERY = (
    query("profile", "Profile: the rules for the file and its processing."),
    query("reference", "The client's own name for the file; lists can be filtered by it."),
    query("post_id", "Alias of `reference`."),
    query("sha256", "Expected SHA-256, hexadecimal. If the bytes differ, the reply is 422 and nothing is stored."),
    query("metadata", "Metadata for the record, as a JSON object."),
)
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "profile": {"type": "string", "description": "Must precede the file."},
        "file": BINARY,
        "reference": {"type": "string"},
        "sha256": {"type": "string"},
        "metadata": {"type": "string", "description": "A JSON object."},
    },
}

endpoints = UploadEndpoints("Files", CREATE_UPLOAD)


class CreatedFiles(ReplyModel):
    """The list form: each file of a form is in one of the lists."""

    files: list[FileRecord]
    errors: list[ProblemDocument]


def _put(path: str, name: str, summary: str) -> None:
    """Declare a PUT of the file's bytes."""
    endpoints.upload(
        f"PUT {path}",
        name=name,
        rate=RateClass.CREATE,
        summary=summary,
        takes_idempotency_key=True,
        parameters=(query("filename", "File name, if the path has none."), *FIELDS_IN_QUERY),
        body=Content({"application/octet-stream": BINARY, "*/*": BINARY}),
        replies={201: ("The record of the file", FileRecord)},
    )(create_file)


@endpoints.upload(
    "POST /files",
    name="create_file",
    rate=RateClass.CREATE,
    summary="Upload a file in any of the supported protocols",
    takes_idempotency_key=True,
    answer_again=resumable.created_again,
    description=(
        "`Tus-Resumable` creates a tus upload, `Upload-Complete` an IETF resumable upload. "
        "multipart/form-data is a form with one or several files. Any other body is the bytes of the file."
    ),
    parameters=(
        query("filename", "File name of a raw body, if Content-Disposition has none."),
        *FIELDS_IN_QUERY,
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
    body=Content({"multipart/form-data": FORM, "application/octet-stream": BINARY, "*/*": BINARY}),
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
            return await _receive_form(upload, always_list=False)
        case Dialect.RAW:
            return await _receive_raw_body(upload)


_put("/files", "put_unnamed_file", "Upload a file as the request body; Content-Disposition has its name")
_put("/files/{name}", "put_file", "Upload a file of this name as the request body (`curl -T`)")


@endpoints.upload(
    "POST /files/batch",
    name="create_files",
    rate=RateClass.CREATE,
    summary="Upload several files in one form; the reply is always a list",
    takes_idempotency_key=True,
    parameters=FIELDS_IN_QUERY,
    body=Content({"multipart/form-data": FORM}),
    replies={201: ("The stored files, and a problem for each refused one", CreatedFiles)},
)
async def create_files(upload: UploadRequest) -> Response:
    return await _receive_form(upload, always_list=True)


async def _receive_raw_body(upload: UploadRequest) -> Response:
    """Store the body as the bytes of one file."""
    intent = raw.parse(upload.head, upload.path.get("name"))
    new = replace(admit(intent.description, intent.size, upload.principal, Dialect.RAW), claim=upload.claim)
    whole = SingleRequestUpload(new)
    try:
        await whole.receive(upload.body, stores_at_end=True)
        record_answer = await upload.answer_recorder()

        def answer(asset: files.FileAsset) -> Response:
            response = _created(new_file_record(asset))
            record_answer(lambda: response)
            return response

        return await whole.finish(upload.request_id, answer)
    except BaseException:  # also where the request is cancelled: bytes without a record are not kept
        await asyncio.shield(whole.discard())
        raise


async def _receive_form(upload: UploadRequest, *, always_list: bool) -> Response:
    form = _FileForm(upload, always_list=always_list)
    await form.receive()
    return form.first_answer()


class _FileForm(FormIntake):
    fields: FormFields

    def __init__(self, upload: UploadRequest, *, always_list: bool) -> None:
        super().__init__(upload, FormFields(upload.head.query), _largest_total(upload))
        self._always_list = always_list
        self._check_total()

    def first_answer(self) -> Response:
        """The record of the form's one file, or with ``always_list`` and for several files the list form."""
        problems = [item.problem for item in self.received if item.problem is not None]
        records = [item.record for item in self.received if item.record is not None]
        if len(self.received) == 1 and not self._always_list:
            if problems:
                raise problems[0]
            return _created(records[0])
        errors = [
            item.problem.document(self.upload.request.url.path, self.upload.request_id)
            | {"filename": item.part.filename}
            for item in self.received
            if item.problem is not None
        ]
        if not records:
            problems[0].members["errors"] = errors
            raise problems[0]
        return JSONResponse({"files": records, "errors": errors}, status_code=201)

    def describe(self, part: PartBegan) -> Description:
        """Also limits the form to its profile, which is known at the first file and stays the same."""
        description = self.fields.description_for(part)
        self.events.limit = _total_of(files.profile(description.profile))
        self._check_total()
        return description

    def admit(self, description: Description, principal: Principal) -> files.NewUpload:
        allowed = conf.get().max_files_per_upload
        if len(self.received) > allowed:
            raise BodyTooLarge(f"One form may have at most {allowed} files.", limit=allowed)
        return replace(admit(description, None, principal, Dialect.FORM), claim=self.upload.claim)

    def concerns_form(self, error: Exception) -> bool:
        """No later file can fit once the files are too large together."""
        return self.events.file_bytes > self.events.limit

    def check_form(self) -> None:
        self.fields.finish()

    def late_fields(self, upload: SingleRequestUpload) -> LateFields:
        return self.fields.late

    def _check_total(self) -> None:
        """Raise FileTooLarge where Content-Length is larger than any form with these files can be."""
        length, total = body_length(self.upload.head), self.events.limit
        if length is not None and length > total + OVERHEAD:
            raise FileTooLarge(total, length, what="form's files together")


def _largest_total(upload: UploadRequest) -> int:
    """Bytes that all files of this form may have together; a field may still name any profile."""
    known = files.profiles()
    named = upload.head.query.get("profile", "")
    return max(_total_of(profile) for profile in ([known[named]] if named in known else known.values()))


def _total_of(profile: files.Profile) -> int:
    """Bytes that all files of a form with this profile may have together."""
    return conf.get().max_total_upload_size or profile.max_size


def _created(record: Mapping[str, Any]) -> Response:
    """201 and the record. The ETag is that of the bytes once their checksum is known: Uppy 5 waits for an ETag after a
    form that it was told to send (http-api section 5)."""
    headers = {"Location": urls.location(f"/files/{record['id']}/"), "ETag": f'"{record["checksum"] or record["id"]}"'}
    return JSONResponse(dict(record), status_code=201, headers=headers)
