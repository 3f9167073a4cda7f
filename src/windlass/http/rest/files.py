"""Calls on file records: list, read, sign, process again, release, delete, restore."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from windlass import conf
from windlass.accounts import api as accounts
from windlass.executors import in_database
from windlass.files.api import FileAsset, FileStatus, assets, integrity, trash
from windlass.http.file_records import file_record, file_status, trashed_record
from windlass.http.rest.authentication import OWNER, caller
from windlass.http.rest.file_list import FileQuery, page
from windlass.http.rest.problems import request_id
from windlass.http.rest.schemas import FileList, FileRecord, FileStatusOut, SignedUrlIn, SignedUrlOut
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.kernel.errors import FileRefused, FileReleased, NotFound
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.processing import api as processing

router = Router(tags=["Files"])

T = TypeVar("T")


class Deletion(Schema):
    permanent: bool = Field(False, description="For good, and also of a file that is in the trash.")


@router.get("/files", auth=OWNER, response=FileList, summary="List the caller's files, newest first")
async def list_files(request: HttpRequest, query: Query[FileQuery]) -> HttpResponse:
    found = await in_database(page, query, caller(request))
    return JsonResponse(
        {
            "results": [(trashed_record if query.trashed else file_record)(asset) for asset in found.files],
            "next": urls.path(f"/files/?{found.following}") if found.following else None,
        }
    )


@router.get("/files/{file_id}", auth=OWNER, response=FileRecord, summary="The record of a file")
async def read_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, file_record))


@router.get(
    "/files/{file_id}/status", auth=OWNER, response=FileStatusOut, summary="How far processing is, step by step"
)
async def read_file_status(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, file_status))


@router.post(
    "/files/{file_id}/signed-url",
    auth=OWNER,
    response={201: SignedUrlOut},
    summary="A time-limited download URL that needs no other credential",
)
async def sign_file(request: HttpRequest, file_id: str, asked: SignedUrlIn | None = None) -> HttpResponse:
    seconds = (asked.expires_in if asked else None) or conf.get().signed_url_seconds
    path = await on_file(request, file_id, _downloadable)
    signed, expires_at = accounts.sign_path(path, seconds)
    base = conf.get().media_url.rstrip("/")
    url = base + signed if base else urls.absolute(signed)
    return JsonResponse({"url": url, "expires_at": rfc3339(expires_at)}, status=201)


@router.post(
    "/files/{file_id}/reprocess",
    auth=OWNER,
    response={202: FileStatusOut},
    summary="Process the file from the start once more",
)
async def reprocess_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, _reprocessed, request_id(request)), status=202)


@router.post(
    "/files/{file_id}/release",
    auth=OWNER,
    response=FileRecord,
    summary="Delete the bytes and renditions, keep the record",
)
async def release_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, _released))


@router.delete(
    "/files/{file_id}",
    auth=OWNER,
    response={204: None},
    summary="Delete the bytes and the record, or put them into the trash",
)
async def delete_file(request: HttpRequest, file_id: str, query: Query[Deletion]) -> HttpResponse:
    if query.permanent:
        await in_database(_with_file, file_id, caller(request), processing.delete, find=trash.find)
    else:
        await on_file(request, file_id, processing.delete_or_trash)
    return HttpResponse(status=204)


@router.post("/files/{file_id}/restore", auth=OWNER, response=FileRecord, summary="Take the file out of the trash")
async def restore_file(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await in_database(_with_file, file_id, caller(request), _restored, find=trash.find))


async def on_file(request: HttpRequest, spelled: str, work: Callable[..., T], *arguments: Any) -> T:
    """Do ``work`` on the caller's file, beside its connection. Raises NotFound for an ill-formed id too."""
    return await in_database(_with_file, spelled, caller(request), work, *arguments)


def _with_file(
    spelled: str,
    principal: Principal,
    work: Callable[..., T],
    *arguments: Any,
    find: Callable[[uuid.UUID, Principal], FileAsset] = assets.get,
) -> T:
    return work(find(_id(spelled), principal), *arguments)


def _id(spelled: str) -> uuid.UUID:
    file_id = parse_id(spelled)
    if file_id is None:
        raise NotFound(f"There is no file {spelled}.")
    return file_id


def _downloadable(asset: FileAsset) -> str:
    """The path that a download's signature is for, unless these bytes are never to be served."""
    if asset.status == FileStatus.RELEASED:
        raise FileReleased("The bytes of this file were released; there is nothing to download.")
    if asset.status in (FileStatus.REJECTED, FileStatus.QUARANTINED):
        raise FileRefused(f"This file is {asset.status}: it is not served.")
    if asset.blob is not None:
        integrity.must_be_sound(asset.blob)
    return f"/files/{asset.id}/download/"


def _reprocessed(asset: FileAsset, by_request: str) -> dict[str, Any]:
    processing.reprocess(asset, by_request)
    return file_status(assets.load(asset.id) or asset)


def _restored(asset: FileAsset) -> dict[str, Any]:
    processing.restore(asset)
    return file_record(assets.load(asset.id) or asset)


def _released(asset: FileAsset) -> dict[str, Any]:
    processing.release(asset)
    return file_record(assets.load(asset.id) or asset)
