"""The quota of an owner, and its use."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from windlass.executors import in_database
from windlass.files.api import quota_usage
from windlass.http.callers import OWNER, caller
from windlass.http.json_models import ReplyModel
from windlass.kernel.errors import Forbidden

router = Router(tags=["Files"])


class QuotaQuery(Schema):
    owner: str | None = Field(None, max_length=200, description="Another owner, such as `user:7`; for staff.")


class AmountOut(ReplyModel):
    limit: int | None = Field(description="Null: there is none.")
    used: int = Field(description="By files whose bytes are kept, each by its own size.")
    reserved: int = Field(description="For uploads under way.")
    trashed: int = Field(description="How much of what is used is in the trash; it counts until it is gone for good.")


class QuotaOut(ReplyModel):
    owner: str
    bytes: AmountOut
    files: AmountOut


@router.get("/quota", auth=OWNER, response=QuotaOut, summary="What the caller may store, and how much of it is taken")
async def read_quota(request: HttpRequest, query: Query[QuotaQuery]) -> HttpResponse:
    principal = caller(request)
    owner = query.owner or principal.owner
    if owner != principal.owner and not principal.staff:
        raise Forbidden("Another owner's quota is for staff.")
    return JsonResponse((await in_database(quota_usage, owner)).document())
