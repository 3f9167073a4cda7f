"""The index of parts of names and facts, by which ``q`` of the list finds few files among millions.

PostgreSQL has a GIN index of trigrams, if the extension ``pg_trgm`` can be created; SQLite a table of FTS5 with the
tokenizer ``trigram``, which triggers keep. Neither is known to a model: ``ensure_name_index`` makes them after every
``migrate``, so also after a migration that has made the table of files anew, which loses its triggers. A database
without the index finds the same files, by reading all rows of the caller.
"""

# ruff: noqa: S608  the statements are made of our own names only

from __future__ import annotations

from typing import Any

import structlog
from django.db import DatabaseError, connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from windlass.database.connection import connection
from windlass.database.online_index import create_index_concurrently
from windlass.database.sqlite.full_text import merge_segments
from windlass.files.models import FileAsset

log = structlog.get_logger(__name__)

#: Shorter texts have no trigram, and are found without the index.
SHORTEST = 3
INDEX = "file_by_part_of_name"
FILES = FileAsset._meta.db_table
#: Each file's row in the table of trigrams, which has only numbers as keys.
KEYS, TRIGRAMS = "windlass_files_namekey", "windlass_files_nametrigrams"

_NAMES = "{0}.search_name || char(10) || {0}.search_facts"
_ADD = (
    f"INSERT INTO {TRIGRAMS} (rowid, names) "
    f"VALUES ((SELECT id FROM {KEYS} WHERE file_id = NEW.id), {_NAMES.format('NEW')});"
)
_REMOVE = f"DELETE FROM {TRIGRAMS} WHERE rowid = (SELECT id FROM {KEYS} WHERE file_id = OLD.id);"
_TRIGGERS = {
    "windlass_files_name_added": f"AFTER INSERT ON {FILES} BEGIN "
    f"INSERT INTO {KEYS} (file_id) VALUES (NEW.id); {_ADD} END",
    "windlass_files_name_changed": f"AFTER UPDATE OF search_name, search_facts ON {FILES} "
    "WHEN NEW.search_name IS NOT OLD.search_name OR NEW.search_facts IS NOT OLD.search_facts "
    f"BEGIN {_REMOVE} {_ADD} END",
    "windlass_files_name_removed": f"AFTER DELETE ON {FILES} BEGIN {_REMOVE} "
    f"DELETE FROM {KEYS} WHERE file_id = OLD.id; END",
}
_PARTS = (*_TRIGGERS, KEYS, TRIGRAMS)
_SQLITE = (
    *(f"DROP TRIGGER IF EXISTS {name}" for name in _TRIGGERS),
    f"DROP TABLE IF EXISTS {TRIGRAMS}",
    f"DROP TABLE IF EXISTS {KEYS}",
    f"CREATE TABLE {KEYS} (id INTEGER PRIMARY KEY, file_id char(32) NOT NULL UNIQUE)",
    f"CREATE VIRTUAL TABLE {TRIGRAMS} USING fts5(names, tokenize = 'trigram')",
    f"INSERT INTO {KEYS} (file_id) SELECT id FROM {FILES}",
    f"INSERT INTO {TRIGRAMS} (rowid, names) SELECT k.id, {_NAMES.format('f')} "
    f"FROM {FILES} f JOIN {KEYS} k ON k.file_id = f.id",
    *(f"CREATE TRIGGER {name} {body}" for name, body in _TRIGGERS.items()),
)


def ensure_name_index(using: str, **_: Any) -> None:
    """Make the index if it is missing or not complete. Called after ``migrate``."""
    database = connections[using]
    if FILES not in database.introspection.table_names():
        return
    if database.vendor == "sqlite":
        _ensure_triggers(database)
    elif database.vendor == "postgresql":
        _ensure_trigram_index(database)


def has_part(text: str) -> Q:
    """Condition of files whose name or facts contain this text, which ``filenames.comparable`` has made."""
    return Q(search_name__contains=text) | Q(search_facts__contains=text)


def by_name_index(files: QuerySet[FileAsset], text: str) -> QuerySet[FileAsset]:
    """Those of ``files`` that may contain ``text``, by SQLite's table of trigrams. PostgreSQL uses its index itself."""
    database = connection()
    if len(text) < SHORTEST or database.vendor != "sqlite" or not _is_complete(database):
        return files
    found = f"SELECT k.file_id FROM {TRIGRAMS} t CROSS JOIN {KEYS} k ON k.id = t.rowid WHERE t.names MATCH %s"
    return files.filter(id__in=RawSQL(found, ['"' + text.replace('"', '""') + '"']))  # noqa: S611  a parameter


def forget_deleted_names() -> bool:
    """Remove what deleted and changed names have left in the index; False if there was nothing to do."""
    database = connection()
    return database.vendor == "sqlite" and merge_segments(database, TRIGRAMS)


def name_index_blocks_writes() -> bool:
    """Whether triggers are there without their tables, in a damaged or edited database: no file can be written then."""
    database = connection()
    if database.vendor != "sqlite":
        return False
    found = _existing_parts(database)
    return not found.isdisjoint(_TRIGGERS) and not found >= {KEYS, TRIGRAMS}


def _is_complete(database: Any) -> bool:
    """Whether the tables and all triggers are there: a table of files that was made anew has no triggers, and what was
    written since is not found."""
    return len(_existing_parts(database)) == len(_PARTS)


def _existing_parts(database: Any) -> set[str]:
    with database.cursor() as cursor:
        names = ", ".join(["%s"] * len(_PARTS))
        cursor.execute(f"SELECT name FROM sqlite_master WHERE name IN ({names})", _PARTS)
        return {name for (name,) in cursor.fetchall()}


def _ensure_triggers(database: Any) -> None:
    if _is_complete(database):
        return
    try:
        with transaction.atomic(using=database.alias), database.cursor() as cursor:
            for statement in _SQLITE:
                cursor.execute(statement)
    except DatabaseError as error:  # an SQLite without FTS5 or without the tokenizer (before 3.34)
        log.warning("name_index.unavailable", reason=str(error))


def _ensure_trigram_index(database: Any) -> None:
    if database.in_atomic_block:
        return  # within a test's transaction
    try:
        with database.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        with database.schema_editor(atomic=False) as editor:
            columns = "(search_name gin_trgm_ops, search_facts gin_trgm_ops)"
            create_index_concurrently(editor, INDEX, f"ON {FILES} USING gin {columns}")
    except DatabaseError as error:
        log.warning("name_index.unavailable", reason=str(error).strip(), help="A superuser may create pg_trgm.")
