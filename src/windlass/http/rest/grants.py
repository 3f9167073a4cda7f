"""One-time permission for uploads, to be handed to browsers and devices that hold no credential."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field, StringConstraints, field_validator

from windlass.accounts import api as accounts
from windlass.executors import in_transaction
from windlass.files.api import profile
from windlass.http.rest.authentication import OWNER, caller
from windlass.http.rest.schemas import Reply, within
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.protocols.json_fields import LARGEST

router = Router(tags=["Uploads"])

LONGEST = 7 * 24 * 3600
#: An hour: a page that was opened with a grant may be left open for a while.
USUAL = 3600


class GrantIn(Schema):
    profile: str = "default"
    max_size: Annotated[int, Field(ge=0, le=LARGEST), within(0, LARGEST, "bytes")] | None = Field(
        None, description="Bytes, besides the profile's own limit."
    )
    reference: Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f]*$")] | None = None
    expires_in: Annotated[int, Field(ge=1, le=LONGEST), within(1, LONGEST, "seconds, which is a week")] = Field(
        USUAL, description="Seconds within which the upload must begin."
    )
    origin: str | None = Field(None, description="The page that may use it, such as https://shop.example.")

    @field_validator("origin")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        found = urlsplit(value)
        if found.scheme not in ("http", "https") or not found.netloc or value != f"{found.scheme}://{found.netloc}":
            raise ValueError("must be scheme, host and port, such as https://shop.example:8443")
        return value.lower()


class GrantOut(Reply):
    url: str = Field(description="Takes exactly one upload, in any dialect of POST /files/, and no other credential.")
    expires_at: datetime


@router.post("/uploads/grants", auth=OWNER, response={201: GrantOut}, summary="A URL that takes exactly one upload")
async def create_grant(request: HttpRequest, asked: GrantIn) -> HttpResponse:
    profile(asked.profile)
    token, expires_at = await in_transaction(
        accounts.create_grant,
        caller(request).owner,
        profile=asked.profile,
        max_size=asked.max_size,
        reference=asked.reference or None,
        origin=asked.origin or "",
        expires_in=asked.expires_in,
    )
    url = urls.absolute(f"/files/?{urlencode({accounts.GRANT_PARAMETER: token})}")
    return JsonResponse({"url": url, "expires_at": rfc3339(expires_at)}, status=201)
