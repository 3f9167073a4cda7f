"""The audit log, for staff."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import AwareDatetime, Field

from windlass.events import api as events
from windlass.events.api import AuditAction, AuditEntry
from windlass.executors import in_database
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.credentials import STAFF
from windlass.http.rest.file_list import MAX_LIMIT
from windlass.kernel import urls
from windlass.kernel.problem_types import InvalidField

router = Router(tags=["Audit"])

PATH = "/api/v1/audit"
#: Digits of the largest sequence that the database has.
_MAX_DIGITS = 18


class AuditEntryOut(ReplyModel):
    sequence: int = Field(description="Its place in the chain.")
    at: datetime
    action: AuditAction
    actor: str | None = Field(description="Pseudonym of who acted; null: the server itself.")
    actor_name: str | None = Field(description="null: none, or its owner was erased.")
    actor_address: str | None = Field(description="IP address; null: none, or its owner was erased.")
    credential: str = Field(description="Kind of credential; empty: none.")
    request_id: str
    owner: str | None = Field(description="Pseudonym of whose record it concerns; null: of nobody.")
    owner_name: str | None
    file_id: str | None
    upload_id: str | None
    subject: str = Field(description="Number or id of a token, webhook or grant; else empty.")
    detail: dict[str, Any]
    hash: str = Field(description="SHA-256 of the hash before it and this entry's content.")


class AuditList(ReplyModel):
    results: list[AuditEntryOut]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class AuditQuery(Schema):
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)] = 50
    cursor: str | None = Field(None, description="From `next` of the previous page.")
    actor: str | None = Field(None, max_length=200, description="Who acted, such as `user:7`.")
    owner: str | None = Field(None, max_length=200, description="Whose record it concerns.")
    action: AuditAction | None = None
    credential: str | None = Field(None, max_length=16)
    request_id: str | None = Field(None, max_length=128)
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None
    since: AwareDatetime | None = Field(None, description="Entries at or after this time.")
    until: AwareDatetime | None = Field(None, description="Entries before this time.")


#: How the fields of the query select entries.
_CONDITIONS = {
    "actor": "actor__name",
    "owner": "owner__name",
    "action": "action",
    "credential": "credential",
    "request_id": "request_id",
    "file_id": "file_id",
    "upload_id": "upload_id",
    "since": "at__gte",
    "until": "at__lt",
}


@router.get("", auth=STAFF, response=AuditList, summary="List the entries of the audit log, newest first")
async def list_audit_entries(request: HttpRequest, query: Query[AuditQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_page, query))


def _page(query: AuditQuery) -> dict[str, Any]:
    wanted = {column: getattr(query, name) for name, column in _CONDITIONS.items()}
    rows = AuditEntry.objects.select_related("actor", "owner")
    rows = rows.filter(**{column: value for column, value in wanted.items() if value is not None})
    if query.cursor is not None:
        rows = rows.filter(sequence__lt=_sequence_of(query.cursor))
    found = list(rows.order_by("-sequence")[: query.limit + 1])
    shown = found[: query.limit]
    following = _next(query, shown[-1].sequence) if len(found) > query.limit else None
    return {"results": [events.audit_document(entry) for entry in shown], "next": following}


def _sequence_of(cursor: str) -> int:
    """Raises InvalidField for an ill-formed cursor."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_DIGITS):
        raise InvalidField("The cursor is ill-formed: take it from `next` of the page before.", field="cursor")
    return int(cursor)


def _next(query: AuditQuery, last: int) -> str:
    parameters = query.model_dump(mode="json", exclude_none=True, exclude={"cursor"})
    return urls.path(f"{PATH}/?{urlencode(parameters | {'cursor': str(last)})}")
