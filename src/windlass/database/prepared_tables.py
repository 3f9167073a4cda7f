"""What ``rows`` knows of a model's table: the text of its statements, and how its fields adapt values.

The text is built once from the model's columns. The model's fields adapt the values, so that the database holds what
the ORM would have written; for values of known types that is one step.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain, compress
from operator import is_not, itemgetter
from types import NoneType
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, DateField, DateTimeField, Field, ForeignKey, JSONField, Model, UUIDField
from django.db.models.base import ModelState
from django.db.models.expressions import Col
from django.utils import timezone

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


Convert = Callable[[Any, Any, Any], Any]
Adapter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``is_plain``: what is saved is the value of the row's attribute, whatever the time. ``adapters``: by the type of
    a value, what makes of it what the field would; None: it stays as it is."""

    field: Field[Any, Any]
    attribute: str
    quoted: str
    expression: Col
    converters: tuple[Convert, ...]
    is_plain: bool
    adapters: Mapping[type, Adapter | None]

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
class Added:
    """How the values of a new row are made: most are defaults, which are adapted already.

    ``adapted_defaults``: of every inserted column. ``plain``: the place and column of each whose value is that of its
    attribute; ``values_of`` reads these attributes, and ``defaults`` are what most of them have. ``stamped``: place and
    column of each that gets the time; ``made``: of each other whose field makes its value.
    """

    adapted_defaults: tuple[Any, ...]
    plain: tuple[tuple[int, Column], ...]
    values_of: Callable[[dict[str, Any]], tuple[Any, ...]]
    defaults: tuple[object, ...]
    stamped: tuple[tuple[int, Column], ...]
    made: tuple[tuple[int, Column], ...]

    def row(self, database: BaseDatabaseWrapper, instance: Model) -> list[Any]:
        """The adapted values of a new row. Sets the attributes of those that are made now."""
        row = list(self.adapted_defaults)
        attributes = instance.__dict__
        if self.stamped:
            moment = timezone.now()
            adapted = self.stamped[0][1].adapt(database, moment)
            for place, column in self.stamped:
                attributes[column.attribute], row[place] = moment, adapted
        given = self.values_of(attributes)
        # In C: a row has up to forty columns, and some ten that are no defaults.
        for number in compress(range(len(given)), map(is_not, given, self.defaults)):
            place, column = self.plain[number]
            row[place] = column.adapt(database, given[number])
        for place, column in self.made:
            row[place] = column.adapt(database, column.field.pre_save(instance, add=True))
        return row


@dataclass(frozen=True, slots=True)
class Table:
    """``columns``: by field name and attribute name. ``inserted``: the columns that an INSERT names, and ``added`` how
    their values are made. ``generated``: the column that the database fills in, if any. ``listed``: the text of all
    columns."""

    model: type[Model]
    quoted: str
    every: tuple[Column, ...]
    columns: Mapping[str, Column]
    inserted: tuple[Column, ...]
    added: Added
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

    def insertion(self, count: int, unique: tuple[str, ...], replace: tuple[str, ...]) -> str:
        one = f"({', '.join(['%s'] * len(self.inserted))})"
        sql = f"{self.insert} VALUES {', '.join([one] * count)}"
        if unique:
            known = ", ".join(self.columns[name].quoted for name in unique)
            changes = [f"{name} = EXCLUDED.{name}" for name in (self.columns[each].quoted for each in replace)]
            sql += f" ON CONFLICT ({known}) DO " + (f"UPDATE SET {', '.join(changes)}" if changes else "NOTHING")
        return sql if self.generated is None else f"{sql} RETURNING {self.generated}"

    def inserted_values(self, database: BaseDatabaseWrapper, instances: Sequence[Model]) -> list[Any]:
        """The parameters of ``insertion`` of these instances."""
        return list(chain.from_iterable(self.added.row(database, each) for each in instances))

    def instance(self, database: BaseDatabaseWrapper, row: Sequence[Any]) -> Any:
        """The instance that this row is, as ``Model.from_db`` makes it, without signals."""
        made = self.model.__new__(self.model)
        made._state = state = ModelState()
        state.adding, state.db = False, database.alias
        attributes = made.__dict__
        for column, value in zip(self.every, row, strict=True):
            attributes[column.attribute] = column.read(database, value) if column.converters else value
        return made


def _listed(column: Column, count: int, *, negated: bool) -> str:
    if not count:
        return "1 = 1" if negated else "1 = 0"
    return f"{column.quoted} {'NOT ' if negated else ''}IN ({', '.join(['%s'] * count)})"


@lru_cache(maxsize=64)
def table_of(model: type[Model], alias: str) -> Table:
    database = connections[alias]
    quote = database.ops.quote_name
    name = quote(model._meta.db_table)
    every = tuple(_column(database, model, field) for field in model._meta.concrete_fields)
    columns = {known: each for each in every for known in (each.field.name, each.field.attname)}
    inserted = tuple(each for each in every if not isinstance(each.field, AutoField))
    generated = next((each.quoted for each in every if isinstance(each.field, AutoField)), None)
    listed, written = (", ".join(each.quoted for each in some) for some in (every, inserted))
    return Table(
        model,
        name,
        every,
        columns,
        inserted,
        _added(database, inserted),
        generated,
        listed,
        f"SELECT {listed} FROM {name}",  # noqa: S608  the model's own names, quoted
        f"INSERT INTO {name} ({written})",
    )


