"""Grants: a URL that permits one upload, for browsers and devices without a credential."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field, StringConstraints, field_validator

from windlass.accounts import api as accounts
from windlass.files.api import profile
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.call_rates import limited_as
from windlass.http.rest.credentials import OWNER
from windlass.http.rest.keyed_calls import in_recorded_transaction, takes_idempotency_key
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.protocols.json_fields import LARGEST
from windlass.resilience.rate_limits.policies import RateClass

router = Router(tags=["Uploads"])

#: Seconds.
MAX_LIFETIME = 7 * 24 * 3600
#: An hour, because a page that was opened with a grant may stay open before its form is sent.
DEFAULT_LIFETIME = 3600


class GrantIn(Schema):
    profile: str = "default"
    max_size: Annotated[int, Field(ge=0, le=LARGEST), within(0, LARGEST, "bytes")] | None = Field(
        None, description="Largest size in bytes, in addition to the profile's limit."
    )
    reference: Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f]*$")] | None = None
    expires_in: Annotated[int, Field(ge=1, le=MAX_LIFETIME), within(1, MAX_LIFETIME, "seconds, which is a week")] = (
        Field(DEFAULT_LIFETIME, description="Seconds within which the upload must be created.")
    )
    origin: str | None = Field(None, description="Origin whose pages may use the grant, such as https://shop.example.")

    @field_validator("origin")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("must be scheme, host and port, such as https://shop.example:8443")
        return value.lower()


class GrantOut(ReplyModel):
    url: str = Field(
        description="Accepts exactly one upload in any protocol of POST /files/, without another credential."
    )
    expires_at: datetime


@router.post(
    "/uploads/grants",
    auth=OWNER,
    response={201: GrantOut},
    summary="Create a grant: a URL that accepts exactly one upload",
)
@takes_idempotency_key
@limited_as(RateClass.CREATE)
async def create_grant(request: HttpRequest, wanted: GrantIn) -> HttpResponse:
    profile(wanted.profile)
    return await in_recorded_transaction(request, partial(_create, request, wanted))


def _create(request: HttpRequest, wanted: GrantIn) -> HttpResponse:
    token, expires_at = accounts.create_grant(
        caller(request).owner,
        profile=wanted.profile,
        max_size=wanted.max_size,
        reference=wanted.reference or None,
        origin=wanted.origin or "",
        expires_in=wanted.expires_in,
    )
    url = urls.absolute(f"/files/?{urlencode({accounts.GRANT_PARAMETER: token})}")
    return JsonResponse({"url": url, "expires_at": rfc3339(expires_at)}, status=201)
