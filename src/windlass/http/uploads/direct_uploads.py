"""Direct uploads: the client sends its bytes to the object store, by Uppy's S3 calls below ``/s3/`` (http-api section
5). Only JSON passes here.

``protocols.s3multipart`` reads the requests and makes the replies; the models here describe them, and a test compares
the two.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, Field

from windlass.accounts import api as accounts
from windlass.accounts.api import OWNER
from windlass.executors import in_database, in_transaction
from windlass.files import api as files
from windlass.http import json_bodies
from windlass.http.endpoints import query
from windlass.http.json_models import ReplyModel
from windlass.http.upload_status import file_of
from windlass.http.uploads.upload_endpoints import UploadEndpoints, response_of
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel import urls
from windlass.kernel.principals import Caller
from windlass.kernel.problem_types import Conflict
from windlass.protocols import s3multipart as protocol
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import CreateDirect, Reply
from windlass.protocols.json_fields import parse_upload_id
from windlass.receiving import direct_upload
from windlass.resilience.rate_limits.policies import RateClass

F = TypeVar("F", bound=Callable[..., Any])


class DirectUploadIn(BaseModel):
    filename: str
    type: str | None = Field(None, description="Media type that the client declares.")
    metadata: dict[str, Any] = Field(
        {},
        description="`size` and `part_size` (bytes), `profile`, `reference`, `sha256` have a meaning. All other "
        "keys are shown in the record.",
    )


class DirectUploadOut(ReplyModel):
    key: str
    uploadId: UUID
    bucket: str


class DirectRequestOut(ReplyModel):
    method: Literal["POST", "PUT"]
    url: str
    fields: dict[str, str] = Field(description="Form fields to send before the file, whose field is `file`.")
    headers: dict[str, str]
    expires: int = Field(description="Seconds.")
    key: str
    uploadId: UUID | None = Field(None, description="Absent if the form is sent to this server instead of the store.")


class SentPart(ReplyModel):
    PartNumber: int
    ETag: str
    Size: int


class NamedPartIn(BaseModel):
    PartNumber: int = Field(ge=1, le=10_000)
    ETag: str


class NamedPartsIn(BaseModel):
    parts: list[NamedPartIn]


class PartUrl(ReplyModel):
    url: str
    expires: int = Field(description="Seconds.")


class PartUrls(ReplyModel):
    presignedUrls: dict[str, str]


class DirectUploadCompleted(ReplyModel):
    location: str = Field(description="URL of the file record.")
    key: str
    bucket: str


class DirectRefusal(ReplyModel):
    error: str
    message: str


endpoints = UploadEndpoints("Direct uploads", OWNER, Dialect.S3)

_KEY = query("key", "The key that was returned with the upload's id.")
_COMPLETED = {200: ("The file record; the same if repeated", DirectUploadCompleted)}


#: HEAD is no call of Uppy's, and here a GET may create a session.
_endpoint: Callable[..., Callable[[F], F]] = partial(
    endpoints.upload,
    render_problem=lambda problem, _: response_of(protocol.refused(problem)),
    refusal=DirectRefusal,
    answers_head=False,
    has_own_query=True,
)


@_endpoint(
    "GET /s3/params",
    name="params_for_store",
    rate=RateClass.CREATE,
    summary="Create a direct upload in one request and sign it",
    parameters=(
        query("filename", "File name."),
        query("type", "Media type that the client declares."),
        query("method", "`PUT`: sign a PUT instead of a form; needs `metadata[size]`."),
        query(
            "metadata[size]", "Size in bytes. Likewise `profile`, `reference`, `sha256` and metadata for the record."
        ),
    ),
    replies={200: ("The parameters of the upload", DirectRequestOut)},
)
async def params(upload: UploadRequest) -> Reply:
    intent = protocol.parse_params(upload.head.query)
    new = direct_upload.admit_direct(intent, upload.principal)
    if intent.as_form and not direct_upload.supports_forms(new):
        return await _form_to_this_server(upload, intent)
    created = await direct_upload.create(new, intent)
    invitation = created.signed
    assert invitation is not None
    return protocol.signed_request(
        created.session.id,
        created.key,
        method=invitation.method,
        url=invitation.url,
        fields=invitation.fields,
        headers=invitation.headers,
        seconds=direct_upload.url_lifetime(),
    )


@_endpoint(
    "POST /s3/params/complete",
    name="complete_params_for_store",
    rate=RateClass.UNLIMITED,
    summary="Complete a direct upload that was sent in one request",
    takes_idempotency_key=True,
    parameters=(_KEY,),
    replies=_COMPLETED,
)
async def complete_params(upload: UploadRequest) -> Reply:
    key = protocol.parse_key(upload.head.query)
    if key.startswith(accounts.GRANT_PREFIX):
        return await _completed(await in_database(_session_of_grant, key, upload.caller), key)
    session = await direct_upload.complete_single(
        protocol.upload_of_key(key), key, upload.caller, request_id=upload.request_id
    )
    return await _completed(session, key)


async def _created_again(_: UploadRequest, session: files.UploadSession) -> Reply:
    return protocol.created(session.id, direct_upload.key_of(session), direct_upload.bucket_of(session))


@_endpoint(
    "POST /s3/multipart",
    name="begin_parts_for_store",
    rate=RateClass.CREATE,
    summary="Create a direct upload in parts",
    takes_idempotency_key=True,
    answer_again=_created_again,
    body=DirectUploadIn,
    replies={200: ("Id and key of the upload", DirectUploadOut)},
)
async def create_multipart(upload: UploadRequest) -> Reply:
    principal = upload.principal
    intent = await json_bodies.parse_body(upload.head, upload.body, protocol.parse_create)
    new = replace(direct_upload.admit_direct(intent, principal), claim=upload.claim)
    created = await direct_upload.create(new, intent)
    return protocol.created(created.session.id, created.key, direct_upload.bucket_of(created.session))


@_endpoint(
    "GET /s3/multipart/{upload_id}",
    name="list_parts_at_store",
    rate=RateClass.UNLIMITED,
    summary="List the parts that the store has",
    parameters=(_KEY,),
    replies={200: ("The parts, ordered by number", list[SentPart])},
)
async def list_parts(upload: UploadRequest) -> Reply:
    parts = await direct_upload.parts(*_session_and_key(upload), upload.caller)
    return protocol.uploaded_parts((part.number, part.tag, part.size) for part in parts)


@_endpoint(
    "GET /s3/multipart/{upload_id}/batch",
    name="sign_parts_for_store",
    rate=RateClass.UNLIMITED,
    summary="Sign the requests for several parts",
    parameters=(_KEY, query("partNumbers", "Part numbers, separated by commas.")),
    replies={200: ("A signed URL for each part", PartUrls)},
)
async def sign_parts(upload: UploadRequest) -> Reply:
    upload_id, key = _session_and_key(upload)
    numbers = protocol.parse_numbers(upload.head.query)
    return protocol.signed_parts(await direct_upload.part_urls(upload_id, key, numbers, upload.caller))


@_endpoint(
    "GET /s3/multipart/{upload_id}/{number}",
    name="sign_part_for_store",
    rate=RateClass.UNLIMITED,
    summary="Sign the request for one part",
    parameters=(_KEY,),
    replies={200: ("A signed URL to PUT the part to", PartUrl)},
)
async def sign_part(upload: UploadRequest) -> Reply:
    upload_id, key = _session_and_key(upload)
    number = protocol.parse_number(upload.path["number"])
    signed = await direct_upload.part_urls(upload_id, key, [number], upload.caller)
    return protocol.signed_part(signed[number], direct_upload.url_lifetime())


@_endpoint(
    "POST /s3/multipart/{upload_id}/complete",
    name="complete_parts_at_store",
    rate=RateClass.UNLIMITED,
    summary="Complete a direct upload in parts, after comparing them with the store's",
    takes_idempotency_key=True,
    parameters=(_KEY,),
    body=NamedPartsIn,
    replies=_COMPLETED,
)
async def complete_multipart(upload: UploadRequest) -> Reply:
    upload_id, key = _session_and_key(upload)
    caller = upload.caller
    parts = await json_bodies.parse_body(upload.head, upload.body, protocol.parse_complete, protocol.MAX_JSON_PARTS)
    session = await direct_upload.complete_multipart(upload_id, key, parts, caller, request_id=upload.request_id)
    return await _completed(session, key)


@_endpoint(
    "DELETE /s3/multipart/{upload_id}",
    name="abort_parts_at_store",
    summary="Cancel a direct upload in parts",
    parameters=(_KEY,),
    replies={200: ("An empty object", {"type": "object"})},
)
async def abort_multipart(upload: UploadRequest) -> Reply:
    await direct_upload.abort(*_session_and_key(upload), upload.caller)
    return protocol.aborted()


async def _form_to_this_server(upload: UploadRequest, intent: CreateDirect) -> Reply:
    """For a store that accepts no forms: a form that this server receives, permitted by a grant. The key is the grant's
    token, by which the page can ask for the file."""
    description = intent.description
    token, _until = await in_transaction(
        accounts.create_grant,
        upload.principal.owner,
        profile=description.profile,
        max_size=intent.size,
        reference=description.reference,
        origin=upload.head.headers.get("origin", ""),
        expires_in=direct_upload.url_lifetime(),
    )
    url = urls.absolute(f"/files/?{urlencode({accounts.GRANT_PARAMETER: token})}")
    metadata = json.dumps(description.metadata) if description.metadata else ""
    fields = {"key": token, "metadata": metadata, "sha256": description.sha256 or ""}
    filled = {name: value for name, value in fields.items() if value}
    return protocol.signed_request(
        None, token, method="POST", url=url, fields=filled, headers={}, seconds=direct_upload.url_lifetime()
    )


def _session_of_grant(token: str, caller: Caller) -> files.UploadSession:
    upload_id = accounts.upload_of_grant(token)
    if upload_id is None:
        raise Conflict("Nothing has come yet under this key.")
    return files.get_upload(upload_id, caller())


def _session_and_key(upload: UploadRequest) -> tuple[uuid.UUID, str]:
    return parse_upload_id(upload.path["upload_id"]), protocol.parse_key(upload.head.query)


async def _completed(session: files.UploadSession, key: str) -> Reply:
    asset = await in_database(file_of, session)
    return protocol.completed(asset.id, key, direct_upload.bucket_of(session))
