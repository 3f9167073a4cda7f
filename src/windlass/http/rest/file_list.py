"""Pages of the file list, in the order that the caller chose. A cursor names the last file of a page, so new files do
not shift pages."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from ninja import Schema
from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from windlass.database.ownership import rows_owned_by
from windlass.database.rows import Conditions
from windlass.files.api import (
    FileAsset,
    FileRows,
    FileStatus,
    Kind,
    detected_types,
    find_files_with_rows,
    has_type,
    is_of_kind,
    kind_of,
    trashed_files,
    visible_files,
)
from windlass.http.json_models import within
from windlass.http.rest.file_order import FileOrder, Sort
from windlass.http.rest.file_pages import ids_of_first_page, ids_of_page
from windlass.kernel import filenames
from windlass.kernel.principals import Principal

MAX_LIMIT = 200

_Text = Annotated[str, StringConstraints(max_length=255)]
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/(?:[a-z0-9][a-z0-9!#$&^_.+-]*|\*)")


def checked_type(value: str | None) -> str | None:
    """Validate a query parameter. Raises ValueError."""
    if value and not _TYPE.fullmatch(value.lower()):
        raise ValueError("must be a type such as image/png, or all of a kind such as image/*")
    return value


def _read_moment(value: Any) -> Any:
    """Read a day, or a time with its offset from UTC. Raises ValueError."""
    text = str(value)
    try:
        moment = date.fromisoformat(text) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError("without an offset")
        _end(moment).astimezone(UTC)  # neither the first nor the last day that there is
    except (ValueError, OverflowError):
        raise ValueError(
            "must be a day such as 2026-01-31, or a time with its offset such as 2026-01-31T12:00:00Z"
        ) from None
    return moment


_Moment = Annotated[datetime | date, BeforeValidator(_read_moment)]


class FileSelection(Schema):
    """Which files a list or a search is about."""

    kind: Kind | None = Field(None, description="Kind of the detected type, such as all spreadsheets.")
    mime_type: _Text | None = Field(None, description="Detected type; `image/*` matches all images.")
    reference: _Text | None = None
    from_: _Moment | None = Field(
        None, alias="from", description="Files created at or after this time, or from the beginning of this day (UTC)."
    )
    to: _Moment | None = Field(None, description="Files created before this time, or until the end of this day (UTC).")

    _is_type = field_validator("mime_type")(checked_type)


def selected_files(files: QuerySet[FileAsset], selection: FileSelection) -> QuerySet[FileAsset]:
    """Those of ``files`` that were selected."""
    if selection.kind:
        files = files.filter(is_of_kind(selection.kind))
    if selection.mime_type:
        files = files.filter(has_type(selection.mime_type))
    return _in_range(_with_reference(files, selection), selection)


class FileQuery(FileSelection):
    """The query parameters of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)] = Field(
        50, description="Files on a page; fewer if their records are large."
    )
    cursor: str | None = Field(None, description="From `next` of the previous page.")
    sort: Sort = Field("-created", description="Order of the files; `-` is descending: newest, largest, Z first.")
    status: list[FileStatus] = Field([], description="Repeat it for files of any of several statuses.")
    q: _Text | None = Field(
        None,
        description="Part of the file name, or of its title, author, tags or camera; case and Unicode composition are "
        "ignored.",
    )
    owner: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="One owner, such as `user:7`. Else all whose files the caller may read."
    )
    trashed: bool | None = Field(None, description="True: only files in the trash. Else only files outside it.")


def list_page(query: FileQuery, principal: Principal) -> tuple[Sequence[FileRows], str | None]:
    """The files of one page, by eight queries at most whatever its length, and the query of the next page, None on the
    last. Raises InvalidField for an ill-formed cursor."""
    order = FileOrder(query.sort)
    ids, more = _ids(query, principal, order)
    found = find_files_with_rows(ids)
    if more and not found:  # all were deleted between the two queries
        return list_page(query, principal)
    next_query = _next_query(query, order.cursor(found[-1].asset)) if more else None
    # Without those that were put into the trash or restored between the two queries.
    return [each for each in found if (each.asset.trashed_at is not None) is bool(query.trashed)], next_query


def _ids(query: FileQuery, principal: Principal, order: FileOrder) -> tuple[list[uuid.UUID], bool]:
    simple = _simple_conditions(query, principal)
    if simple is not None:
        return ids_of_first_page(simple, order, query.limit)
    selected = (trashed_files if query.trashed else visible_files)(principal, query.owner)
    either = _of_types(query, principal)
    if query.status:
        if either or len(set(query.status)) == 1:
            selected = selected.filter(status__in=query.status)
        else:
            either = [Q(status=status) for status in sorted(set(query.status))]
    selected = _in_range(_with_reference(selected, query), query)
    if query.cursor:
        selected = order.after(selected, query.cursor)
    text = filenames.comparable(query.q) if query.q else ""
    return ids_of_page(selected, order, query.limit, either=either, text=text)


#: The parameters whose conditions the ORM builds anew for each call. Clients poll pages without them.
_FILTERS = ("kind", "mime_type", "from_", "to", "status", "q", "cursor")


def _simple_conditions(query: FileQuery, principal: Principal) -> Conditions | None:
    """The conditions of a first page without filters that need the ORM; None where there are such filters."""
    if query.trashed or any(getattr(query, name) for name in _FILTERS):
        return None
    owners = principal.owners if query.owner is None else principal.owners & {query.owner}
    reference = {} if query.reference is None else {"reference": query.reference}
    return {"trashed_at": None, **rows_owned_by(owners), **reference}


def _of_types(query: FileQuery, principal: Principal) -> list[Q]:
    """The conditions of the types that were selected, one for each that files have; empty if every type was."""
    if query.kind is None and not query.mime_type:
        return []
    if query.mime_type and query.kind is None and not query.mime_type.endswith("/*"):
        return [has_type(query.mime_type)]
    types = [each for each in detected_types(query.owner or principal.owners.only) if _is_selected(query, each)]
    untyped = [Q(mime_type=None)] if query.kind == "other" and not query.mime_type else []
    return [*untyped, *(Q(mime_type=each) for each in types)] or [Q(pk__in=[])]


def _is_selected(selection: FileSelection, mime_type: str) -> bool:
    """Whether a detected type is of the kind and of the type or group of types that were selected."""
    wanted = (selection.mime_type or "*").lower()
    is_type = mime_type.startswith(wanted[:-1]) if wanted.endswith("*") else mime_type == wanted
    return is_type and selection.kind in (None, kind_of(mime_type))


def _with_reference(files: QuerySet[FileAsset], selection: FileSelection) -> QuerySet[FileAsset]:
    return files if selection.reference is None else files.filter(reference=selection.reference)


def _in_range(files: QuerySet[FileAsset], selection: FileSelection) -> QuerySet[FileAsset]:
    if selection.from_:
        files = files.filter(created_at__gte=_beginning(selection.from_))
    if selection.to:
        files = files.filter(created_at__lt=_end(selection.to))
    return files


def _beginning(moment: datetime | date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)


def _end(moment: datetime | date) -> datetime:
    """The first moment that a range no longer includes."""
    return moment if isinstance(moment, datetime) else _beginning(moment) + timedelta(days=1)


def _next_query(query: FileQuery, cursor: str) -> str:
    parameters = query.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"cursor"})
    if query.trashed is not None:
        parameters["trashed"] = str(query.trashed).lower()
    return urlencode(parameters | {"limit": query.limit, "cursor": cursor}, doseq=True)
