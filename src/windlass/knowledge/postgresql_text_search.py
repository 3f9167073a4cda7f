"""Full text search by PostgreSQL: a column ``words`` of type tsvector beside those that the model knows, and a GIN
index on it.

The words are given to the database in their final form, so that neither a text search configuration of the server nor
an extension has a part in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from windlass.knowledge.queries import Term
from windlass.knowledge.words import compared_words

PASSAGES = "windlass_knowledge_passage"
CREATE = (
    f"ALTER TABLE {PASSAGES} ADD COLUMN words tsvector",
    f"CREATE INDEX windlass_knowledge_words ON {PASSAGES} USING gin (words)",
)
DROP = (f"ALTER TABLE {PASSAGES} DROP COLUMN IF EXISTS words",)  # its index too
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

    def query(self, alternatives: Sequence[Sequence[Term]]) -> str:
        return " | ".join("(" + " & ".join(map(_phrase, terms)) + ")" for terms in alternatives)

    def count(self, database: BaseDatabaseWrapper, query: str, most: int) -> int:
        with database.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM {PASSAGES} WHERE words @@ %s::tsquery LIMIT %s) AS counted",  # noqa: S608  our names
                [query, most],
            )
            return int(cursor.fetchone()[0])

    def select(self, files: str) -> str:
        # Materialized, so that the index on words is used whatever the planner expects of a word.
        newest = (
            "SELECT matching.id, matching.file_id FROM matching JOIN wanted ON wanted.id = matching.file_id "
            "ORDER BY matching.id DESC LIMIT %s"
        )
        best = (
            "SELECT newest.id, newest.file_id, ts_rank_cd(p.words, asked.query) AS score, p.words "  # noqa: S608  our names
            f"FROM asked, newest JOIN {PASSAGES} p ON p.id = newest.id ORDER BY score DESC, newest.id LIMIT %s"
        )
        return (
            f"WITH wanted AS NOT MATERIALIZED ({files}), asked AS (SELECT %s::tsquery AS query), "  # noqa: S608  our names
            f"matching AS MATERIALIZED (SELECT p.id, p.file_id FROM asked, {PASSAGES} p WHERE p.words @@ asked.query), "
            f"newest AS MATERIALIZED ({newest}) "
            "SELECT best.id, best.file_id, best.score, array_to_string(tsvector_to_array(best.words), ' ') "
            f"FROM ({best}) AS best ORDER BY best.score DESC, best.id"
        )


def _vector(text: str) -> str:
    """The tsvector's text: ``'word':1,7 'other':2``. Words are letters and digits: nothing needs to be escaped."""
    positions: dict[str, list[str]] = {}
    for position, word in enumerate(compared_words(text), 1):
        positions.setdefault(word, []).append(str(min(position, 16_383)))
    return " ".join(f"'{word}':{','.join(places[:_MOST_POSITIONS])}" for word, places in positions.items())


def _phrase(term: Term) -> str:
    words = " <-> ".join(f"'{word}'" for word in term.words)
    return f"{words}:*" if term.prefix else f"({words})"
