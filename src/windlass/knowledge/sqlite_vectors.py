"""Vectors in SQLite: rows with the numbers as bytes, and in each process that searches an array made of them.

The array is brought up to date from the rows before each search: a row is never changed, and new ones have greater ids.
So there is no file that could be lost, or that could keep what was deleted. All vectors of the wanted owners are
compared, which is exact.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from django.db.backends.base.base import BaseDatabaseWrapper
from numpy.typing import NDArray

from windlass.kernel.clock import monotonic
from windlass.kernel.owners import Owners
from windlass.knowledge.matches import Match
from windlass.knowledge.models import EmbeddingModel
from windlass.knowledge.vector_math import Vectors, loaded, stored

T = TypeVar("T", bound=np.generic)
Numbers = NDArray[np.int64]

PASSAGES = "windlass_knowledge_passage"
VECTORS = "windlass_knowledge_passagevector"
FILES = "windlass_files_fileasset"
#: Rows that are read at a time.
BATCH = 5_000
#: Between two counts of the rows.
COUNT_SECONDS = 60.0
#: Wanted passages up to which only their vectors are compared.
MOST_SELECTED = 2_000
#: Passages, best first, of which is asked whether they are wanted; each further question is about more of them.
FIRST_ASKED, ASKED_FACTOR = 500, 8


class SqliteVectors:
    def is_available(self, database: BaseDatabaseWrapper) -> bool:
        return True

    def prepare(self, database: BaseDatabaseWrapper, model: EmbeddingModel) -> None:
        """Nothing needs to be made."""

    def add(self, database: BaseDatabaseWrapper, model: EmbeddingModel, rows: Sequence[tuple[int, Vectors]]) -> None:
        values = [(model.pk, stored(vector), passage_id) for passage_id, vector in rows]
        with database.cursor() as cursor:
            cursor.executemany(
                f"INSERT OR IGNORE INTO {VECTORS} (passage_id, model_id, data) SELECT id, %s, %s FROM {PASSAGES} "  # noqa: S608  our names
                "WHERE id = %s",
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
        array = _array(os.getpid(), str(database.settings_dict["NAME"]), model.pk, model.dimensions)
        with array.lock:
            array.update(database)
            few = _passages_of(database, files)
            passages, scores = array.compared(vector, owners, few)
        return _wanted(database, passages, scores, files, limit)


class _Part:
    """The vectors of one owner's passages, which grow in place."""

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self._vectors: Vectors = np.empty((0, dimensions), dtype=np.float32)
        self._passages: Numbers = np.empty(0, dtype=np.int64)

    def add(self, passages: Sequence[int], vectors: Vectors) -> None:
        end = self.count + len(passages)
        if end > len(self._passages):
            size = max(end, len(self._passages) * 5 // 4)
            self._vectors, self._passages = _grown(self._vectors, size), _grown(self._passages, size)
        self._vectors[self.count : end], self._passages[self.count : end] = vectors, passages
        self.count = end

    def compared(self, vector: Vectors, wanted: Numbers | None) -> tuple[Numbers, Vectors]:
        """Passages and their cosines; of all, or of those that are ``wanted``."""
        passages, vectors = self._passages[: self.count], self._vectors[: self.count]
        if wanted is not None:
            slots = np.flatnonzero(np.isin(passages, wanted))
            passages, vectors = passages[slots], vectors[slots]
        # In this thread: the threads of a matrix product cost more than they save, with other searches beside.
        scores: Vectors = np.einsum("ij,j->i", vectors, vector)
        return passages, scores


class _Array:
    """The vectors of one model, by owner: those of others are not read. Use it with its lock."""

    def __init__(self, model_id: int, dimensions: int) -> None:
        self.lock = threading.Lock()
        self._model_id, self._dimensions = model_id, dimensions
        self._clear()

    def _clear(self) -> None:
        self._last_id, self._count, self._count_at = 0, 0, 0.0
        self._parts: dict[str, _Part] = {}

    def update(self, database: BaseDatabaseWrapper) -> None:
        """Add the vectors of new rows. Begin anew if many were deleted, or the database is another one.

        Those of deleted rows stay: their passages are not found in the database, and no id is given twice."""
        last_id = self._number(database, "coalesce(max(id), 0)")
        if (last_id < self._last_id and self._is_another(database)) or self._has_many_deleted(database):
            self._clear()
        while self._last_id < last_id and self._append(database):
            pass

    def _is_another(self, database: BaseDatabaseWrapper) -> bool:
        """Whether the database has never had the last row: it is not that which the array was made of."""
        with database.cursor() as cursor:
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [VECTORS])
            row = cursor.fetchone()
        return row is None or row[0] < self._last_id

    def _has_many_deleted(self, database: BaseDatabaseWrapper) -> bool:
        """Whether a fifth of the vectors is of deleted rows, looked at once in COUNT_SECONDS: counting takes long."""
        if monotonic() < self._count_at:
            return False
        self._count_at = monotonic() + COUNT_SECONDS
        count = self._number(database, "count(*)")
        return self._count > count + count // 4 + BATCH

    def _number(self, database: BaseDatabaseWrapper, aggregate: str) -> int:
        with database.cursor() as cursor:
            cursor.execute(f"SELECT {aggregate} FROM {VECTORS} WHERE model_id = %s", [self._model_id])  # noqa: S608  our names
            return int(cursor.fetchone()[0])

    def _append(self, database: BaseDatabaseWrapper) -> bool:
        """Add a batch of new rows; False if there is none, because they have been deleted meanwhile."""
        with database.cursor() as cursor:
            cursor.execute(
                f"SELECT v.id, v.passage_id, f.owner, v.data FROM {VECTORS} v "  # noqa: S608  our names
                f"LEFT JOIN {PASSAGES} p ON p.id = v.passage_id LEFT JOIN {FILES} f ON f.id = p.file_id "
                "WHERE v.model_id = %s AND v.id > %s ORDER BY v.id LIMIT %s",
                [self._model_id, self._last_id, BATCH],
            )
            rows = cursor.fetchall()
        if not rows:
            return False
        by_owner: dict[str, list[Any]] = {}
        for row in rows:
            by_owner.setdefault(row[2] or "", []).append(row)
        for owner, of_owner in by_owner.items():
            part = self._parts.setdefault(owner, _Part(self._dimensions))
            part.add([row[1] for row in of_owner], loaded([row[3] for row in of_owner], self._dimensions))
        self._count, self._last_id = self._count + len(rows), rows[-1][0]
        return True

    def compared(self, vector: Vectors, owners: Owners, wanted: Sequence[int] | None) -> tuple[Numbers, Vectors]:
        """The passages of these owners and their cosines; of all of them, or of those that are ``wanted``."""
        numbers = None if wanted is None else np.array(wanted, dtype=np.int64)
        parts = [part.compared(vector, numbers) for owner, part in self._parts.items() if owner in owners]
        if not parts:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([each[0] for each in parts]), np.concatenate([each[1] for each in parts])


