"""Merge entities of one owner and type whose names a model finds nearly equal: ``windlass graph merge-similar``.

It is to be right rather than complete. A pair must be each other's nearest, at or above a threshold; every word of the
shorter name must be in the longer one, which no nearness of a model replaces; and numbers must be equal. An entity that
somebody has merged, or split off, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Count, Min, Sum

from windlass import conf
from windlass.kernel.filenames import comparable
from windlass.knowledge.embedders import Embedder, current_embedder
from windlass.knowledge.graph.merges import merge, with_counted_entity
from windlass.knowledge.graph.normal_forms import normal_form
from windlass.knowledge.models import EntityMerge, FileEntity

if TYPE_CHECKING:
    from windlass.knowledge.vector_math import Vectors

#: Types of which one entity may have names that differ. An address, a day or a sum has one.
TYPES = ("organization", "person", "place", "product", "event")
#: The cosine from which two names may mean the same.
SIMILARITY = 0.93
#: Entities of an owner and a type that are compared: those in most files.
MOST_ENTITIES = 20_000
#: Entities that are compared with all others at a time.
BLOCK = 1_000
#: Letters of a word that may stand for a longer one which begins with it, as ``Rope`` for ``Ropes``.
SHORTEST_PREFIX = 4

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class SimilarEntities:
    """``entity`` is to count as ``into``, which more files name."""

    owner: str
    type: str
    entity: UUID
    name: str
    into: UUID
    into_name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """``form``: the name without what does not count, such as a company's legal suffix."""

    id: UUID
    name: str
    form: str
    weight: tuple[int, int]


def find_similar(owner: str, similarity: float = SIMILARITY) -> Iterator[SimilarEntities]:
    """The pairs that may be merged. Raises ModelAway, ModelRefused, BadModel."""
    decided = _decided(owner)
    for kind in TYPES:
        candidates = [each for each in _candidates(owner, kind) if each.id not in decided]
        if len(candidates) > 1:
            vectors = _vectors(current_embedder(), [each.form for each in candidates])
            yield from _pairs(owner, kind, candidates, vectors, similarity)


def merge_similar(pair: SimilarEntities) -> None:
    """Merge, so that ``merges.split`` can undo it. Raises NotFound and Conflict if the entities changed meanwhile."""
    merge(pair.owner, pair.entity, pair.into, similarity=pair.similarity)


def owners_with_entities() -> Sequence[str]:
    rows = FileEntity.objects.filter(type__in=TYPES).order_by("file__owner")
    return list(rows.values_list("file__owner", flat=True).distinct())


def may_mean_the_same(one: str, other: str) -> bool:
    """Whether every word of the shorter name is in the longer one, also in another form, and the numbers are equal."""
    names = [comparable(name) for name in (one, other)]
    if sorted(_NUMBER.findall(names[0])) != sorted(_NUMBER.findall(names[1])):
        return False
    shorter, longer = sorted((_WORD.findall(name) for name in names), key=len)
    left = list(longer)
    for word in shorter:
        found = next((each for each in left if _are_forms(word, each)), None)
        if found is None:
            return False
        left.remove(found)
    return bool(shorter)


def _are_forms(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return shorter == longer or (len(shorter) >= SHORTEST_PREFIX and longer.startswith(shorter))


def _decided(owner: str) -> set[UUID]:
    """Entities that were merged, merged with, or split off."""
    rows = EntityMerge.objects.filter(owner=owner).values_list("entity", "counts_as")
    return {each for row in rows for each in row}


def _candidates(owner: str, kind: str) -> list[_Candidate]:
    rows: Any = with_counted_entity(FileEntity.objects.filter(file__owner=owner, file__trashed_at=None, type=kind))
    groups = rows.values("counted").annotate(
        shown=Min("name"), files=Count("file_id", distinct=True), places=Sum("mentions")
    )
    most = groups.order_by("-files", "-places", "counted")[:MOST_ENTITIES]
    return [
        _Candidate(row["counted"], row["shown"], normal_form(kind, row["shown"]), (row["files"], row["places"]))
        for row in most
    ]


def _vectors(embedder: Embedder, names: Sequence[str]) -> Vectors:
    import numpy as np

    rest = iter(names)
    size = conf.get().embeddings_batch
    return np.vstack([embedder.passages(batch) for batch in iter(lambda: list(islice(rest, size)), [])])


def _pairs(
    owner: str, kind: str, candidates: Sequence[_Candidate], vectors: Vectors, similarity: float
) -> Iterator[SimilarEntities]:
    nearest = _nearest(vectors)
    for number, (other, score) in nearest.items():
        if score < similarity or nearest[other][0] != number or other < number:
            continue
        one, two = candidates[number], candidates[other]
        if may_mean_the_same(one.form, two.form):
            into, entity = sorted((one, two), key=lambda each: (each.weight, each.id), reverse=True)
            yield SimilarEntities(owner, kind, entity.id, entity.name, into.id, into.name, round(score, 4))


def _nearest(vectors: Vectors) -> Mapping[int, tuple[int, float]]:
    """By the number of each vector: that of the nearest other one, and the cosine."""
    import numpy as np

    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(vectors), BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(scores))
        scores[rows, rows + start] = -2.0
        best = scores.argmax(axis=1)
        found.update(
            (start + row, (int(other), float(score)))
            for row, (other, score) in enumerate(zip(best, scores[rows, best], strict=True))
        )
    return found
