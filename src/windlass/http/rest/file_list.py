"""Pages of the file list, newest first. A cursor names the last file of a page, so new files do not shift pages."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Length
from ninja import Schema
from pydantic import Field, StringConstraints, field_validator

from windlass.files.api import FileAsset, FileStatus, has_type, trashed_files, visible_files
from windlass.http.file_records import with_parts
from windlass.http.json_models import within
from windlass.http.rest import cursors
from windlass.kernel import filenames
from windlass.kernel.principals import Principal

MAX_LIMIT = 200
#: Bytes that the metadata and facts of a page's files may have together. A page has at least one file.
PAGE_BYTES = 1024 * 1024
_SIZES: dict[str, Any] = {
    f"{name}_length": Length(Cast(name, TextField())) for name in ("metadata", "extra_attributes")
}

_Text = Annotated[str, StringConstraints(max_length=255)]
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/(?:[a-z0-9][a-z0-9!#$&^_.+-]*|\*)")


def checked_type(value: str | None) -> str | None:
    """Validate a query parameter. Raises ValueError."""
    if value and not _TYPE.fullmatch(value.lower()):
        raise ValueError("must be a type such as image/png, or all of a kind such as image/*")
    return value


class FileQuery(Schema):
    """The query parameters of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)] = Field(
        50, description="Files on a page; fewer if their records are large."
    )
    cursor: str | None = Field(None, description="From `next` of the previous page.")
    status: FileStatus | None = None
    mime_type: _Text | None = Field(None, description="Detected type; `image/*` matches all images.")
    reference: _Text | None = None
    q: _Text | None = Field(None, description="Part of the file name; case and Unicode composition are ignored.")
    owner: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="One owner, such as `user:7`. Else all whose files the caller may read."
    )
    trashed: bool | None = Field(None, description="True: only files in the trash. Else only files outside it.")

    _is_type = field_validator("mime_type")(checked_type)


def list_page(query: FileQuery, principal: Principal) -> tuple[Sequence[FileAsset], str | None]:
    """The files of one page, by four queries whatever its length, and the query of the next page, None on the last.
    Raises InvalidField for an ill-formed cursor."""
    selected = _filtered((trashed_files if query.trashed else visible_files)(principal, query.owner), query)
    if query.cursor:
        moment, file_id = cursors.decode(query.cursor)
        # The first condition is implied by the second; it is the one that an index can follow.
        selected = selected.filter(created_at__lte=moment).filter(Q(created_at__lt=moment) | Q(id__lt=file_id))
    ordered = selected.order_by("-created_at", "-id")
    ids, more = _ids_of_page(ordered, query.limit)
    assets = list(with_parts(ordered.filter(id__in=ids)))
    return assets, _next_query(query, assets[-1]) if more and assets else None


def _ids_of_page(ordered: QuerySet[FileAsset], limit: int) -> tuple[list[uuid.UUID], bool]:
    """The files of one page, and whether others follow. A page ends at ``limit`` files, or once metadata and facts
    reach PAGE_BYTES, which the database counts before any of them is loaded."""
    ids: list[uuid.UUID] = []
    total = 0
    for file_id, *sizes in ordered.annotate(**_SIZES).values_list("id", *_SIZES)[: limit + 1]:
        total += sum(size or 0 for size in sizes)
        if len(ids) == limit or (ids and total > PAGE_BYTES):
            return ids, True
        ids.append(file_id)
    return ids, False


def _filtered(files: QuerySet[FileAsset], query: FileQuery) -> QuerySet[FileAsset]:
    if query.status:
        files = files.filter(status=query.status)
    if query.mime_type:
        files = files.filter(has_type(query.mime_type))
    if query.reference is not None:
        files = files.filter(reference=query.reference)
    if query.q:
        files = files.filter(search_name__contains=filenames.comparable(query.q))
    return files


def _next_query(query: FileQuery, last: FileAsset) -> str:
    parameters = query.model_dump(mode="json", exclude_none=True, exclude={"cursor"})
    if query.trashed is not None:
        parameters["trashed"] = str(query.trashed).lower()
    return urlencode(parameters | {"cursor": cursors.encode(last.created_at, last.id)})
