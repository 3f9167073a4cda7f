"""The orders of the file list. A cursor has the sorted value and the id of the last file of a page."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from django.db.models import Q, QuerySet

from windlass.files.api import FileAsset
from windlass.http.rest import cursors
from windlass.kernel.problem_types import InvalidField

Sort = Literal["-created", "created", "name", "-name", "size", "-size"]
NEWEST_FIRST: Sort = "-created"

_LARGEST = 2**63 - 1


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _size(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _LARGEST:
        raise ValueError("no size")
    return number


#: Name of an order -> its column, how a value of it is written in a cursor, and how that is read (ValueError).
_COLUMNS: dict[str, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    "created": ("created_at", datetime.isoformat, _moment),
    "name": ("search_name", str, str),
    "size": ("size", str, _size),
}


@dataclass(frozen=True, slots=True)
class FileOrder:
    """One order of the list: by a column, then by id, both ascending or both descending."""

    sort: Sort

    @property
    def column(self) -> str:
        return _COLUMNS[self.sort.removeprefix("-")][0]

    @property
    def is_by_time(self) -> bool:
        return self.column == "created_at"

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")

    @property
    def fields(self) -> tuple[str, str]:
        """The fields by which files are sorted, with ``-`` before their names where that is descending."""
        sign = "-" if self.is_descending else ""
        return f"{sign}{self.column}", f"{sign}id"

    def sorted(self, files: QuerySet[FileAsset]) -> QuerySet[FileAsset]:
        return files.order_by(*self.fields)

    def after(self, files: QuerySet[FileAsset], cursor: str) -> QuerySet[FileAsset]:
        """The files behind the one that the cursor names. Raises InvalidField for a cursor that is not of this
        order."""
        value, file_id = self._decode(cursor)
        beyond = "lt" if self.is_descending else "gt"
        # The first condition is implied by the second; it is the one that an index can follow.
        begun = files.filter(**{f"{self.column}__{beyond}e": value})
        return begun.filter(Q(**{f"{self.column}__{beyond}": value}) | Q(**{f"id__{beyond}": file_id}))

    def until(self, files: QuerySet[FileAsset], value: Any) -> QuerySet[FileAsset]:
        """The files that come before those with a later value of the column, and those with this value."""
        return files.filter(**{f"{self.column}__{'gte' if self.is_descending else 'lte'}": value})

    def cursor(self, last: FileAsset) -> str:
        if self.sort == NEWEST_FIRST:
            return cursors.encode(last.created_at, last.id)
        written = _COLUMNS[self.sort.removeprefix("-")][1](getattr(last, self.column))
        return cursors.encode_row(f"{self.sort} {written}", last.id)

    def _decode(self, cursor: str) -> tuple[Any, uuid.UUID]:
        if self.sort == NEWEST_FIRST:
            return cursors.decode(cursor)
        try:
            place, file_id = cursors.decode_row(cursor)
            sort, _, written = place.partition(" ")
            value = _COLUMNS[self.sort.removeprefix("-")][2](written)
        except (InvalidField, ValueError, OverflowError):
            raise self._not_one_of_these() from None
        if sort != self.sort:
            raise self._not_one_of_these()
        return value, file_id

    def _not_one_of_these(self) -> InvalidField:
        return InvalidField(
            f"The cursor is not one of sort={self.sort}: take it from `next` of the page before.", field="cursor"
        )
