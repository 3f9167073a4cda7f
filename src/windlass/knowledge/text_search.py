"""Full text search in passages: one interface, and what each database has for it.

The words of a passage, in their compared form, are indexed beside its row, within the transaction that writes it; they
are gone with the row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from windlass.database.connection import alias, connection
from windlass.files.api import FileAsset
from windlass.knowledge.matches import Match
from windlass.knowledge.models import Passage
from windlass.knowledge.postgresql_text_search import PostgresqlTextSearch
from windlass.knowledge.queries import Term
from windlass.knowledge.sqlite_text_search import SqliteTextSearch


class TextSearch(Protocol):
    """What a database does. Names of tables are those of the models."""

    def add(self, database: BaseDatabaseWrapper, passages: Sequence[tuple[int, str]]) -> None:
        """Index passages, given by id and text, within the caller's transaction."""
        ...

    def forget_deleted(self, database: BaseDatabaseWrapper) -> bool:
        """Remove what deleted passages have left in the index; False if there was nothing to do."""
        ...

    def recreate(self, database: BaseDatabaseWrapper) -> None:
        """Make the index anew, without any passage."""
        ...

    def query(self, terms: Sequence[Term], *, every: bool) -> str:
        """The query in the database's language, for passages with every term, or with any."""
        ...

    def select(self, files: str) -> str:
        """The SELECT of id, file, score and words (separated by spaces), best first. Its parameters: those of
        ``files``, which is a SELECT of the ids of files, and ``query`` and ``limit`` by name."""
        ...


def text_search(database: BaseDatabaseWrapper) -> TextSearch:
    """Raises NotImplementedError for a database other than SQLite and PostgreSQL."""
    kinds: dict[str, Callable[[], TextSearch]] = {"sqlite": SqliteTextSearch, "postgresql": PostgresqlTextSearch}
    if database.vendor not in kinds:
        raise NotImplementedError(f"no full text search in {database.vendor}")
    return kinds[database.vendor]()


def add_words(passages: Sequence[Passage]) -> None:
    """Index saved passages within the caller's transaction."""
    database = connection()
    text_search(database).add(database, [(passage.pk, passage.text) for passage in passages])


def forget_deleted_words() -> bool:
    """Remove what deleted passages have left in the index of words; False if there was nothing to do."""
    database = connection()
    return text_search(database).forget_deleted(database)


def find_passages(terms: Sequence[Term], files: QuerySet[FileAsset], limit: int) -> list[Match]:
    """The best passages of ``files``: first those with every term, then those with any."""
    if not terms:
        return []
    found = _select(terms, files, limit, every=True)
    if len(found) < limit and len(terms) > 1:
        known = {match.passage_id for match in found}
        others = _select(terms, files, limit, every=False)
        found += [match for match in others if match.passage_id not in known][: limit - len(found)]
    return found


def weight_of(terms: Sequence[Term], words: Collection[str]) -> float:
    """The weight of a passage with these words: the square of the share of the terms that it has. One stray word of a
    long question must not count as much as what answers it. A phrase counts if its words are there."""
    known = set(words)
    has = [
        any(word.startswith(term.words[0]) for word in known) if term.prefix else known.issuperset(term.words)
        for term in terms
    ]
    return (sum(has) / len(has)) ** 2


def _select(terms: Sequence[Term], files: QuerySet[FileAsset], limit: int, *, every: bool) -> list[Match]:
    database = connection()
    search = text_search(database)
    try:
        sql, values = files.order_by().values("id").query.get_compiler(using=alias()).as_sql()
    except EmptyResultSet:
        return []
    with database.cursor() as cursor:
        cursor.execute(search.select(sql), [*values, search.query(terms, every=every), limit])
        rows = cursor.fetchall()
    read = Passage._meta.get_field("file").target_field.to_python
    return [
        Match(passage_id, read(file_id), score, 1.0 if every else weight_of(terms, words.split()))
        for passage_id, file_id, score, words in rows
    ]
