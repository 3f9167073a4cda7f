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

from windlass.kernel.owners import Owners
from windlass.knowledge.matches import Match
from windlass.knowledge.models import EmbeddingModel
from windlass.knowledge.vector_math import Vectors, loaded, stored

T = TypeVar("T", bound=np.generic)

PASSAGES = "windlass_knowledge_passage"
VECTORS = "windlass_knowledge_passagevector"
FILES = "windlass_files_fileasset"
#: Rows that are read at a time.
BATCH = 5_000
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
            slots = array.slots_of_passages(few) if few is not None else array.slots_of_owners(owners)
            scores = array.scores(vector, slots)
            order = np.argsort(-scores, kind="stable")[: limit if few else None]
            passages = array.passages[slots[order]]
        return _wanted(database, passages, scores[order], files, limit)


class _Array:
    """The vectors of one model, in slots. Use it with its lock."""

    def __init__(self, model_id: int, dimensions: int) -> None:
        self.lock = threading.Lock()
        self._model_id, self._dimensions = model_id, dimensions
        self._clear()

    def _clear(self) -> None:
        self._last_id, self._count = 0, 0
        self._vectors: Vectors = np.empty((0, self._dimensions), dtype=np.float32)
        self.passages: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._owner_of: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._owners: dict[str, int] = {}

    def update(self, database: BaseDatabaseWrapper) -> None:
        """Add the vectors of new rows. Begin anew if many were deleted, or the database is another one."""
        with database.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*), coalesce(max(id), 0) FROM {VECTORS} WHERE model_id = %s",  # noqa: S608  our names
                [self._model_id],
            )
            count, last_id = cursor.fetchone()
        if last_id < self._last_id or self._count > count + count // 4 + BATCH or (not count and self._count):
            self._clear()
        while self._last_id < last_id and self._append(database):
            pass

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
        self._reserve(len(rows))
        start, end = self._count, self._count + len(rows)
        self._vectors[start:end] = loaded([row[3] for row in rows], self._dimensions)
        self.passages[start:end] = [row[1] for row in rows]
        self._owner_of[start:end] = [self._owners.setdefault(row[2] or "", len(self._owners)) for row in rows]
        self._count, self._last_id = end, rows[-1][0]
        return True

    def _reserve(self, more: int) -> None:
        needed = self._count + more
        if needed > len(self.passages):
            size = max(needed, len(self.passages) * 5 // 4)
            self._vectors = _grown(self._vectors, size)
            self.passages = _grown(self.passages, size)
            self._owner_of = _grown(self._owner_of, size)

    def slots_of_passages(self, ids: Sequence[int]) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.passages[: self._count], np.array(ids, dtype=np.int64)))

    def slots_of_owners(self, owners: Owners) -> NDArray[np.int64]:
        if owners.all_others and not owners.names:
            return np.arange(self._count)
        wanted = [number for name, number in self._owners.items() if name in owners]
        return np.flatnonzero(np.isin(self._owner_of[: self._count], np.array(wanted, dtype=np.int32)))

    def scores(self, vector: Vectors, slots: NDArray[np.int64]) -> Vectors:
        """The cosines of these slots. Most of them: all are computed, which is faster than copying them together."""
        if 2 * len(slots) > self._count:
            every: Vectors = self._vectors[: self._count] @ vector
            return every[slots]
        some: Vectors = self._vectors[slots] @ vector
        return some


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
            f"SELECT p.id FROM {PASSAGES} p WHERE p.file_id IN ({files[0]}) LIMIT %s",  # noqa: S608  our names
            [*files[1], MOST_SELECTED + 1],
        )
        rows = cursor.fetchall()
    return [row[0] for row in rows] if len(rows) <= MOST_SELECTED else None


def _wanted(
    database: BaseDatabaseWrapper,
    passages: NDArray[np.int64],
    scores: Vectors,
    files: tuple[str, Sequence[Any]],
    limit: int,
) -> list[Match]:
    """The first ``limit`` of all ranked passages that are of these files. Each is asked for until there are enough."""
    found: list[Match] = []
    start, size = 0, FIRST_ASKED
    while start < len(passages) and len(found) < limit:
        part = slice(start, start + size)
        numbers = passages[part].tolist()
        file_of = _files_of(database, numbers, files)
        ranked = zip(numbers, scores[part].tolist(), strict=True)
        found += [Match(number, file_of[number], score) for number, score in ranked if number in file_of]
        start, size = start + size, size * ASKED_FACTOR
    return found[:limit]


def _files_of(
    database: BaseDatabaseWrapper, passages: Sequence[int], files: tuple[str, Sequence[Any]]
) -> dict[int, Any]:
    """The file of each of the passages that is of these files."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id, p.file_id FROM json_each(%s) j JOIN {PASSAGES} p ON p.id = j.value "  # noqa: S608  our names
            f"WHERE p.file_id IN ({files[0]})",
            [json.dumps(passages), *files[1]],
        )
        return dict(cursor.fetchall())