def _added(database: BaseDatabaseWrapper, inserted: Sequence[Column]) -> Added:
    defaults = [_constant_default(column) for column in inserted]
    plain = tuple((place, column) for place, column in enumerate(inserted) if column.is_plain)
    others = [(place, column) for place, column in enumerate(inserted) if not column.is_plain]
    return Added(
        tuple(
            None if default is _NONE else column.adapt(database, default)
            for column, default in zip(inserted, defaults, strict=True)
        ),
        plain,
        _reader([column.attribute for _, column in plain]),
        tuple(defaults[place] for place, _ in plain),
        tuple(each for each in others if _is_stamped(each[1].field)),
        tuple(each for each in others if not _is_stamped(each[1].field)),
    )


def _is_stamped(field: Field[Any, Any]) -> bool:
    """Whether a new row has the time of its insertion here."""
    return type(field) is DateTimeField and (field.auto_now or field.auto_now_add)


def _reader(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """A function that returns the values of these keys."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda attributes: tuple(attributes[name] for name in names)


#: For a column without a constant default.
_NONE = object()


def _constant_default(column: Column) -> Any:
    field = column.field
    return _NONE if _makes_default_anew(field) or not column.is_plain else field.get_default()


def _makes_default_anew(field: Field[Any, Any]) -> bool:
    return field.has_default() and callable(field.default)


def _column(database: BaseDatabaseWrapper, model: type[Model], field: Field[Any, Any]) -> Column:
    expression = field.get_col(model._meta.db_table)
    converters = (*database.ops.get_db_converters(expression), *expression.get_db_converters(database))
    # A date field without ``auto_now`` saves what its attribute holds.
    is_plain = type(field).pre_save is Field.pre_save or (
        isinstance(field, DateField) and not field.auto_now and not field.auto_now_add
    )
    quoted = database.ops.quote_name(str(field.column))
    return Column(field, field.attname, quoted, expression, converters, is_plain, _adapters(database, field))


class _StringAdapters(dict[type, Adapter | None]):
    """Strings stay as they are, also those of an enumeration."""

    def __missing__(self, kind: type) -> None:
        if not issubclass(kind, str):
            raise KeyError(kind)
        self[kind] = None


def _adapters(database: BaseDatabaseWrapper, field: Field[Any, Any]) -> Mapping[type, Adapter | None]:
    """What Django's own fields make of values of their types, in one step instead of five. The field itself adapts
    whatever is not listed."""
    if isinstance(field, ForeignKey) and isinstance(field.target_field, UUIDField):
        return _adapters(database, field.target_field)
    kind = field.get_internal_type()
    on_sqlite = database.vendor == "sqlite"
    if not type(field).get_prep_value.__module__.startswith("django."):
        return {}
    if kind in ("CharField", "TextField"):
        return _StringAdapters({str: None, NoneType: None})
    if kind == "UUIDField":
        return {uuid.UUID: (lambda value: value.hex) if on_sqlite else None, NoneType: None}
    if not on_sqlite:  # the driver gets numbers and times with the type of the column
        return {}
    if kind.endswith("IntegerField"):
        return {int: None, NoneType: None}
    if isinstance(field, JSONField):
        return {dict: partial(_json_text, field)}
    if kind == "BooleanField":
        return {bool: None, NoneType: None}
    if kind == "DateTimeField" and database.timezone is UTC:
        return {datetime: partial(_utc_text, field, database), NoneType: None}
    return {}


def _json_text(field: JSONField[Any, Any], value: dict[str, Any]) -> str:
    return json.dumps(value, cls=field.encoder) if value else "{}"


def _utc_text(field: Field[Any, Any], database: BaseDatabaseWrapper, value: datetime) -> Any:
    return str(value)[: -len("+00:00")] if value.tzinfo is UTC else field.get_db_prep_save(value, database)


def new(model: type[M], **values: Any) -> M:
    """What ``model(**values)`` makes, in a fraction of its time: every value is checked by the database only, and no
    signals are sent. ``values``: by the names of fields or their attributes."""
    made = model.__new__(model)
    made._state = ModelState()
    known, constant, made_anew = _defaults(model)
    attributes = made.__dict__
    attributes.update(constant)
    for name, make in made_anew:
        if name not in values:
            attributes[name] = make()
    for name, value in values.items():
        if name in known:
            attributes[name] = value
        else:  # a related object, whose key is another attribute
            setattr(made, name, value)
    return made


@lru_cache(maxsize=64)
def _defaults(model: type[Model]) -> tuple[frozenset[str], dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """The model's attributes, the defaults of those that are the same for each row, and how the others are made."""
    constant: dict[str, Any] = {}
    made_anew: list[tuple[str, Callable[[], Any]]] = []
    for field in model._meta.concrete_fields:
        if _makes_default_anew(field):
            made_anew.append((field.attname, field.default))
        else:
            constant[field.attname] = field.get_default()
    return frozenset(field.attname for field in model._meta.concrete_fields), constant, made_anew
