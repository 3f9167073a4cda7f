"""Full text search by PostgreSQL: a column ``words`` of type tsvector beside those that the model knows, and a GIN
index on it.

The words are given to the database in their final form, so that neither a text search configuration of the server nor
an extension has a part in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic

from windlass.knowledge.queries import Term
from windlass.knowledge.words import compared_words

PASSAGES = "windlass_knowledge_passage"
CREATE = (
    f"ALTER TABLE {PASSAGES} ADD COLUMN words tsvector",
    f"CREATE INDEX windlass_knowledge_words ON {PASSAGES} USING gin (words)",
)
DROP = (f"ALTER TABLE {PASSAGES} DROP COLUMN IF EXISTS words",)  # its index too
#: A query for a word that no text has: the planner expects it to match as often as any that is not common.
_UNKNOWN = f"'{'z' * 40}':*"
#: Positions of one word that a tsvector keeps.
_MOST_POSITIONS = 255


class PostgresqlTextSearch:
    def add(self, database: BaseDatabaseWrapper, passages: Sequence[tuple[int, str]]) -> None:
        rows = [(_vector(text), number) for number, text in passages]
        with database.cursor() as cursor:
            cursor.executemany(f"UPDATE {PASSAGES} SET words = %s::tsvector WHERE id = %s", rows)  # noqa: S608  our name

    def forget_deleted(self, database: BaseDatabaseWrapper) -> bool:
        return False  # the words are part of the row

    def recreate(self, database: BaseDatabaseWrapper) -> None:
        with database.cursor() as cursor:
            for statement in (*DROP, *CREATE):
                cursor.execute(statement)

    @contextmanager
    def searching(self, database: BaseDatabaseWrapper) -> Iterator[None]:
        """Use the indexes: the planner prefers to read a table of a few thousand passages as a whole, and does not know
        that the words of each passage are then fetched from where long values are kept."""
        with atomic(using=database.alias):  # a pooler may give each statement another session
            with database.cursor() as cursor:
                cursor.execute("SELECT set_config('enable_seqscan', 'off', true)")
            yield

    def query(self, alternatives: Sequence[Sequence[Term]]) -> str:
        return " | ".join("(" + " & ".join(map(_phrase, terms)) + ")" for terms in alternatives)

    def counts(self, database: BaseDatabaseWrapper, queries: Sequence[str], most: int) -> Sequence[int]:
        # GIN makes the whole set of matches before the first of them: what the planner knows to be common is not asked.
        of_unknown, *expected = _expected(database, [_UNKNOWN, *queries])
        unknown = max(most, of_unknown)
        asked = [query for query, count in zip(queries, expected, strict=True) if count <= unknown]
        one = f"(SELECT count(*) FROM (SELECT 1 FROM {PASSAGES} WHERE words @@ %s::tsquery LIMIT %s) AS counted)"  # noqa: S608  our names
        values = [value for query in asked for value in (query, most)]
        with database.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join([one] * len(asked)) or '1'}", values)
            counted = iter(cursor.fetchone())
        return [next(counted) if count <= unknown else count for count in expected]

    def select(self, files: str) -> str:
        # Materialized, so that the index on words is used whatever the planner expects of a word. The newest first, and
        # a LATERAL with a LIMIT, so that no more files are looked up than needed.
        is_wanted = "SELECT 1 FROM wanted WHERE wanted.id = matching.file_id LIMIT 1"
        newest = (
            "SELECT matching.id, matching.file_id FROM (SELECT * FROM matching ORDER BY id DESC OFFSET 0) AS matching "  # noqa: S608  our names
            f"CROSS JOIN LATERAL ({is_wanted}) AS is_wanted ORDER BY matching.id DESC LIMIT %s"
        )
        best = (
            "SELECT newest.id, newest.file_id, ts_rank_cd(p.words, asked.query) AS score, p.words, "  # noqa: S608  our names
            f"p.words @@ %s::tsquery AS is_first FROM asked, newest JOIN {PASSAGES} p ON p.id = newest.id "
            "ORDER BY is_first DESC, score DESC, newest.id LIMIT %s"
        )
        return (
            f"WITH wanted AS NOT MATERIALIZED ({files}), asked AS (SELECT %s::tsquery AS query), "  # noqa: S608  our names
            f"matching AS MATERIALIZED (SELECT p.id, p.file_id FROM asked, {PASSAGES} p WHERE p.words @@ asked.query), "
            f"newest AS MATERIALIZED ({newest}) "
            "SELECT best.id, best.file_id, best.score, array_to_string(tsvector_to_array(best.words), ' ') "
            f"FROM ({best}) AS best ORDER BY best.is_first DESC, best.score DESC, best.id"
        )


def _expected(database: BaseDatabaseWrapper, queries: Sequence[str]) -> list[int]:
    """How many passages the planner expects each of several queries to match. It knows the common words, once the table
    has been analyzed."""
    one = f"ARRAY(SELECT 1 FROM {PASSAGES} WHERE words @@ %s::tsquery)"  # noqa: S608  our name
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT {', '.join([one] * len(queries))}", queries)
        plan = cursor.fetchone()[0]
    scans = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plans"]
    return [int(scan["Plan Rows"]) for scan in scans]


def _vector(text: str) -> str:
    """The tsvector's text: ``'word':1,7 'other':2``. Words are letters and digits: nothing needs to be escaped."""
    positions: dict[str, list[str]] = {}
    for position, word in enumerate(compared_words(text), 1):
        positions.setdefault(word, []).append(str(min(position, 16_383)))
    return " ".join(f"'{word}':{','.join(places[:_MOST_POSITIONS])}" for word, places in positions.items())


def _phrase(term: Term) -> str:
    words = " <-> ".join(f"'{word}'" for word in term.words)
    return f"{words}:*" if term.prefix else f"({words})"
