"""Select, insert and update rows of a model by prepared SQL, for the statements that run for every file.

The ORM builds its SQL anew at each call, which takes many times as long as the database then needs. Here the text is
built once from the model's columns, and the model's fields adapt the values, so that the database holds what the ORM
would have written. Conditions are equality (None: IS NULL), joined by AND; use the ORM for everything else. No signals
are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, Field, Model
from django.db.models.expressions import Col

from windlass.database.connection import connection

M = TypeVar("M", bound=Model)


def find(model: type[M], **equal: Any) -> M | None:
    """The only row with these values, or None."""
    return next(iter(select(model, most=1, **equal)), None)


def select(model: type[M], *, most: int, order: Collection[str] = (), **equal: Any) -> list[M]:
    """At most ``most`` rows with these values, sorted by the fields ``order``."""
    database = connection()
    table = _table(model, database.alias)
    condition, values = table.condition(database, equal)
    sorting = f" ORDER BY {', '.join(table.columns[name].quoted for name in order)}" if order else ""
    with database.cursor() as cursor:
        cursor.execute(f"{table.select} WHERE {condition}{sorting} LIMIT {most:d}", values)
        return [table.instance(database, row) for row in cursor.fetchall()]


def select_among(model: type[M], name: str, values: Collection[Any], *, order: Collection[str] = ()) -> list[M]:
    """The rows whose field ``name`` has one of these values, sorted by the fields ``order``."""
    if not values:
        return []
    database = connection()
    table = _table(model, database.alias)
    column = table.columns[name]
    adapted = [column.field.get_db_prep_save(value, database) for value in values]
    condition = f"{column.quoted} IN ({', '.join(['%s'] * len(adapted))})"
    sorting = f" ORDER BY {', '.join(table.columns[each].quoted for each in order)}" if order else ""
    with database.cursor() as cursor:
        cursor.execute(f"{table.select} WHERE {condition}{sorting}", adapted)
        return [table.instance(database, row) for row in cursor.fetchall()]


def exists(model: type[Model], **equal: Any) -> bool:
    database = connection()
    table = _table(model, database.alias)
    condition, values = table.condition(database, equal)
    with database.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table.quoted} WHERE {condition} LIMIT 1", values)  # noqa: S608  ours, quoted
        return cursor.fetchone() is not None


def update(model: type[Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Set ``values`` in the rows that match ``where``. Returns how many rows were changed."""
    database = connection()
    table = _table(model, database.alias)
    changes, new = table.changes(database, values)
    condition, old = table.condition(database, where)
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE {table.quoted} SET {changes} WHERE {condition}", new + old)  # noqa: S608  ours, quoted
        return int(cursor.rowcount)


def insert(rows: Sequence[Model], *, unique: Collection[str] = (), replace: Collection[str] = ()) -> None:
    """Insert rows of one model, and set the primary keys that the database generates.

    Where a row with the same values in ``unique`` exists, update its columns ``replace`` instead.
    """
    database = connection()
    table = _table(type(rows[0]), database.alias)
    values = [column.of(database, row) for row in rows for column in table.inserted]
    one = f"({', '.join(['%s'] * len(table.inserted))})"
    sql = f"{table.insert} VALUES {', '.join([one] * len(rows))}"
    if unique:
        known = ", ".join(table.columns[name].quoted for name in unique)
        changes = (table.columns[name].quoted for name in replace)
        sql += f" ON CONFLICT ({known}) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in changes)}"
    with database.cursor() as cursor:
        if table.generated is None:
            cursor.execute(sql, values)
            return
        cursor.execute(f"{sql} RETURNING {table.generated}", values)
        for row, (number,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = number


Convert = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class _Column:
    field: Field[Any, Any]
    quoted: str
    expression: Col
    converters: tuple[Convert, ...]

    def of(self, database: BaseDatabaseWrapper, row: Model) -> Any:
        return self.field.get_db_prep_save(self.field.pre_save(row, add=True), database)

    def read(self, database: BaseDatabaseWrapper, value: Any) -> Any:
        for convert in self.converters:
            value = convert(value, self.expression, database)
        return value


@dataclass(frozen=True, slots=True)
class _Table:
    """``columns``: by field name and attribute name. ``inserted``: the columns that an INSERT names. ``generated``: the
    column that the database fills in, if any."""

    model: type[Model]
    quoted: str
    every: tuple[_Column, ...]
    columns: Mapping[str, _Column]
    inserted: tuple[_Column, ...]
    generated: str | None
    select: str
    insert: str

    def condition(self, database: BaseDatabaseWrapper, equal: Mapping[str, Any]) -> tuple[str, list[Any]]:
        wanted = [(self.columns[name], value) for name, value in equal.items()]
        terms = [f"{column.quoted} IS NULL" if value is None else f"{column.quoted} = %s" for column, value in wanted]
        adapted = [column.field.get_db_prep_save(value, database) for column, value in wanted if value is not None]
        return " AND ".join(terms), adapted

    def changes(self, database: BaseDatabaseWrapper, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        wanted = [(self.columns[name], value) for name, value in values.items()]
        adapted = [column.field.get_db_prep_save(value, database) for column, value in wanted]
        return ", ".join(f"{column.quoted} = %s" for column, _ in wanted), adapted

    def instance(self, database: BaseDatabaseWrapper, row: Sequence[Any]) -> Any:
        values = [column.read(database, value) for column, value in zip(self.every, row, strict=True)]
        return self.model.from_db(database.alias, [column.field.attname for column in self.every], values)


@lru_cache(maxsize=64)
def _table(model: type[Model], alias: str) -> _Table:
    database = connections[alias]
    quote = database.ops.quote_name
    name = quote(model._meta.db_table)
    every = tuple(_column(database, model, field) for field in model._meta.concrete_fields)
    columns = {known: each for each in every for known in (each.field.name, each.field.attname)}
    inserted = tuple(each for each in every if not isinstance(each.field, AutoField))
    generated = next((each.quoted for each in every if isinstance(each.field, AutoField)), None)
    listed, written = (", ".join(each.quoted for each in some) for some in (every, inserted))
    select = f"SELECT {listed} FROM {name}"  # noqa: S608  the model's own names, quoted
    return _Table(model, name, every, columns, inserted, generated, select, f"INSERT INTO {name} ({written})")


def _column(database: BaseDatabaseWrapper, model: type[Model], field: Field[Any, Any]) -> _Column:
    expression = field.get_col(model._meta.db_table)
    converters = (*database.ops.get_db_converters(expression), *expression.get_db_converters(database))
    return _Column(field, database.ops.quote_name(str(field.column)), expression, converters)
