"""Select, insert and update rows of a model by prepared SQL, for the statements that run for every file.

The ORM builds its SQL anew at each call, which takes many times as long as the database then needs. Here the text is
built once from the model's columns, and the model's fields adapt the values, so that the database holds what the ORM
would have written. No signals are sent. ``new`` makes an instance to insert.

A condition maps names of fields to values, joined by AND: a value means equality (None: IS NULL), and ``Below``,
``Above``, ``NotNull``, ``OneOf`` and ``NoneOf`` mean what they say. ``either`` is a second mapping, of which one entry
has to hold too. A change maps names to new values, or to ``Plus``. Use the ORM for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from windlass.database import savepoints
from windlass.database.connection import connection
from windlass.database.prepared_tables import Above as Above
from windlass.database.prepared_tables import Below as Below
from windlass.database.prepared_tables import Conditions as Conditions
from windlass.database.prepared_tables import NoneOf as NoneOf
from windlass.database.prepared_tables import NotNull as NotNull
from windlass.database.prepared_tables import OneOf as OneOf
from windlass.database.prepared_tables import Plus as Plus
from windlass.database.prepared_tables import Table, table_of
from windlass.database.prepared_tables import new as new

M = TypeVar("M", bound=Model)


def find(model: type[M], **equal: Any) -> M | None:
    """The only row with these values, or None."""
    return next(iter(select(model, most=1, **equal)), None)


def select(model: type[M], *, most: int | None = None, order: Collection[str] = (), **where: Any) -> list[M]:
    """The rows that match, at most ``most``, sorted by the fields ``order``; ``-`` before a name is descending."""
    _write_deferred(model)
    database = connection()
    table = table_of(model, database.alias)
    condition, values = table.condition(database, where)
    cursor = _execute(database, f"{table.select} WHERE {condition}{_sorted(table, order, most)}", values)
    return [table.instance(database, row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class TextLength:
    """How many characters the database has for a field, such as one of JSON."""

    name: str


def select_values(
    model: type[Model], fields: Sequence[str | TextLength], *, most: int, order: Collection[str], **where: Any
) -> list[tuple[Any, ...]]:
    """The values of these fields, of the first rows that match; ``order`` as in ``select``."""
    _write_deferred(model)
    database = connection()
    table = table_of(model, database.alias)
    condition, parameters = table.condition(database, where)
    columns = [None if isinstance(field, TextLength) else table.columns[field] for field in fields]
    sql = f"SELECT {', '.join(_selected(table, field) for field in fields)} FROM {table.quoted}"  # noqa: S608  ours
    cursor = _execute(database, f"{sql} WHERE {condition}{_sorted(table, order, most)}", parameters)
    return [
        tuple(
            value if column is None else column.read(database, value)
            for column, value in zip(columns, row, strict=True)
        )
        for row in cursor.fetchall()
    ]


def _selected(table: Table, field: str | TextLength) -> str:
    if isinstance(field, TextLength):
        return f"LENGTH(CAST({table.columns[field.name].quoted} AS text))"
    return table.columns[field].quoted


def _sorted(table: Table, order: Collection[str], most: int | None) -> str:
    terms = [table.columns[name.removeprefix("-")].quoted + " DESC" * name.startswith("-") for name in order]
    sorting = f" ORDER BY {', '.join(terms)}" if terms else ""
    return sorting if most is None else f"{sorting} LIMIT {most:d}"


def exists(model: type[Model], **equal: Any) -> bool:
    _write_deferred(model)
    database = connection()
    table = table_of(model, database.alias)
    condition, values = table.condition(database, equal)
    cursor = _execute(database, f"SELECT 1 FROM {table.quoted} WHERE {condition} LIMIT 1", values)  # noqa: S608  ours
    return bool(cursor.fetchall())


def count(model: type[Model], where: Conditions) -> int:
    _write_deferred(model)
    database = connection()
    table = table_of(model, database.alias)
    condition, values = table.condition(database, where)
    cursor = _execute(database, f"SELECT COUNT(*) FROM {table.quoted} WHERE {condition}", values)  # noqa: S608  ours
    return int(cursor.fetchall()[0][0])


def update(
    model: type[Model], where: Conditions, values: Mapping[str, Any], *, either: Conditions | None = None
) -> int:
    """Set ``values`` in the rows that match. Returns how many rows were changed."""
    _write_deferred(model)
    database = connection()
    sql, parameters = _update(table_of(model, database.alias), database, where, either, values)
    return int(_execute(database, sql, parameters).rowcount)


def update_one(
    model: type[M], where: Conditions, values: Mapping[str, Any], *, either: Conditions | None = None
) -> M | None:
    """``update`` of the only row that matches, which is returned as it is now; None if there is none."""
    _write_deferred(model)
    database = connection()
    table = table_of(model, database.alias)
    sql, parameters = _update(table, database, where, either, values)
    changed = _execute(database, f"{sql} RETURNING {table.listed}", parameters).fetchall()
    return table.instance(database, changed[0]) if changed else None


def insert(rows: Sequence[Model], *, unique: Collection[str] = (), replace: Collection[str] = ()) -> int:
    """Insert rows of one model, and set the primary keys that the database generates. Returns how many were inserted.

    Where a row with the same values in ``unique`` exists, update its columns ``replace`` instead. Without ``replace``
    it stays as it is, which a table whose primary keys the database generates does not support.
    """
    database, model = connection(), type(rows[0])
    table = table_of(model, database.alias)
    sql = _insertion(model, database.alias, len(rows), tuple(unique), tuple(replace))
    cursor = _execute(database, sql, table.inserted_values(database, rows))
    if table.generated is not None:
        for row, (number,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = number
    inserted = int(cursor.rowcount) if unique else len(rows)
    for row in rows:
        row._state.adding, row._state.db = False, database.alias
    return inserted


def insert_deferred(row: Model) -> None:
    """Insert a row as it is now, whose primary key is known, at the latest when the transaction ends.

    On SQLite, the rows of all calls of a group commit are one statement for each table. Whatever statement of the
    transaction may read such a row comes after it: the functions of this module insert the rows of their model first,
    and a cursor of Django's all of them. What is wrong with the row is raised then.
    """
    database, watching = connection(), savepoints.watch()
    if watching is None or not getattr(database, "writes_deferred_rows", False):
        insert([row])
        return
    watching.defer_row(_inserter(type(row)), table_of(type(row), database.alias).inserted_values(database, [row]))
    row._state.adding, row._state.db = False, database.alias


@lru_cache(maxsize=64)
def _inserter(model: type[Model]) -> Callable[[list[list[Any]]], None]:
    """What inserts rows of this model, given their adapted values."""

    def insert_all(rows: list[list[Any]]) -> None:
        """The numbers of rows are powers of two, so that the connection keeps all statements prepared."""
        database = connection()
        first = 0
        while first < len(rows):
            count = 1 << ((len(rows) - first).bit_length() - 1)
            sql = _insertion(model, database.alias, count, (), ())
            _execute(database, sql, list(chain.from_iterable(rows[first : first + count])))
            first += count

    return insert_all


@lru_cache(maxsize=256)
def _insertion(model: type[Model], alias: str, count: int, unique: tuple[str, ...], replace: tuple[str, ...]) -> str:
    return table_of(model, alias).insertion(count, unique, replace)


def _write_deferred(model: type[Model]) -> None:
    """Insert the deferred rows of the model that a statement concerns."""
    watching = savepoints.watch()
    if watching is not None:
        watching.write_rows_of(_inserter(model))


def _update(
    table: Table,
    database: BaseDatabaseWrapper,
    where: Conditions,
    either: Conditions | None,
    values: Mapping[str, Any],
) -> tuple[str, list[Any]]:
    changes, parameters = table.changes(database, values)
    condition, compared = table.condition(database, where)
    parameters += compared
    if either is not None:
        alternatives, compared = table.condition(database, either, " OR ")
        condition = f"{condition} AND ({alternatives})"
        parameters += compared
    return f"UPDATE {table.quoted} SET {changes} WHERE {condition}", parameters  # noqa: S608  ours, quoted


#: The attribute of a connection that holds its driver's connection, and the cursor of this module there.
_CURSOR = "_windlass_rows_cursor"


def _execute(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> CursorWrapper:
    """Execute a statement. Fetch all of its rows before the next one: the connection has one cursor for all of them,
    because to make one costs as much as a statement."""
    database.close_if_health_check_failed()  # as ``database.cursor`` does
    kept: tuple[object, CursorWrapper] | None = getattr(database, _CURSOR, None)
    if kept is not None and kept[0] is database.connection and not database.force_debug_cursor:
        cursor = kept[1]
    else:
        cursor = database.cursor()
        if not database.force_debug_cursor:
            setattr(database, _CURSOR, (database.connection, cursor))
    cursor.execute(sql, parameters)
    return cursor
