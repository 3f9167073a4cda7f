"""Remove what deleted rows leave in a table of FTS5.

FTS5 never changes what it has written: a deleted row is a mark in a newer segment of the index, and its words stay in
the older one until both are merged. (The option ``secure-delete`` needs SQLite 3.42, and older ones cannot read what it
writes.) https://www.sqlite.org/fts5.html#the_merge_command
"""

# ruff: noqa: S608  the statements are made of our own names only

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

#: Pages that one statement writes, about 2 MB: other writers wait for it. Of FTS5's pages, of 4 KB.
PAGES = 500
#: A statement that changed fewer rows than this has found nothing to do.
_DONE = 2


def merge_segments(database: BaseDatabaseWrapper, table: str) -> bool:
    """Merge the segments of the index into one, in several transactions; False if there was only one, or no table.

    It writes the index anew. If it is interrupted, the next call continues.
    """
    if not _has_segments(database, table):
        return False
    pages = -PAGES  # the sign marks all of them for merging
    while _changes(database, f"INSERT INTO {table} ({table}, rank) VALUES ('merge', {pages:d})") >= _DONE:
        pages = PAGES
    return True


def _has_segments(database: BaseDatabaseWrapper, table: str) -> bool:
    if f"{table}_idx" not in database.introspection.table_names():
        return False
    with database.cursor() as cursor:
        cursor.execute(f"SELECT count(DISTINCT segid) FROM {table}_idx")
        return bool(cursor.fetchone()[0] > 1)


def _changes(database: BaseDatabaseWrapper, statement: str) -> int:
    with database.cursor() as cursor:
        cursor.execute("SELECT total_changes()")
        before = int(cursor.fetchone()[0])
        cursor.execute(statement)
        cursor.execute("SELECT total_changes()")
        return int(cursor.fetchone()[0]) - before
