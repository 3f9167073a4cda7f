"""Select, insert and update rows of a model by prepared SQL, for the statements that run for every file.

The ORM builds its SQL anew at each call, which takes many times as long as the database then needs. Here the text is
built once from the model's columns, and the model's fields adapt the values, so that the database holds what the ORM
would have written. No signals are sent.

A condition maps names of fields to values, joined by AND: a value means equality (None: IS NULL), and ``Below``,
``Above``, ``NotNull``, ``OneOf`` and ``NoneOf`` mean what they say. ``either`` is a second mapping, of which one entry
has to hold too. A change maps names to new values, or to ``Plus``. Use the ORM for everything else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import NoneType
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, Field, Model
from django.db.models.expressions import Col

from windlass.database.connection import connection

M = TypeVar("M", bound=Model)


Conditions = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Below:
    """A condition: the column has a value that is less than this one."""

    value: Any


@dataclass(frozen=True, slots=True)
class Above:
    """A condition: the column has a value that is greater than this one."""

    value: Any


@dataclass(frozen=True, slots=True)
class NotNull:
    """A condition: the column has a value."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A condition: the column has one of these values."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """A condition: the column has none of these values."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Plus:
    """A change: add this number to the column."""

    number: int


def find(model: type[M], **equal: Any) -> M | None:
    """The only row with these values, or None."""
    return next(iter(select(model, most=1, **equal)), None)


def select(model: type[M], *, most: int | None = None, order: Collection[str] = (), **where: Any) -> list[M]:
    """The rows that match, at most ``most``, sorted by the fields ``order``."""
    database = connection()
    table = _table(model, database.alias)
    condition, values = table.condition(database, where)
    limit = "" if most is None else f" LIMIT {most:d}"
    sorting = f" ORDER BY {', '.join(table.columns[name].quoted for name in order)}" if order else ""
    with database.cursor() as cursor:
        cursor.execute(f"{table.select} WHERE {condition}{sorting}{limit}", values)
        return [table.instance(database, row) for row in cursor.fetchall()]


def exists(model: type[Model], **equal: Any) -> bool:
    database = connection()
    table = _table(model, database.alias)
    condition, values = table.condition(database, equal)
    with database.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table.quoted} WHERE {condition} LIMIT 1", values)  # noqa: S608  ours, quoted
        return cursor.fetchone() is not None


def count(model: type[Model], where: Conditions) -> int:
    database = connection()
    table = _table(model, database.alias)
    condition, values = table.condition(database, where)
    with database.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table.quoted} WHERE {condition}", values)  # noqa: S608  ours, quoted
        return int(cursor.fetchone()[0])


def update(
    model: type[Model], where: Conditions, values: Mapping[str, Any], *, either: Conditions | None = None
) -> int:
    """Set ``values`` in the rows that match. Returns how many rows were changed."""
    database = connection()
    sql, parameters = _update(_table(model, database.alias), database, where, either, values)
    with database.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def update_one(
    model: type[M], where: Conditions, values: Mapping[str, Any], *, either: Conditions | None = None
) -> M | None:
    """``update`` of the only row that matches, which is returned as it is now; None if there is none."""
    database = connection()
    table = _table(model, database.alias)
    sql, parameters = _update(table, database, where, either, values)
    with database.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {table.listed}", parameters)
        row = cursor.fetchone()
    changed: M | None = None if row is None else table.instance(database, row)
    return changed


def insert(rows: Sequence[Model], *, unique: Collection[str] = (), replace: Collection[str] = ()) -> int:
    """Insert rows of one model, and set the primary keys that the database generates. Returns how many were inserted.

    Where a row with the same values in ``unique`` exists, update its columns ``replace`` instead. Without ``replace``
    it stays as it is, which a table whose primary keys the database generates does not support.
    """
    database = connection()
    table = _table(type(rows[0]), database.alias)
    values = [column.of(database, row) for row in rows for column in table.inserted]
    sql = table.insertion(len(rows), unique, replace)
    with database.cursor() as cursor:
        cursor.execute(sql, values)
        if table.generated is not None:
            for row, (number,) in zip(rows, cursor.fetchall(), strict=True):
                row.pk = number
        inserted = int(cursor.rowcount) if unique else len(rows)
    for row in rows:
        row._state.adding, row._state.db = False, database.alias
    return inserted


def _update(
    table: _Table,
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


Convert = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class _Column:
    """``is_plain``: what is saved is the value of the row's attribute, whatever the time. ``adapters``: by the type of
    a value, what makes of it what the field would; None: it stays as it is."""

    field: Field[Any, Any]
    quoted: str
    expression: Col
    converters: tuple[Convert, ...]
    is_plain: bool
    adapters: Mapping[type, Callable[[Any], Any] | None]

    def of(self, database: BaseDatabaseWrapper, row: Model) -> Any:
        value = row.__dict__[self.field.attname] if self.is_plain else self.field.pre_save(row, add=True)
        return self.adapt(database, value)

    def adapt(self, database: BaseDatabaseWrapper, value: Any) -> Any:
        try:
            adapter = self.adapters[type(value)]
        except KeyError:
            return self.field.get_db_prep_save(value, database)
        return value if adapter is None else adapter(value)

    def read(self, database: BaseDatabaseWrapper, value: Any) -> Any:
        for convert in self.converters:
            value = convert(value, self.expression, database)
        return value


@dataclass(frozen=True, slots=True)
class _Table:
    """``columns``: by field name and attribute name. ``inserted``: the columns that an INSERT names. ``generated``: the
    column that the database fills in, if any. ``listed``: the text of all columns, in the order of ``attributes``."""

    model: type[Model]
    quoted: str
    every: tuple[_Column, ...]
    attributes: tuple[str, ...]
    columns: Mapping[str, _Column]
    inserted: tuple[_Column, ...]
    generated: str | None
    listed: str
    select: str
    insert: str

    def condition(
        self, database: BaseDatabaseWrapper, where: Conditions, joined: str = " AND "
    ) -> tuple[str, list[Any]]:
        terms: list[str] = []
        adapted: list[Any] = []
        for name, value in where.items():
            column = self.columns[name]
            if value is None:
                terms.append(f"{column.quoted} IS NULL")
            elif isinstance(value, NotNull):
                terms.append(f"{column.quoted} IS NOT NULL")
            elif isinstance(value, Below | Above):
                terms.append(f"{column.quoted} {'<' if isinstance(value, Below) else '>'} %s")
                adapted.append(column.adapt(database, value.value))
            elif isinstance(value, OneOf | NoneOf):
                terms.append(_listed(column, len(value.values), negated=isinstance(value, NoneOf)))
                adapted += [column.adapt(database, each) for each in value.values]
            else:
                terms.append(f"{column.quoted} = %s")
                adapted.append(column.adapt(database, value))
        return joined.join(terms), adapted

    def changes(self, database: BaseDatabaseWrapper, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        terms: list[str] = []
        adapted: list[Any] = []
        for name, value in values.items():
            column = self.columns[name]
            added = isinstance(value, Plus)
            terms.append(f"{column.quoted} = {column.quoted} + %s" if added else f"{column.quoted} = %s")
            adapted.append(value.number if added else column.adapt(database, value))
        return ", ".join(terms), adapted

    def insertion(self, count: int, unique: Collection[str], replace: Collection[str]) -> str:
        one = f"({', '.join(['%s'] * len(self.inserted))})"
        sql = f"{self.insert} VALUES {', '.join([one] * count)}"
        if unique:
            known = ", ".join(self.columns[name].quoted for name in unique)
            changes = [f"{name} = EXCLUDED.{name}" for name in (self.columns[each].quoted for each in replace)]
            sql += f" ON CONFLICT ({known}) DO " + (f"UPDATE SET {', '.join(changes)}" if changes else "NOTHING")
        return sql if self.generated is None else f"{sql} RETURNING {self.generated}"

    def instance(self, database: BaseDatabaseWrapper, row: Sequence[Any]) -> Any:
        values = [
            column.read(database, value) if column.converters else value
            for column, value in zip(self.every, row, strict=True)
        ]
        return self.model.from_db(database.alias, self.attributes, values)


def _listed(column: _Column, count: int, *, negated: bool) -> str:
    if not count:
        return "1 = 1" if negated else "1 = 0"
    return f"{column.quoted} {'NOT ' if negated else ''}IN ({', '.join(['%s'] * count)})"


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
    return _Table(
        model,
        name,
        every,
        tuple(each.field.attname for each in every),
        columns,
        inserted,
        generated,
        listed,
        f"SELECT {listed} FROM {name}",  # noqa: S608  the model's own names, quoted
        f"INSERT INTO {name} ({written})",
    )


def _column(database: BaseDatabaseWrapper, model: type[Model], field: Field[Any, Any]) -> _Column:
    expression = field.get_col(model._meta.db_table)
    converters = (*database.ops.get_db_converters(expression), *expression.get_db_converters(database))
    is_plain = type(field).pre_save is Field.pre_save
    quoted = database.ops.quote_name(str(field.column))
    return _Column(field, quoted, expression, converters, is_plain, _adapters(database, field))


def _adapters(database: BaseDatabaseWrapper, field: Field[Any, Any]) -> Mapping[type, Callable[[Any], Any] | None]:
    """What Django's own fields make of values of their types, in one step instead of five. The field itself adapts
    whatever is not listed."""
    kind = field.get_internal_type()
    on_sqlite = database.vendor == "sqlite"
    if not type(field).get_prep_value.__module__.startswith("django."):
        return {}
    if kind in ("CharField", "TextField"):
        return {str: None, NoneType: None}
    if kind == "UUIDField":
        return {uuid.UUID: (lambda value: value.hex) if on_sqlite else None, NoneType: None}
    if not on_sqlite:  # the driver gets numbers and times with the type of the column
        return {}
    if kind.endswith("IntegerField"):
        return {int: None, NoneType: None}
    if kind == "BooleanField":
        return {bool: None, NoneType: None}
    if kind == "DateTimeField" and database.timezone is UTC:
        return {datetime: partial(_utc_text, field, database), NoneType: None}
    return {}


def _utc_text(field: Field[Any, Any], database: BaseDatabaseWrapper, value: datetime) -> Any:
    return str(value.replace(tzinfo=None)) if value.tzinfo is UTC else field.get_db_prep_save(value, database)
