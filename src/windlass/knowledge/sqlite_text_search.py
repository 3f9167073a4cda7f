"""Full text search by SQLite's FTS5: a virtual table whose rows have the ids of the passages.

A trigger deletes the words with the passage. A migration that alters the table of passages recreates that table, and
must create the trigger again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from django.db.backends.base.base import BaseDatabaseWrapper

from windlass.database.sqlite.full_text import merge_segments
from windlass.knowledge.queries import Term
from windlass.knowledge.words import compared_words

PASSAGES = "windlass_knowledge_passage"
WORDS = "windlass_knowledge_words"
#: The words are given in their final form; the tokenizer only separates them.
_TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
_DELETE_WORDS = f"DELETE FROM {WORDS} WHERE rowid = OLD.id"  # noqa: S608  our names
CREATE = (
    f'CREATE VIRTUAL TABLE {WORDS} USING fts5(words, tokenize = "{_TOKENIZER}")',
    f"CREATE TRIGGER {WORDS}_delete AFTER DELETE ON {PASSAGES} BEGIN {_DELETE_WORDS}; END",
)
DROP = (f"DROP TRIGGER IF EXISTS {WORDS}_delete", f"DROP TABLE IF EXISTS {WORDS}")


class SqliteTextSearch:
    def add(self, database: BaseDatabaseWrapper, passages: Sequence[tuple[int, str]]) -> None:
        rows = [(number, " ".join(compared_words(text))) for number, text in passages]
        with database.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {WORDS} (rowid, words) VALUES (%s, %s)", rows)  # noqa: S608  our names

    def forget_deleted(self, database: BaseDatabaseWrapper) -> bool:
        return merge_segments(database, WORDS)

    def recreate(self, database: BaseDatabaseWrapper) -> None:
        with database.cursor() as cursor:
            for statement in (*DROP, *CREATE):
                cursor.execute(statement)

    def searching(self, database: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return nullcontext()

    def query(self, alternatives: Sequence[Sequence[Term]]) -> str:
        return " OR ".join("(" + " AND ".join(map(_phrase, terms)) + ")" for terms in alternatives)

    def counts(self, database: BaseDatabaseWrapper, queries: Sequence[str], most: int) -> Sequence[int]:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {WORDS} WHERE {WORDS} MATCH %s LIMIT %s)"  # noqa: S608  our names
        with database.cursor() as cursor:
            return [cursor.execute(sql, [query, most]).fetchone()[0] for query in queries]

    def select(self, files: str) -> str:
        # Read in this order: the words that match, then their passages and files, whose conditions are asked of these.
        newest = (
            f"SELECT p.id, p.file_id, -bm25({WORDS}) AS score FROM {WORDS} "  # noqa: S608  our names
            f"CROSS JOIN {PASSAGES} p ON p.id = {WORDS}.rowid CROSS JOIN ({files}) wanted ON wanted.id = p.file_id "
            f"WHERE {WORDS} MATCH %s ORDER BY {WORDS}.rowid DESC LIMIT %s"
        )
        best = (
            f"SELECT id, file_id, score, id IN (SELECT rowid FROM {WORDS} WHERE {WORDS} MATCH %s) AS is_first "  # noqa: S608  our names
            "FROM newest ORDER BY is_first DESC, score DESC, id LIMIT %s"
        )
        return (
            f"WITH newest AS ({newest}), best AS ({best}) SELECT best.id, best.file_id, best.score, w.words FROM best "  # noqa: S608  our names
            f"JOIN {WORDS} w ON w.rowid = best.id ORDER BY best.is_first DESC, best.score DESC, best.id"
        )


def _phrase(term: Term) -> str:
    quoted = '"' + " ".join(term.words) + '"'  # of letters and digits: nothing in it needs to be escaped
    return f"{quoted} *" if term.prefix else quoted
