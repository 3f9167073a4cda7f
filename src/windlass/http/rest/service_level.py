"""The service level: what works now and why, and setting it by hand. For staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field, StrictBool, field_validator

from windlass.events import api as events
from windlass.executors import in_database
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel
from windlass.http.rest.credentials import STAFF
from windlass.kernel.problem_types import InvalidField
from windlass.processing import api as processing
from windlass.resilience.service_level import ServiceLevel

router = Router(tags=["Error handling"])

LONGEST_REASON = 500
_LEVELS = ", ".join(ServiceLevel)


class ServiceLevelIn(Schema):
    """Either ``level`` or ``automatic: true``."""

    level: ServiceLevel | None = Field(None, description="The level to pin, whatever the components allow.")
    reason: str = Field("", description=f"Why, for those who read it; at most {LONGEST_REASON} characters.")
    automatic: StrictBool = Field(False, description="Let the level follow the components again.")

    @field_validator("level", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or value not in set(ServiceLevel)):
            raise ValueError(f"must be one of {_LEVELS}")
        return value

    @field_validator("reason", mode="before")
    @classmethod
    def _text(cls, value: Any) -> str:
        text = " ".join(value.split()) if isinstance(value, str) else None
        if text is None or len(text) > LONGEST_REASON:
            raise ValueError(f"must be a text of at most {LONGEST_REASON} characters")
        return text


class ServiceLevelOut(ReplyModel):
    level: ServiceLevel
    reason: str = Field(description="Plain sentences: which components lower it, since when; or who pinned it why.")
    automatic: bool = Field(description="Whether it follows the components; false while it is pinned.")
    pinned_by: str | None = Field(description="Owner name of who pinned it; null while it is automatic.")
    since: datetime = Field(description="When this level began.")
    evaluated_at: datetime | None = Field(description="When the components were last checked; null if never.")
    components: dict[str, str] = Field(description="State of each component: `ok`, `impaired`, `failed` or `off`.")
    available_features: list[str] = Field(description="What works now.")


@router.get("/service-level", auth=STAFF, response=ServiceLevelOut, summary="The service level; for staff only")
async def read_service_level(request: HttpRequest) -> HttpResponse:
    return await _answer(events.current_service_level)


@router.put(
    "/service-level",
    auth=STAFF,
    response=ServiceLevelOut,
    summary="Pin the service level, or let it follow the components; for staff only",
)
async def set_service_level(request: HttpRequest, body: ServiceLevelIn) -> HttpResponse:
    level, by = body.level, caller(request).owner
    if body.automatic == (level is not None):
        raise InvalidField(f"Give either level ({_LEVELS}), with a reason if you like, or automatic: true.")
    if level is None:
        return await _answer(events.release_service_level)
    return await _answer(lambda: events.pin_service_level(level, body.reason, by))


async def _answer(work: Callable[[], events.LevelStatus]) -> HttpResponse:
    return JsonResponse(await in_database(lambda: _document(work())))


def _document(status: events.LevelStatus) -> dict[str, Any]:
    return ServiceLevelOut.of(
        status, pinned_by=status.pinned_by or None, available_features=processing.available_features(status)
    )
