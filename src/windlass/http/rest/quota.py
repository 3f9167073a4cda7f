"""The quota of an owner, and its use."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from windlass.executors import in_database
from windlass.files.api import quota_usage
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel
from windlass.http.rest.credentials import OWNER
from windlass.kernel.problem_types import Forbidden

router = Router(tags=["Files"])


class QuotaQuery(Schema):
    owner: str | None = Field(None, max_length=200, description="Another owner, such as `user:7`; for staff only.")


class AmountOut(ReplyModel):
    limit: int | None = Field(description="null: no limit.")
    used: int = Field(description="Used by files whose bytes are stored; each counts with its full size.")
    reserved: int = Field(description="Reserved for uploads in progress.")
    trashed: int = Field(description="Part of `used` that is in the trash; it counts until it is deleted.")


class QuotaOut(ReplyModel):
    owner: str
    bytes: AmountOut
    files: AmountOut


@router.get("/quota", auth=OWNER, response=QuotaOut, summary="Quota of the caller, and how much of it is used")
async def read_quota(request: HttpRequest, query: Query[QuotaQuery]) -> HttpResponse:
    principal = caller(request)
    owner = query.owner or principal.owner
    if owner != principal.owner and not principal.staff:
        raise Forbidden("Another owner's quota is for staff.")
    return JsonResponse((await in_database(quota_usage, owner)).document())
