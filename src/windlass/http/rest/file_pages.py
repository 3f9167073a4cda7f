"""Which files are on a page of the list, by statements that read about as many rows as a page has, whatever the number
of files (docs/explanation/scaling.md)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import F, Q, QuerySet, TextField
from django.db.models.functions import Cast, Coalesce, Length

from windlass.database.connection import connection
from windlass.database.rows import Conditions, TextLength, select_values
from windlass.files.api import FileAsset, by_name_index, has_part
from windlass.http.rest.file_order import FileOrder

#: Bytes that the metadata and facts of a page's files may have together. A page has at least one file.
PAGE_BYTES = 1024 * 1024
#: Alternatives of a filter that are read apart from each other; more are one condition.
MOST_BRANCHES = 60
#: Files, in the order of the list, among which a text is looked for before the index of names is asked.
WALKED = 3000

_SIZED = ("metadata", "extra_attributes")
_SIZES: dict[str, Any] = {f"{name}_length": Length(Cast(name, TextField())) for name in _SIZED}
_Row = tuple[Any, ...]


def ids_of_page(
    files: QuerySet[FileAsset], order: FileOrder, limit: int, *, either: Sequence[Q] = (), text: str = ""
) -> tuple[list[uuid.UUID], bool]:
    """The first of ``files`` in this order, and whether others follow.

    ``either``: conditions of which a file meets one, and never two. ``text``: part of its name or facts. A page
    ends at ``limit`` files, or once metadata and facts reach PAGE_BYTES, which the database counts before it loads any.
    """
    if text:
        rows: Iterable[_Row] = _containing(_any_of(files, either), order, limit + 1, text)
    elif order.is_by_time and 1 < len(either) <= MOST_BRANCHES:
        rows = _merged(files, order, limit + 1, either)
    else:
        rows = _rows(order.sorted(_any_of(files, either)), limit + 1)
    return _within_limits(rows, limit)


def ids_of_first_page(where: Conditions, order: FileOrder, limit: int) -> tuple[list[uuid.UUID], bool]:
    """``ids_of_page`` of the files that meet simple conditions, by a prepared statement."""
    fields: list[str | TextLength] = ["id", *(TextLength(name) for name in _SIZED)]
    return _within_limits(select_values(FileAsset, fields, most=limit + 1, order=order.fields, **where), limit)


def _within_limits(rows: Iterable[_Row], limit: int) -> tuple[list[uuid.UUID], bool]:
    ids: list[uuid.UUID] = []
    total = 0
    for file_id, *sizes in rows:
        total += sum(size or 0 for size in sizes)
        if len(ids) == limit or (ids and total > PAGE_BYTES):
            return ids, True
        ids.append(file_id)
    return ids, False


def _any_of(files: QuerySet[FileAsset], either: Sequence[Q]) -> QuerySet[FileAsset]:
    return files.filter(reduce(or_, either)) if either else files


def _rows(files: QuerySet[FileAsset], most: int) -> Sequence[_Row]:
    return list(files.annotate(**_SIZES).values_list("id", *_SIZES)[:most])


def _merged(files: QuerySet[FileAsset], order: FileOrder, most: int, either: Sequence[Q]) -> Iterable[_Row]:
    """The files of each condition come from an index in the order of the list, and the database merges them."""
    branches = [files.filter(condition).annotate(**_SIZES).order_by() for condition in either]
    if connection().features.supports_slicing_ordering_in_compound:
        # Else PostgreSQL may sort all files of all branches. SQLite limits each branch itself.
        branches = [order.sorted(branch)[:most] for branch in branches]
    first, *others = (branch.values_list("id", *_SIZES, order.column) for branch in branches)
    merged: Iterable[Any] = order.sorted(first.union(*others, all=True))[:most]
    return (tuple(row[:-1]) for row in merged)


def _containing(files: QuerySet[FileAsset], order: FileOrder, most: int, text: str) -> Sequence[_Row]:
    """A text that many files contain is found among the first ones of the list; one that few contain by the index of
    names, after which the few are sorted. The database cannot tell the two apart beforehand."""
    ordered = order.sorted(files)
    bound = ordered.values_list(order.column, flat=True)[WALKED : WALKED + 1]
    end = next(iter(bound), None)
    near = _rows((ordered if end is None else order.until(ordered, end)).filter(has_part(text)), most)
    if end is None or len(near) == most:
        return near
    # Sorted by an expression that no index has, so that the order is not read from an index of all files.
    sign = "-" if order.is_descending else ""
    found = by_name_index(files, text).filter(has_part(text))
    found = found.annotate(sorted_by=Coalesce(F(order.column), F(order.column)))
    return _rows(found.order_by(f"{sign}sorted_by", f"{sign}id"), most)
