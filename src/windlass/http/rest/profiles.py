"""The limits and profiles of this server, without secrets and paths, and its problem types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from ninja import Router, Schema
from pydantic import BaseModel, Field

from windlass import conf
from windlass.files.api import Profile, profiles
from windlass.http.json_models import ReplyModel
from windlass.http.rest.compression import compressed
from windlass.http.rest.credentials import OWNER
from windlass.kernel.problem_types import NotFound, all_problems
from windlass.processing import api as processing
from windlass.resilience.rate_limits.policies import GENERAL_FACTOR

router = Router(tags=["Rules"])

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLE_TYPES = ("image/jpeg", "application/pdf", "video/mp4", "audio/mpeg", "application/octet-stream")


class RateLimits(ReplyModel):
    """Calls of one address, and of one user. ``burst``: how many more a single minute may have."""

    per_minute: int = Field(description="Calls that create something, or sign in.")
    burst: int
    general_per_minute: int = Field(description="All other limited calls.")
    general_burst: int
    applies_to_this_machine: bool = Field(description="Whether clients of the server's own machine are limited, too.")


class OpenUploads(ReplyModel):
    """How many uploads may be unfinished at a time. null: any number."""

    per_owner: int | None
    per_address: int | None = Field(description="Those begun at one address, in IPv6 in one /64 network.")
    applies_to_this_machine: bool = Field(
        description="Whether uploads of the server's own machine are counted for its address, too."
    )


class SecurityConfig(ReplyModel):
    max_upload_size: int = Field(description="Bytes, for profiles without a limit of their own.")
    max_files_per_upload: int
    max_total_upload_size: int | None
    allowed_mime_types: list[str] = Field(description="Empty: all.")
    blocked_mime_types: list[str]
    allowed_extensions: list[str] = Field(description="Empty: all.")
    upload_ttl_hours: float
    credentials_required: bool
    rate_limits: RateLimits | None = Field(description="null: requests are not limited.")
    open_uploads: OpenUploads
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
    max_bytes_per_second: int = Field(
        description="Most bytes that one web process receives of an owner's uploads in a second. 0: no limit."
    )
    retention_days: float = Field(description="Days from the creation of a file record to its deletion. 0: never.")
    release_after_days: float = Field(
        description="Days from the creation of a file record to the deletion of its bytes; the record stays. 0: never."
    )
    delete_released_after_days: float = Field(
        description="Days from the release of a file to the deletion of its record. 0: never."
    )
    trash_hours: float = Field(description="Hours during which a deleted file can be restored. 0: none.")
    media_types: list[dict[str, Any]] = Field(description="Rules for each kind of media. Empty: any file is accepted.")
    show_location: bool = Field(description="Whether records show where an image or video was taken.")
    min_width: int = Field(description="Pixels as displayed. Here and in the limits below, 0 means no limit.")
    min_height: int
    max_width: int
    max_height: int
    max_pixels: int
    min_duration: float = Field(description="Seconds.")
    max_duration: float
    max_pages: int
    encrypted: bool = Field(description="Whether password-protected files are accepted.")
    max_archive_entries: int
    max_unpacked_size: int
    max_archive_ratio: float = Field(description="Largest accepted ratio of unpacked bytes to bytes of the archive.")
    unsafe_names: bool = Field(
        description="Whether archives are accepted with absolute paths, `..`, links out of their directory or devices."
    )
    steps: dict[str, list[str]] = Field(description="Steps that a file of each of these example types gets, in order.")


class ProfileList(ReplyModel):
    results: list[ProfileOut]
    next: None


class ProblemType(ReplyModel):
    """What every problem of one type has in common."""

    type: str
    title: str
    status: int
    transient: bool


def _get(path: str, name: str, response: type[BaseModel], summary: str, auth: Any = OWNER) -> Callable[[F], F]:
    """Declare the decorated function as a GET. Generated clients name their methods by the operation's id, so it stays
    as it was when this module had another name."""
    operation_id = f"windlass_http_rest_rules_{name}"
    return router.get(path, auth=auth, response=response, operation_id=operation_id, summary=summary)


@_get("/files/security/config", "security_config", SecurityConfig, "The limits and rules in effect")
async def security_config(request: HttpRequest) -> HttpResponse:
    settings = conf.get()
    return JsonResponse(
        SecurityConfig.of(
            settings,
            max_upload_size=settings.upload_limit,
            max_total_upload_size=settings.max_total_upload_size or None,
            rate_limits=_rate_limits(settings),
            open_uploads=_open_uploads(settings),
            malware_scan=bool(settings.scanner_name),
            profiles=sorted(profiles()),
        )
    )


@_get("/profiles", "list_profiles", ProfileList, "List the profiles: rules for files, and their processing")
async def list_profiles(request: HttpRequest) -> HttpResponseBase:
    results = [_document(profile) for _, profile in sorted(profiles().items())]
    return await compressed(request, JsonResponse({"results": results, "next": None}))


@_get("/problems/{slug}", "show_problem", ProblemType, "What a problem type means", auth=None)
async def show_problem(request: HttpRequest, slug: str) -> HttpResponse:
    for kind in all_problems():
        if kind.slug == slug:
            return JsonResponse(ProblemType.of(kind, type=f"/problems/{slug}"))
    raise NotFound(f"There is no problem type {slug!r}.")


def _rate_limits(settings: conf.Settings) -> dict[str, Any] | None:
    """A ``RateLimits``; None where nothing is limited."""
    per_minute, burst = settings.calls_per_minute, settings.rate_limit_burst
    if not per_minute:
        return None
    limits = RateLimits(
        per_minute=per_minute,
        burst=burst,
        general_per_minute=per_minute * GENERAL_FACTOR,
        general_burst=burst * GENERAL_FACTOR,
        applies_to_this_machine=settings.rate_limit_per_minute is not None or settings.credentials_required,
    )
    return limits.model_dump()


def _open_uploads(settings: conf.Settings) -> dict[str, Any]:
    limits = OpenUploads(
        per_owner=settings.max_open_uploads_per_owner or None,
        per_address=settings.open_uploads_per_address or None,
        applies_to_this_machine=settings.max_open_uploads_per_address is not None or settings.credentials_required,
    )
    return limits.model_dump()


def _document(profile: Profile) -> dict[str, Any]:
    """A ``ProfileOut``. The steps depend on the type of the file, so they are listed for one type of each kind."""
    steps = {kind: [step.name for step in processing.plan_for(profile, kind)] for kind in EXAMPLE_TYPES}
    return profile.document() | {"steps": steps}
