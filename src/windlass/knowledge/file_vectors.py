"""Make the vectors of a file's passages."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from windlass import conf
from windlass.files.api import LeasedTransaction
from windlass.knowledge.embedders import Embedder
from windlass.knowledge.models import Passage, PassageVector
from windlass.knowledge.vectors import add_vectors, stored_model


def embed_file(file_id: UUID, embedder: Embedder, leased: LeasedTransaction) -> int:
    """Make the vectors that are missing, batch by batch; then delete those of other models, which were searched until
    now. Return how many passages the file has. Raises ModelAway, ModelRefused."""
    after = -1
    while batch := _without_vector(file_id, embedder.key, after):
        vectors = embedder.passages([passage.text for passage in batch])
        with leased():
            model = stored_model(embedder.key, vectors.shape[1])
            add_vectors(model, [(passage.pk, vector) for passage, vector in zip(batch, vectors, strict=True)])
        after = batch[-1].ordinal
    others = PassageVector.objects.filter(passage__file_id=file_id).exclude(model__key=embedder.key)
    if others.exists():
        with leased():
            PassageVector.objects.filter(id__in=others.values("id")).delete()
    return Passage.objects.filter(file_id=file_id).count()


def lacking_vectors(key: str) -> QuerySet[Passage]:
    """The passages without a vector of this model."""
    vectors = PassageVector.objects.filter(passage_id=OuterRef("id"), model__key=key)
    return Passage.objects.filter(~Exists(vectors))


def _without_vector(file_id: UUID, key: str, after: int) -> Sequence[Passage]:
    wanted = lacking_vectors(key).filter(file_id=file_id, ordinal__gt=after)
    return list(wanted.order_by("ordinal")[: conf.get().embeddings_batch])
