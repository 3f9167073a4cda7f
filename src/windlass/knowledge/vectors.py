"""Vectors of passages: one interface, and what each database has for it.

Each vector belongs to a passage and to a model with its version. The database deletes it with its passage, whoever
deletes that. Vectors of two versions of a model can be searched side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from windlass.database.connection import alias, atomic, connection
from windlass.files.api import FileAsset
from windlass.kernel.owners import Owners
from windlass.knowledge.matches import Match
from windlass.knowledge.model_endpoint import ModelRefused
from windlass.knowledge.models import EmbeddingModel, Passage

if TYPE_CHECKING:
    from windlass.knowledge.embedders import QueryVector
    from windlass.knowledge.vector_math import Vectors


class VectorStore(Protocol):
    """What a database does. ``files`` is a SELECT of the ids of files, with its values."""

    def is_available(self, database: BaseDatabaseWrapper) -> bool:
        """Whether vectors can be stored and searched here."""
        ...

    def prepare(self, database: BaseDatabaseWrapper, model: EmbeddingModel) -> None:
        """Make ready for the vectors of a new model, within the caller's transaction."""
        ...

    def add(self, database: BaseDatabaseWrapper, model: EmbeddingModel, rows: Sequence[tuple[int, Vectors]]) -> None:
        """Store vectors of passages that have none of this model; within the caller's transaction. One whose passage
        is gone is left out."""
        ...

    def find(
        self,
        database: BaseDatabaseWrapper,
        model: EmbeddingModel,
        vector: Vectors,
        files: tuple[str, Sequence[Any]],
        owners: Owners,
        limit: int,
    ) -> list[Match]:
        """The passages of ``files`` whose vectors are nearest, nearest first. All of these files belong to
        ``owners``."""
        ...


@lru_cache(maxsize=4)
def vector_store(vendor: str) -> VectorStore:
    """Raises NotImplementedError for a database other than SQLite and PostgreSQL."""
    from windlass.knowledge.postgresql_vectors import PostgresqlVectors
    from windlass.knowledge.sqlite_vectors import SqliteVectors  # numpy is an extra

    kinds: dict[str, Callable[[], VectorStore]] = {"sqlite": SqliteVectors, "postgresql": PostgresqlVectors}
    if vendor not in kinds:
        raise NotImplementedError(f"no search by vectors in {vendor}")
    return kinds[vendor]()


def vectors_available() -> bool:
    """Whether the database can store and search vectors."""
    database = connection()
    return vector_store(database.vendor).is_available(database)


def stored_model(key: str, dimensions: int) -> EmbeddingModel:
    """The row of a model. Raises ModelRefused if its vectors had another size before."""
    known = find_model(key)
    if known is None:
        with atomic():
            known, is_new = EmbeddingModel.objects.get_or_create(key=key, defaults={"dimensions": dimensions})
            if is_new:
                database = connection()
                vector_store(database.vendor).prepare(database, known)
    if known.dimensions != dimensions:
        raise ModelRefused(
            f"The model gave vectors of {dimensions} numbers, and of {known.dimensions} before under the same name."
        )
    return known


def find_model(key: str) -> EmbeddingModel | None:
    return EmbeddingModel.objects.filter(key=key).first()


def add_vectors(model: EmbeddingModel, rows: Sequence[tuple[int, Vectors]]) -> None:
    """Store vectors, by the ids of their passages, within the caller's transaction."""
    database = connection()
    vector_store(database.vendor).add(database, model, rows)


def find_nearest(asked: QueryVector, files: QuerySet[FileAsset], owners: Owners, limit: int) -> list[Match]:
    """The passages of ``files`` that are nearest to a query, among those with vectors of its model."""
    model = find_model(asked.key)
    database = connection()
    if model is None or model.dimensions != asked.vector.shape[1]:
        return []
    try:
        sql, values = files.order_by().values("id").query.get_compiler(using=alias()).as_sql()
    except EmptyResultSet:
        return []
    store = vector_store(database.vendor)
    found = store.find(database, model, asked.vector[0], (sql, values), owners, limit)
    read = Passage._meta.get_field("file").target_field.to_python
    return [Match(match.passage_id, read(match.file_id), match.score) for match in found]
