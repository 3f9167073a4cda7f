"""Vectors in PostgreSQL: a column ``embedding`` of pgvector's type ``vector``, and for each model an HNSW index.

Without the extension, or with a version before 0.8, nothing is stored, and the search compares words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic

from windlass.kernel.owners import Owners
from windlass.knowledge.matches import Match
from windlass.knowledge.models import EmbeddingModel
from windlass.knowledge.vector_math import Vectors

PASSAGES = "windlass_knowledge_passage"
VECTORS = "windlass_knowledge_passagevector"
COLUMN = "embedding"
#: The first version of pgvector that has half-precision numbers and the iterative scan.
OLDEST_VERSION = (0, 8)
#: The index has half-precision numbers, of which it can take so many.
MOST_INDEXED_DIMENSIONS = 4_000
#: Passages up to which all vectors are compared: exact, and faster than the index, which would be searched for long.
MOST_COMPARED = 4_000
#: Passages, the newest, whose vectors are compared where the index does not find enough: its scan ends early if there
#: are many vectors of others.
MOST_COMPARED_BESIDE = 20_000
#: What the index search considers at least; it continues until it has enough rows that fulfil the conditions.
EF_SEARCH = 100
MOST_SCANNED = 1_000_000


class PostgresqlVectors:
    def is_available(self, database: BaseDatabaseWrapper) -> bool:
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT extversion FROM pg_extension, pg_attribute WHERE extname = 'vector' "
                "AND attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped",
                [VECTORS, COLUMN],
            )
            row = cursor.fetchone()
        return row is not None and is_new_enough(row[0])

    def prepare(self, database: BaseDatabaseWrapper, model: EmbeddingModel) -> None:
        if model.dimensions > MOST_INDEXED_DIMENSIONS:
            return
        with database.cursor() as cursor:
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS windlass_vectors_{model.pk:d} ON {VECTORS} "
                f"USING hnsw (({_half(model)}) halfvec_ip_ops) WHERE model_id = {model.pk:d}"
            )

    def add(self, database: BaseDatabaseWrapper, model: EmbeddingModel, rows: Sequence[tuple[int, Vectors]]) -> None:
        values = [(model.pk, _text(vector), passage_id) for passage_id, vector in rows]
        with database.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {VECTORS} (passage_id, model_id, {COLUMN}) SELECT id, %s, %s::vector FROM {PASSAGES} "  # noqa: S608  our names
                "WHERE id = %s FOR KEY SHARE ON CONFLICT DO NOTHING",
                values,
            )

    def find(
        self,
        database: BaseDatabaseWrapper,
        model: EmbeddingModel,
        vector: Vectors,
        files: tuple[str, Sequence[Any]],
        owners: Owners,
        limit: int,
    ) -> list[Match]:
        indexed = model.dimensions <= MOST_INDEXED_DIMENSIONS
        found = self._by_index(database, model, vector, files, limit) if indexed and _are_many(database, files) else []
        if len(found) < limit:
            compared = _run(database, _exact(model, files[0]), [*files[1], MOST_COMPARED_BESIDE, _text(vector), limit])
            matches = {match.passage_id: match for match in (*found, *compared)}
            found = sorted(matches.values(), key=lambda match: (-match.score, match.passage_id))[:limit]
        return found

    def _by_index(
        self,
        database: BaseDatabaseWrapper,
        model: EmbeddingModel,
        vector: Vectors,
        files: tuple[str, Sequence[Any]],
        limit: int,
    ) -> list[Match]:
        with (
            atomic(using=database.alias),
            database.cursor() as cursor,
        ):  # a pooler may give each statement another session
            cursor.execute(
                "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), "
                f"set_config('hnsw.ef_search', '{max(EF_SEARCH, min(limit, 1_000))}', true), "
                f"set_config('hnsw.max_scan_tuples', '{MOST_SCANNED}', true)"
            )
            return _run(database, _nearest(model, files[0]), [_text(vector), *files[1], _text(vector), limit])


def is_new_enough(version: str) -> bool:
    """Whether a version of pgvector, such as ``0.8.1``, has what is used here."""
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST_VERSION


def _half(model: EmbeddingModel, column: str = COLUMN) -> str:
    return f"{column}::halfvec({model.dimensions:d})"


def _nearest(model: EmbeddingModel, files: str) -> str:
    """The SELECT that uses the index: conditions are part of it, so that it is searched until enough rows meet them."""
    distance = f"{_half(model, f'v.{COLUMN}')} <#> %s::halfvec({model.dimensions:d})"
    return (
        f"SELECT v.passage_id, p.file_id, -({distance}) FROM {VECTORS} v JOIN {PASSAGES} p ON p.id = v.passage_id "  # noqa: S608  our names
        f"WHERE v.model_id = {model.pk:d} AND p.file_id IN ({files}) ORDER BY {distance} LIMIT %s"
    )


def _exact(model: EmbeddingModel, files: str) -> str:
    """The SELECT that compares the vectors of the newest passages of these files."""
    return (
        f"WITH newest AS MATERIALIZED (SELECT p.id, p.file_id FROM {PASSAGES} p WHERE p.file_id IN ({files}) "  # noqa: S608  our names
        f"ORDER BY p.id DESC LIMIT %s), candidates AS MATERIALIZED (SELECT v.passage_id, n.file_id, v.{COLUMN} "
        f"FROM newest n JOIN {VECTORS} v ON v.passage_id = n.id AND v.model_id = {model.pk:d}) "
        f"SELECT passage_id, file_id, -({COLUMN} <#> %s::vector) AS score FROM candidates "
        "ORDER BY score DESC, passage_id LIMIT %s"
    )


def _are_many(database: BaseDatabaseWrapper, files: tuple[str, Sequence[Any]]) -> bool:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {PASSAGES} WHERE file_id IN ({files[0]}) LIMIT %s) AS counted"  # noqa: S608  our names
    with database.cursor() as cursor:
        cursor.execute(sql, [*files[1], MOST_COMPARED + 1])
        return bool(cursor.fetchone()[0] > MOST_COMPARED)


def _run(database: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> list[Match]:
    with database.cursor() as cursor:
        cursor.execute(sql, values)
        return [Match(*row) for row in cursor.fetchall()]


def _text(vector: Vectors) -> str:
    """As pgvector reads it."""
    return "[" + ",".join(f"{number:.7g}" for number in vector.tolist()) + "]"
