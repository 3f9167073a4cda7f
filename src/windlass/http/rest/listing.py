"""Pages of files, newest first. A cursor names the last file of a page, so a page stays right while files come in."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Annotated
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from ninja import Schema
from pydantic import Field, StringConstraints

from windlass.files.api import FileAsset, FileStatus, assets, trash
from windlass.http.records import with_parts
from windlass.kernel import filenames
from windlass.kernel.errors import InvalidField
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal

MAX_LIMIT = 200
#: A page ends early where its files have more metadata than this together (bytes).
MAX_METADATA = 1024 * 1024

# PostgreSQL text cannot hold NUL; a query with one would be an error of the database, not of the client.
_Text = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]*$")]


class FileQuery(Schema):
    """What a caller asks of the list."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(None, description="From `next` of the page before.")
    status: FileStatus | None = None
    mime_type: _Text | None = Field(None, description="The detected type; `image/*` is every picture.")
    reference: _Text | None = None
    q: _Text | None = Field(None, description="Part of the file name, in any case and composition.")
    trashed: bool | None = Field(None, description="True: what is in the trash, instead of what is not.")


@dataclass(frozen=True, slots=True)
class Page:
    """``following`` is the query of the next page, None on the last."""

    files: Sequence[FileAsset]
    following: str | None


def page(query: FileQuery, principal: Principal) -> Page:
    """Raises InvalidField for a cursor that is not ours. Three queries, however long the page."""
    found = _filtered((trash if query.trashed else assets).visible(principal), query)
    if query.cursor:
        found = _after(found, *_decode(query.cursor))
    files = list(with_parts(found.order_by("-created_at", "-id"))[: query.limit + 1])
    shown = files[: _most_at_once(files[: query.limit])]
    return Page(shown, _following(query, shown[-1]) if len(files) > len(shown) else None)


def _most_at_once(files: Sequence[FileAsset]) -> int:
    """How many of these go into one page: their metadata is bounded, and one file is always shown."""
    together = accumulate(asset.metadata_size for asset in files)
    return max(1, sum(size <= MAX_METADATA for size in together))


def _filtered(files: QuerySet[FileAsset], query: FileQuery) -> QuerySet[FileAsset]:
    if query.status:
        files = files.filter(status=query.status)
    if query.mime_type:
        kind, wildcard, _ = query.mime_type.lower().partition("/*")
        files = files.filter(mime_type__startswith=f"{kind}/") if wildcard else files.filter(mime_type=kind)
    if query.reference is not None:
        files = files.filter(reference=query.reference)
    if query.q:
        files = files.filter(search_name__contains=filenames.comparable(query.q))
    return files


def _after(files: QuerySet[FileAsset], moment: datetime, file_id: uuid.UUID) -> QuerySet[FileAsset]:
    # The first condition is implied by the second; it is the one that an index can follow.
    return files.filter(created_at__lte=moment).filter(Q(created_at__lt=moment) | Q(id__lt=file_id))


def _following(query: FileQuery, last: FileAsset) -> str:
    asked = query.model_dump(mode="json", exclude_none=True, exclude={"cursor"})
    if query.trashed is not None:
        asked["trashed"] = str(query.trashed).lower()
    return urlencode(asked | {"cursor": _encode(last)})


def _encode(asset: FileAsset) -> str:
    return base64.urlsafe_b64encode(f"{asset.created_at.isoformat()} {asset.id}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        moment, _, spelled = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        when, file_id = datetime.fromisoformat(moment).astimezone(UTC), parse_id(spelled)
    except (ValueError, OverflowError):
        when, file_id = None, None
    if when is None or file_id is None:
        raise InvalidField("The cursor is not one of ours: take it from `next` of the page before.", field="cursor")
    return when, file_id
