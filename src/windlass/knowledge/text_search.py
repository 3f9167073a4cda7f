"""Full text search in passages: one interface, and what each database has for it.

The words of a passage, in their compared form, are indexed beside its row, within the transaction that writes it; they
are gone with the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from windlass.database.connection import alias, connection
from windlass.files.api import FileAsset
from windlass.knowledge.fusion import score_of_words
from windlass.knowledge.matches import Match
from windlass.knowledge.models import Passage
from windlass.knowledge.postgresql_text_search import PostgresqlTextSearch
from windlass.knowledge.queries import Term
from windlass.knowledge.sqlite_text_search import SqliteTextSearch

#: Matching passages that are ranked, the newest ones if there are more: ranking takes much longer than finding.
MOST_RANKED = 1_000
#: The same of passages that only fill up what better ones have left.
MOST_RANKED_AFTER_OTHERS = 250


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

    def searching(self, database: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Entered around the statements of a search."""
        ...

    def query(self, alternatives: Sequence[Sequence[Term]]) -> str:
        """The query in the database's language, for passages with every term of one of the alternatives."""
        ...

    def counts(self, database: BaseDatabaseWrapper, queries: Sequence[str], most: int) -> Sequence[int]:
        """How many passages match each query, of all owners; if there are as many as ``most`` or more, that or about
        how many there are."""
        ...

    def select(self, files: str) -> str:
        """The SELECT of id, file, rank and words (separated by spaces), best first. Its parameters: those of ``files``,
        which is a SELECT of the ids of files, the query, how many of the matching passages are ranked (the newest
        ones), a query whose passages come first, and how many are wanted."""
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


def find_passages(terms: Sequence[Term], files: QuerySet[FileAsset], limit: int, enough: int) -> list[Match]:
    """The best passages of ``files``, at most ``limit``: those with every term first, then those with any. Those that
    have common terms only are looked for where there are not ``enough`` others.

    What it costs is bounded: of more than MOST_RANKED passages the newest are ranked, of those that come after others
    MOST_RANKED_AFTER_OTHERS, and words that many passages have count only together, or beside those that few have.
    """
    found: list[Match] = []
    most_ranked = MOST_RANKED
    database = connection()
    with text_search(database).searching(database):
        for alternatives in _stages(terms):
            known = {match.passage_id for match in found}
            others = _select(terms, alternatives, files, limit, max(limit, most_ranked))
            most_ranked = MOST_RANKED_AFTER_OTHERS
            found += [match for match in others if match.passage_id not in known][: limit - len(found)]
            if len(found) >= enough:
                break
    return found


def share_of(terms: Sequence[Term], words: str) -> float:
    """The share of the terms that a passage with these words (separated by spaces) has. A phrase counts if its words
    are there."""
    text = f" {words} "
    has = sum(f" {term.words[0]}" in text if term.prefix else _has_every(text, term.words) for term in terms)
    return has / len(terms)


def _has_every(text: str, words: Sequence[str]) -> bool:
    return all(f" {word} " in text for word in words)


def _stages(terms: Sequence[Term]) -> Iterator[Sequence[Sequence[Term]]]:
    """What a passage must have, most wanted first: any of the rare terms, which at most MOST_RANKED passages have
    together, then all of the others. Where no term is rare, first all terms, then the two rarest, then the
    rarest."""
    if len(terms) < 2:
        yield from [[terms]] if terms else []
        return
    database = connection()
    search = text_search(database)
    counts = search.counts(database, [search.query([[term]]) for term in terms], MOST_RANKED + 1)
    counted = dict(zip(terms, counts, strict=True))
    by_count = sorted(terms, key=lambda term: counted[term])
    total = 0
    rare = [term for term in by_count if (total := total + counted[term]) <= MOST_RANKED]
    common = by_count[len(rare) :]
    if not rare:
        yield [terms]
        yield from ([by_count[:number]] for number in (2, 1) if number < len(terms))
        return
    yield [[term] for term in rare]
    if common:
        yield [common]


def _select(
    terms: Sequence[Term],
    alternatives: Sequence[Sequence[Term]],
    files: QuerySet[FileAsset],
    limit: int,
    most_ranked: int,
) -> list[Match]:
    database = connection()
    search = text_search(database)
    try:
        sql, values = files.order_by().values("id").query.get_compiler(using=alias()).as_sql()
    except EmptyResultSet:
        return []
    with database.cursor() as cursor:
        asked, first = search.query(alternatives), search.query([terms])
        cursor.execute(search.select(sql), [*values, asked, most_ranked, first, limit])
        rows = cursor.fetchall()
    read = Passage._meta.get_field("file").target_field.to_python
    best = max((row[2] for row in rows), default=0.0)
    return [
        Match(passage_id, read(file_id), score_of_words(share_of(terms, words), rank, best))
        for passage_id, file_id, rank, words in rows
    ]
