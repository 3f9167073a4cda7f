"""The passages that the text of a file is indexed by (http-api section 9)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from django.apps import apps
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from windlass.files.api import FileAsset
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.credentials import OWNER
from windlass.http.rest.files import on_file
from windlass.kernel import urls
from windlass.kernel.problem_types import NotFound

router = Router(tags=["Search"])

MAX_LIMIT = 200
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)]


class PassageQuery(Schema):
    limit: _Limit = Field(50, description="Passages on a page.")
    cursor: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="From `next` of the previous page.")


class IndexedPassageOut(ReplyModel):
    id: int = Field(description="As in search results, until the text is indexed anew.")
    ordinal: int = Field(description="From 0, in the order of the text.")
    page: int | None = Field(description="Where the passage starts, from 1; null where the text has no pages.")
    start: int = Field(description="First character of the passage in the file's text.")
    end: int
    language: str | None = Field(description="ISO 639-1; null if unknown.")
    text: str


class PassagesOut(ReplyModel):
    results: list[IndexedPassageOut]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


@router.get(
    "/files/{file_id}/passages",
    auth=OWNER,
    response=PassagesOut,
    summary="The passages of a file's text, as the search finds them",
)
async def file_passages(request: HttpRequest, file_id: str, query: Query[PassageQuery]) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, lambda asset: _page(asset, query)))


def _page(asset: FileAsset, query: PassageQuery) -> dict[str, Any]:
    """Raises NotFound in a project without the app."""
    if not apps.is_installed("windlass.knowledge"):
        raise NotFound("This server has no search: windlass.knowledge is not among its INSTALLED_APPS.")
    from windlass.knowledge import api as knowledge  # its models can be imported only where the app is installed

    rows = knowledge.passages_of_file(asset, first=query.cursor, at_most=query.limit + 1)
    shown, more = rows[: query.limit], rows[query.limit :]
    results = [IndexedPassageOut.of(row, language=row.language or None) for row in shown]
    return {"results": results, "next": _next(asset, query, more[0].ordinal) if more else None}


def _next(asset: FileAsset, query: PassageQuery, ordinal: int) -> str:
    return f"{urls.file_path(asset.id, 'passages/')}?{urlencode({'cursor': ordinal, 'limit': query.limit})}"
