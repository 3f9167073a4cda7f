"""The limits and profiles of this server, without secrets and paths, and its problem types."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field

from windlass import conf
from windlass.files.api import Profile, profiles
from windlass.http.callers import OWNER
from windlass.http.json_models import ReplyModel
from windlass.kernel.errors import NotFound, all_problems
from windlass.processing import api as processing

router = Router(tags=["Rules"])

#: Generated clients name their methods by it, so it stays as it was when this module had another name.
_OPERATION_ID = "windlass_http_rest_rules"

EXAMPLE_TYPES = ("image/jpeg", "application/pdf", "video/mp4", "audio/mpeg", "application/octet-stream")


class SecurityConfig(ReplyModel):
    max_upload_size: int = Field(description="Bytes, for profiles that name no limit of their own.")
    max_files_per_upload: int
    max_total_upload_size: int | None
    allowed_mime_types: list[str] = Field(description="Empty: all.")
    blocked_mime_types: list[str]
    allowed_extensions: list[str] = Field(description="Empty: all.")
    upload_ttl_hours: float
    credentials_required: bool
    rate_limits: None = Field(description="null: calls are not limited.")
    malware_scan: bool
    profiles: list[str]


class ProfileOut(Schema):
    name: str
    description: str
    min_size: int
    max_size: int
    allowed_mime_types: list[str]
    blocked_mime_types: list[str]
    allowed_extensions: list[str]
    check_mismatch: bool
    upload_ttl_hours: float
    retention_days: float = Field(description="Files are deleted so long after their record began; 0: never.")
    release_after_days: float = Field(description="Likewise their bytes, while the record stays.")
    delete_released_after_days: float = Field(description="Records are deleted so long after their bytes went; 0: not.")
    trash_hours: float = Field(description="How long a deleted file can be restored; 0: not at all.")
    media_types: list[dict[str, Any]] = Field(description="What each kind of media must be like; empty: any file.")
    show_location: bool = Field(description="Whether records tell where a picture or a film was taken.")
    min_width: int = Field(description="Pixels as displayed; of this and every limit below 0 sets none.")
    min_height: int
    max_width: int
    max_height: int
    max_pixels: int
    min_duration: float = Field(description="Seconds.")
    max_duration: float
    max_pages: int
    encrypted: bool = Field(description="Whether files that are locked with a password may come in.")
    max_archive_entries: int
    max_unpacked_size: int
    max_archive_ratio: float = Field(description="Unpacked bytes for each byte of an archive.")
    steps: dict[str, list[str]] = Field(description="The steps of a file of each of these types, in order.")


class ProfileList(ReplyModel):
    results: list[ProfileOut]
    next: None


class ProblemType(ReplyModel):
    """What every problem of one type has in common."""

    type: str
    title: str
    status: int
    transient: bool


@router.get(
    "/files/security/config",
    auth=OWNER,
    response=SecurityConfig,
    operation_id=f"{_OPERATION_ID}_security_config",
    summary="The limits and rules in force",
)
async def security_config(request: HttpRequest) -> HttpResponse:
    settings = conf.get()
    return JsonResponse(
        {
            "max_upload_size": settings.upload_limit,
            "max_files_per_upload": settings.max_files_per_upload,
            "max_total_upload_size": settings.max_total_upload_size or None,
            "allowed_mime_types": list(settings.allowed_mime_types),
            "blocked_mime_types": list(settings.blocked_mime_types),
            "allowed_extensions": list(settings.allowed_extensions),
            "upload_ttl_hours": settings.upload_ttl_hours,
            "credentials_required": settings.credentials_required,
            "rate_limits": None,
            "malware_scan": bool(settings.scanner_name),
            "profiles": sorted(profiles()),
        }
    )


@router.get(
    "/profiles",
    auth=OWNER,
    response=ProfileList,
    operation_id=f"{_OPERATION_ID}_list_profiles",
    summary="Each profile: what may come in, what is done with it",
)
async def list_profiles(request: HttpRequest) -> HttpResponse:
    results = [_document(profile) for _, profile in sorted(profiles().items())]
    return JsonResponse({"results": results, "next": None})


@router.get(
    "/problems/{slug}",
    auth=None,
    response=ProblemType,
    operation_id=f"{_OPERATION_ID}_show_problem",
    summary="What a problem type means",
)
async def show_problem(request: HttpRequest, slug: str) -> HttpResponse:
    for kind in all_problems():
        if kind.slug == slug:
            return JsonResponse(
                {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "transient": kind.transient}
            )
    raise NotFound(f"There is no problem type {slug!r}.")


def _document(profile: Profile) -> dict[str, Any]:
    """A ``ProfileOut``. The steps depend on the type of the file, so they are listed for one type of each kind."""
    steps = {kind: [step.name for step in processing.plan_for(profile, kind)] for kind in EXAMPLE_TYPES}
    return profile.document() | {"steps": steps}
