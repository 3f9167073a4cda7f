"""Whether code that knows one schema can run on another one: what of a later schema would break it.

Old code names its own columns in each statement. So every table and column that it knows must stay, no value that it
writes may be refused, and a column that it does not know must have a value without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.migrations.state import ProjectState
from django.db.models import Field, Model

#: From an internal type of a field to those that hold all of its values.
WIDER = {
    "CharField": {"TextField"},
    "IntegerField": {"BigIntegerField"},
    "PositiveSmallIntegerField": {"PositiveIntegerField", "PositiveBigIntegerField", "IntegerField", "BigIntegerField"},
    "PositiveIntegerField": {"PositiveBigIntegerField", "BigIntegerField"},
    "PositiveBigIntegerField": {"BigIntegerField"},
    "SmallIntegerField": {"IntegerField", "BigIntegerField"},
}


def incompatibilities(old: ProjectState, new: ProjectState) -> list[str]:
    """What of the schema ``new`` breaks code that knows ``old``, one sentence each; empty if it can run on it."""
    tables = _tables(new)
    return [each for name, model in _tables(old).items() for each in _of_table(name, model, tables.get(name))]


def _tables(state: ProjectState) -> dict[str, type[Model]]:
    models = state.apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model for model in models if model._meta.app_label.startswith("windlass_")}


def _of_table(name: str, old: type[Model], new: type[Model] | None) -> Iterator[str]:
    if new is None:
        yield f"The table {name} is gone."
        return
    before, after = _columns(old), _columns(new)
    for column, field in before.items():
        if column not in after:
            yield f"The column {name}.{column} is gone."
        else:
            yield from (f"The column {name}.{column} {change}." for change in _narrowed(field, after[column]))
    for column in after.keys() - before.keys():
        if not after[column].null and not after[column].has_db_default():
            yield f"The column {name}.{column} is new, and is neither null nor has it a db_default."
        if after[column].unique:
            yield f"The column {name}.{column} is new and unique."
    known = {constraint.name for constraint in old._meta.constraints}
    for constraint in new._meta.constraints:
        if constraint.name not in known and not _replaces(constraint, old):
            yield f"The constraint {constraint.name} of {name} is new."
    if {*new._meta.unique_together} - {*old._meta.unique_together}:
        yield f"The table {name} has a new unique_together."


def _columns(model: type[Model]) -> dict[str, Field[Any, Any]]:
    return {field.column: field for field in model._meta.local_concrete_fields}


def _narrowed(old: Field[Any, Any], new: Field[Any, Any]) -> Iterator[str]:
    before, after = old.get_internal_type(), new.get_internal_type()
    if after != before and after not in WIDER.get(before, set()):
        yield f"was a {before} and is a {after}"
    if old.null and not new.null:
        yield "may no longer be null"
    if new.unique and not old.unique:
        yield "is unique now"
    if old.max_length and new.max_length and new.max_length < old.max_length:
        yield f"is shorter: {new.max_length} characters instead of {old.max_length}"
    if old.has_db_default() and not new.has_db_default() and not new.null:
        yield "has no db_default any more"


def _replaces(constraint: Any, old: type[Model]) -> bool:
    """Whether it is a constraint of the old model under another name."""
    _, arguments, options = constraint.deconstruct()
    return any(
        (arguments, options | {"name": ""}) == (each.deconstruct()[1], each.deconstruct()[2] | {"name": ""})
        for each in old._meta.constraints
    )
