"""What may come in and what is done with it, as the settings of this server have it. No secrets, no paths."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router

from windlass import conf
from windlass.files.api import Profile, profiles
from windlass.http.rest.authentication import OWNER
from windlass.http.rest.schemas import ProblemType, ProfileList, SecurityConfig
from windlass.kernel.errors import NotFound, all_problems
from windlass.processing import api as processing

router = Router(tags=["Rules"])

EXAMPLE_TYPES = ("image/jpeg", "application/pdf", "video/mp4", "audio/mpeg", "application/octet-stream")


@router.get("/files/security/config", auth=OWNER, response=SecurityConfig, summary="The limits and rules in force")
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
    "/profiles", auth=OWNER, response=ProfileList, summary="Each profile: what may come in, what is done with it"
)
async def list_profiles(request: HttpRequest) -> HttpResponse:
    found = [_document(profile) for _, profile in sorted(profiles().items())]
    return JsonResponse({"results": found, "next": None})


@router.get("/problems/{slug}", auth=None, response=ProblemType, summary="What a problem type means")
async def show_problem(request: HttpRequest, slug: str) -> HttpResponse:
    for kind in all_problems():
        if kind.slug == slug:
            return JsonResponse(
                {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "transient": kind.transient}
            )
    raise NotFound(f"There is no problem type {slug!r}.")


def _document(profile: Profile) -> dict[str, Any]:
    """The profile, and the steps that its files go through, which depend on the type: one example of each kind."""
    steps = {kind: [step.name for step in processing.plan_for(profile, kind)] for kind in EXAMPLE_TYPES}
    return profile.document() | {"steps": steps}