@lru_cache(maxsize=4)
def _array(process: int, database: str, model_id: int, dimensions: int) -> _Array:
    return _Array(model_id, dimensions)


def _grown(array: NDArray[T], size: int) -> NDArray[T]:
    grown: NDArray[T] = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def _passages_of(database: BaseDatabaseWrapper, files: tuple[str, Sequence[Any]]) -> list[int] | None:
    """The ids of the passages of these files; None if there are more than MOST_SELECTED."""
    with database.cursor() as cursor:
        cursor.execute(
            # CROSS JOIN, so that the files are read one by one, and no more than needed.
            f"SELECT p.id FROM ({files[0]}) wanted CROSS JOIN {PASSAGES} p ON p.file_id = wanted.id LIMIT %s",  # noqa: S608  our names
            [*files[1], MOST_SELECTED + 1],
        )
        rows = cursor.fetchall()
    return [row[0] for row in rows] if len(rows) <= MOST_SELECTED else None


def _wanted(
    database: BaseDatabaseWrapper, passages: Numbers, scores: Vectors, files: tuple[str, Sequence[Any]], limit: int
) -> list[Match]:
    """The first ``limit`` of all passages that are of these files, by their scores. More and more of the best ones are
    asked for until there are enough."""
    most = FIRST_ASKED
    while True:
        order = _best(passages, scores, most)
        numbers = passages[order].tolist()
        file_of = _files_of(database, numbers, files)
        ranked = zip(numbers, scores[order].tolist(), strict=True)
        found = [Match(number, file_of[number], score) for number, score in ranked if number in file_of]
        if len(found) >= limit or most >= len(passages):
            return found[:limit]
        most *= ASKED_FACTOR


def _best(passages: Numbers, scores: Vectors, most: int) -> Numbers:
    """The slots of the greatest scores, best first; of equal scores the older passage first."""
    slots = np.arange(len(scores)) if most >= len(scores) else np.argpartition(-scores, most)[:most]
    order: Numbers = slots[np.lexsort((passages[slots], -scores[slots]))]
    return order


def _files_of(
    database: BaseDatabaseWrapper, passages: Sequence[int], files: tuple[str, Sequence[Any]]
) -> dict[int, Any]:
    """The file of each of the passages that is of these files."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id, p.file_id FROM json_each(%s) j CROSS JOIN {PASSAGES} p ON p.id = j.value "  # noqa: S608  our names
            f"WHERE EXISTS (SELECT 1 FROM ({files[0]}) wanted WHERE wanted.id = p.file_id)",
            [json.dumps(passages), *files[1]],
        )
        return dict(cursor.fetchall())
