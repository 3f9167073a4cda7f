"""Calls on file records: list, read, sign, process again, release, delete, restore."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field

from windlass import conf
from windlass.accounts import api as accounts
from windlass.events.api import recording
from windlass.executors import in_database
from windlass.files.api import (
    FileAsset,
    FileStatus,
    get_file,
    get_file_or_trashed,
    get_file_with_rows,
    get_file_with_steps,
    load_file,
    require_intact,
)
from windlass.http.callers import caller
from windlass.http.file_records import (
    FileRecord,
    FileStatusOut,
    TrashedRecord,
    file_record,
    file_status,
    parse_file_id,
    record_of_rows,
    status_of_rows,
)
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.compression import compressed
from windlass.http.rest.credentials import OWNER
from windlass.http.rest.file_list import FileQuery, list_page
from windlass.http.rest.keyed_calls import record, takes_idempotency_key
from windlass.http.rest.problems import request_id
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import FileRefused, FileReleased, NotFound
from windlass.processing import api as processing

router = Router(tags=["Files"])

T = TypeVar("T")

#: Seconds: a week, which is long enough to hand a link to a person, and bounds the use of a leaked one.
MAX_SIGNED_URL_SECONDS = 7 * 24 * 3600


class FileList(ReplyModel):
    results: list[FileRecord | TrashedRecord]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class SignedUrlIn(Schema):
    expires_in: (
        Annotated[
            int, Field(ge=1, le=MAX_SIGNED_URL_SECONDS), within(1, MAX_SIGNED_URL_SECONDS, "seconds, which is a week")
        ]
        | None
    ) = Field(None, description="Lifetime in seconds. Default: SIGNED_URL_SECONDS.")
    rendition: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="Sign the URL of this rendition, such as `thumbnail`, instead of the file's.",
    )


class SignedUrlOut(ReplyModel):
    url: str
    expires_at: datetime


class Deletion(Schema):
    permanent: bool = Field(
        False, description="Delete at once instead of moving to the trash; also deletes a file that is in the trash."
    )


@router.get("/files", auth=OWNER, response=FileList, summary="List the caller's files, newest first")
async def list_files(request: HttpRequest, query: Query[FileQuery]) -> HttpResponseBase:
    found, next_query = await in_database(list_page, query, caller(request))
    document = {
        "results": [record_of_rows(each) for each in found],
        "next": urls.path(f"/files/?{next_query}") if next_query else None,
    }
    return await compressed(request, JsonResponse(document))


@router.get("/files/{file_id}", auth=OWNER, response=FileRecord, summary="The record of a file")
async def read_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, record_of_rows, find=get_file_with_rows))


@router.get(
    "/files/{file_id}/status", auth=OWNER, response=FileStatusOut, summary="Processing status of a file, with each step"
)
async def read_file_status(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, status_of_rows, find=get_file_with_steps))


@router.post(
    "/files/{file_id}/signed-url",
    auth=OWNER,
    response={201: SignedUrlOut},
    summary="A time-limited download URL that needs no other credential",
)
@takes_idempotency_key
async def sign_file(request: HttpRequest, file_id: str, asked: SignedUrlIn | None = None) -> HttpResponse:
    seconds = (asked.expires_in if asked else None) or conf.get().signed_url_seconds
    path = await on_file(request, file_id, _downloadable, asked.rendition if asked else None)
    signed, expires_at = accounts.sign_path(path, seconds)
    base = conf.get().media_url.rstrip("/")
    url = base + signed if base else urls.absolute(signed)
    return JsonResponse({"url": url, "expires_at": rfc3339(expires_at)}, status=201)


@router.post(
    "/files/{file_id}/reprocess",
    auth=OWNER,
    response={202: FileStatusOut},
    summary="Process the file again from the start",
)
@takes_idempotency_key
async def reprocess_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return await on_file(request, file_id, _reprocessed, request)


@router.post(
    "/files/{file_id}/release",
    auth=OWNER,
    response=FileRecord,
    summary="Delete the bytes and renditions and keep the record",
)
@takes_idempotency_key
async def release_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, _changed, processing.release, file_record))


@router.delete(
    "/files/{file_id}",
    auth=OWNER,
    response={204: None},
    summary="Delete the file, or move it to the trash",
)
async def delete_file(request: HttpRequest, file_id: str, query: Query[Deletion]) -> HttpResponse:
    if query.permanent:
        await on_file(request, file_id, processing.delete, find=get_file_or_trashed)
    else:
        await on_file(request, file_id, processing.delete_or_trash)
    return HttpResponse(status=204)


@router.post("/files/{file_id}/restore", auth=OWNER, response=FileRecord, summary="Restore the file from the trash")
@takes_idempotency_key
async def restore_file(request: HttpRequest, file_id: str) -> HttpResponse:
    find = get_file_or_trashed
    return JsonResponse(await on_file(request, file_id, _changed, processing.restore, file_record, find=find))


async def on_file(
    request: HttpRequest,
    file_id: str,
    work: Callable[..., T],
    *arguments: Any,
    find: Callable[[uuid.UUID, Principal], Any] = get_file,
) -> T:
    """Call ``work`` with the caller's file on a database thread. Raises NotFound, for an ill-formed id too."""
    principal, parsed_id = caller(request), parse_file_id(file_id)
    return await in_database(lambda: work(find(parsed_id, principal), *arguments))


def _downloadable(asset: FileAsset, rendition: str | None) -> str:
    """The path to sign: of a rendition that there is, or that may still be made.

    Raises FileReleased, FileRefused, ContentDamaged for a file whose bytes are never served, and NotFound.
    """
    if asset.status == FileStatus.RELEASED:
        raise FileReleased("The bytes of this file were released; there is nothing to download.")
    if asset.status in (FileStatus.REJECTED, FileStatus.QUARANTINED):
        raise FileRefused(f"This file is {asset.status}: it is not served.")
    if asset.blob is not None:
        require_intact(asset.blob)
    is_missing = rendition is not None and not asset.renditions.filter(name=rendition).exists()
    if is_missing and asset.status not in (FileStatus.PENDING, FileStatus.PROCESSING):
        raise NotFound(f"There is no rendition {rendition} of this file.")
    return accounts.signed_path(asset.id, rendition)


def _reprocessed(asset: FileAsset, request: HttpRequest) -> HttpResponse:
    with recording():
        status = _changed(asset, partial(processing.reprocess, request_id=request_id(request)), file_status)
        response = JsonResponse(status, status=202)
        record(request, response)
    return response


def _changed(
    asset: FileAsset, change: Callable[[FileAsset], object], render: Callable[[FileAsset], dict[str, Any]]
) -> dict[str, Any]:
    """Change the file, and render it as it is then."""
    change(asset)
    return render(load_file(asset.id) or asset)
