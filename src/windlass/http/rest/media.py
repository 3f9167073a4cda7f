"""The media API's calls without bytes: formats, one file, the files of a post, clean-up (http-api section 4)."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import StrictBool

from windlass.executors import in_database
from windlass.files.api import FileAsset, FileStatus, bytes_freed_by, clean_up_uploads, get_file, profile, visible_files
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel
from windlass.http.media_records import MediaOut, media_out, rules_of
from windlass.http.rest.credentials import OWNER, STAFF
from windlass.http.rest.files import on_file
from windlass.http.rest.keyed_calls import takes_idempotency_key
from windlass.http.uploads.media_api import MAX_IMAGES
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound
from windlass.processing import api as processing
from windlass.protocols.media import PROFILE
from windlass.receiving.chunked import DEFAULT_CHUNK_SIZE

router = Router(tags=["Media"])


class KindRules(ReplyModel):
    """null: no limit."""

    content_types: list[str]
    extensions: list[str]
    max_size: int | None
    min_duration: float | None
    max_duration: float | None
    min_width: int | None
    min_height: int | None
    max_width: int | None
    max_height: int | None


class SupportedFormats(Schema):
    video: KindRules
    image: KindRules
    chunk_size: int
    max_images: int


class PublishedIn(Schema):
    success: StrictBool


class PublishedOut(ReplyModel):
    released: int
    bytes_freed: int


class CleanupOut(ReplyModel):
    sessions_expired: int
    bytes_freed: int
    sessions_forgotten: int


@router.get("/supported-formats", auth=OWNER, response=SupportedFormats, summary="Formats and limits of the media API")
async def supported_formats(request: HttpRequest) -> HttpResponse:
    kinds = {rules.kind: KindRules.of(rules) for rules in profile(PROFILE).media_types}
    return JsonResponse({**kinds, "chunk_size": DEFAULT_CHUNK_SIZE, "max_images": MAX_IMAGES})


@router.post("/cleanup/expired", auth=STAFF, response=CleanupOut, summary="Expire overdue uploads now; for staff only")
async def cleanup(request: HttpRequest) -> HttpResponse:
    cleaned = await in_database(clean_up_uploads)
    return JsonResponse(CleanupOut.of(cleaned, sessions_expired=cleaned.expired, sessions_forgotten=cleaned.deleted))


@router.post(
    "/posts/{post_id}/published",
    auth=OWNER,
    response=PublishedOut,
    summary="Release the files of a published post: delete their bytes and keep their records",
)
@takes_idempotency_key
async def published(request: HttpRequest, post_id: str, publication: PublishedIn) -> HttpResponse:
    if not publication.success:
        return JsonResponse({"released": 0, "bytes_freed": 0})
    return JsonResponse(await in_database(_release, post_id, caller(request)))


@router.get("/{media_id}", auth=OWNER, response=MediaOut, summary="The record of an image or video")
async def read_media(request: HttpRequest, media_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, media_id, media_out, find=_get_media))


@router.delete("/{media_id}", auth=OWNER, response={204: None}, summary="Delete an image or video, bytes and record")
async def delete_media(request: HttpRequest, media_id: str) -> HttpResponse:
    await on_file(request, media_id, processing.delete_or_trash, find=_get_media)
    return HttpResponse(status=204)


def _get_media(media_id: uuid.UUID, principal: Principal) -> FileAsset:
    """As ``get_file``; also raises NotFound for a file that is no picture or video."""
    asset = get_file(media_id, principal)
    if not rules_of(asset.profile):
        raise NotFound(f"There is no picture or video {asset.id}.")
    return asset


def _release(post_id: str, principal: Principal) -> dict[str, int]:
    """Release every file of the post that the caller may see, whichever way it was uploaded."""
    released = freed = 0
    for asset in visible_files(principal).filter(reference=post_id).exclude(status=FileStatus.RELEASED):
        size = bytes_freed_by(asset)
        processing.release(asset)
        released, freed = released + 1, freed + size
    return {"released": released, "bytes_freed": freed}
