"""Operations of migrations that create and drop indexes while the table is in use.

A migration with them has ``atomic = False``. Each operation may be repeated after a crash at any moment: an index that
is there already is kept, and one that PostgreSQL left invalid is built again.
"""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations import AddIndex, RemoveIndex
from django.db.models import Index

_IS_VALID = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(%s)"


class AddIndexOnline(AddIndex):
    """``AddIndex`` that lets writers go on: CREATE INDEX CONCURRENTLY in PostgreSQL. It waits for the transactions that
    are open. SQLite builds the index in one transaction, during which others read; other databases as Django does."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor == "postgresql":
            _create_concurrently(
                schema_editor, str(self.index.create_sql(model, schema_editor, concurrently=True)), self.index
            )
        elif not _exists(schema_editor.connection, model, self.index.name):
            schema_editor.add_index(model, self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        _drop(schema_editor, from_state.apps.get_model(app_label, self.model_name), self.index, self)


class RemoveIndexOnline(RemoveIndex):
    """``RemoveIndex`` that lets readers and writers go on: DROP INDEX CONCURRENTLY in PostgreSQL."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _drop(schema_editor, from_state.apps.get_model(app_label, self.model_name), index, self)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        AddIndexOnline(self.model_name, index).database_forwards(app_label, schema_editor, from_state, to_state)


def create_index_concurrently(schema_editor: Any, name: str, definition: str) -> None:
    """Create an index of PostgreSQL that no model knows. ``definition``: what follows its name, from ``ON`` on."""
    sql = f"CREATE INDEX CONCURRENTLY {schema_editor.quote_name(name)} {definition}"
    _create_concurrently(schema_editor, sql, Index(fields=["id"], name=name))


def _create_concurrently(schema_editor: Any, sql: str, index: Index) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_IS_VALID, [schema_editor.quote_name(index.name)])
        row = cursor.fetchone()
    if row is not None and row[0]:
        return
    if row is not None:  # an earlier run was interrupted
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
    schema_editor.execute(sql, params=None)


def _drop(schema_editor: Any, model: Any, index: Index, operation: Any) -> None:
    if not operation.allow_migrate_model(schema_editor.connection.alias, model):
        return
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
    elif _exists(schema_editor.connection, model, index.name):
        schema_editor.remove_index(model, index)


def _exists(database: Any, model: Any, name: str) -> bool:
    with database.cursor() as cursor:
        return name in database.introspection.get_constraints(cursor, model._meta.db_table)
