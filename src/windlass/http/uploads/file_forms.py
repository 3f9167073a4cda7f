"""Multipart forms at ``POST /files`` and ``POST /files/batch``: one or several files and their fields."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.accounts.api import CREATE_UPLOAD
from windlass.files import api as files
from windlass.http.endpoints import BINARY, Content, query
from windlass.http.file_records import FileRecord
from windlass.http.json_models import ProblemDocument, ReplyModel
from windlass.http.uploads.multipart_intake import FormIntake, ReceivedFile
from windlass.http.uploads.upload_request import UploadEndpoints, UploadRequest, created_file_response
from windlass.kernel.errors import BodyTooLarge, FileTooLarge
from windlass.kernel.principals import Principal
from windlass.protocols.dialects import Dialect
from windlass.protocols.form_fields import FormFields, LateFields
from windlass.protocols.form_parser import PartBegan
from windlass.protocols.heads import body_length
from windlass.protocols.intents import Description
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload

#: Bytes that a form may have besides its files: part headers and ordinary fields.
OVERHEAD = 2 * 1024 * 1024

FIELDS_IN_QUERY = (
    query("profile", "Decides what is admitted and what is done with it."),
    query("reference", "A name of the client's own, by which the list can be filtered."),
    query("post_id", "Another name of `reference`."),
    query("sha256", "The hex SHA-256 that the bytes must have; 422 and nothing is stored where they do not."),
    query("metadata", "A JSON object, shown in the record."),
)
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "profile": {"type": "string", "description": "Stands before the bytes."},
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


@endpoints.upload(
    "POST /files/batch",
    name="create_files",
    summary="Take several files of one form; always answers with the list form",
    parameters=FIELDS_IN_QUERY,
    body=Content({"multipart/form-data": FORM}),
    replies={201: ("What was stored and what was not", CreatedFiles)},
)
async def create_files(upload: UploadRequest) -> Response:
    return await receive(upload, always_list=True)


async def receive(upload: UploadRequest, *, always_list: bool) -> Response:
    """The record of the form's one file, or with ``always_list`` and for several files the list form."""
    received = await _FileForm(upload).receive()
    problems = [item.problem for item in received if item.problem is not None]
    records = [item.record for item in received if item.record is not None]
    if len(received) == 1 and not always_list:
        if problems:
            raise problems[0]
        return created_file_response(records[0])
    errors = [_error(item, upload) for item in received if item.problem is not None]
    if not records:
        problems[0].members["errors"] = errors
        raise problems[0]
    return JSONResponse({"files": records, "errors": errors}, status_code=201)


def _error(item: ReceivedFile, upload: UploadRequest) -> dict[str, Any]:
    assert item.problem is not None
    document = item.problem.document(upload.request.url.path, upload.request_id)
    return document | {"filename": item.part.filename}


class _FileForm(FormIntake):
    fields: FormFields

    def __init__(self, upload: UploadRequest) -> None:
        super().__init__(upload, FormFields(upload.head.query), _largest_total(upload))
        self._check_total()

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
        return admit(description, None, principal, Dialect.FORM)

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
