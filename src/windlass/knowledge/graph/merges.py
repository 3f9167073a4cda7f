"""Entities that count as another one, by hand or because their names are alike. Reversible: what files say is kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from windlass.database.connection import atomic
from windlass.kernel.clock import now
from windlass.kernel.problem_types import Conflict, NotFound
from windlass.knowledge.models import EntityMerge, FileEntity, FileGraph, GraphExport

#: Merges that one call deletes.
BATCH = 1_000


def with_counted_entity(rows: QuerySet[FileEntity]) -> QuerySet[Any]:
    """``rows`` with ``counted``: the id of the entity that each counts as."""
    merges = EntityMerge.objects.values("counts_as")
    own = Subquery(merges.filter(entity=OuterRef("exact"))[:1])
    common = Subquery(merges.filter(entity=OuterRef("entity"))[:1])
    return rows.annotate(counted=Coalesce(own, common, F("entity")))


def rows_of(entities: Collection[UUID]) -> QuerySet[Any]:
    """The rows of these entities, of every file: the caller leaves out those of files that nobody may see.

    Among the rows of files they are asked for by ``id__in=rows_of(…).values("id")``, because SQLite would look for them
    in all rows of these files otherwise.
    """
    merged = list(EntityMerge.objects.filter(counts_as__in=entities).values_list("entity", flat=True))
    of_entities = Q(entity__in=[*entities, *merged])
    if merged:
        of_entities |= Q(exact__in=merged)
    return with_counted_entity(FileEntity.objects.filter(of_entities)).filter(counted__in=entities)


def merge(owner: str, entity: UUID, into: UUID, *, similarity: float | None = None) -> None:
    """Let one entity of the owner count as another of the same type, and with it what counts as it.

    ``similarity``: of their names, where nobody decided it. Raises NotFound, Conflict.
    """
    with atomic():
        types = {_type_of(owner, each) for each in (entity, into)}
        if entity == into:
            raise Conflict("An entity cannot be merged with itself.")
        if len(types) > 1:
            raise Conflict(f"Entities of different types cannot be merged: {', '.join(sorted(types))}.")
        EntityMerge.objects.filter(counts_as=entity).update(counts_as=into)
        merged = {"counts_as": into, "owner": owner, "similarity": similarity, "created_at": now()}
        EntityMerge.objects.update_or_create(entity=entity, defaults=merged)  # it has a row if it was split off
        _change_revisions(into)


def is_merged(entity: UUID, into: UUID) -> bool:
    """Whether one entity counts as the other because of a merge."""
    return entity != into and EntityMerge.objects.filter(entity=entity, counts_as=into).exists()


def split(owner: str, entity: UUID) -> int:
    """Undo every merge into this entity; return how many there were. Names that differ in more than their case become
    entities of their own, if no merge was undone. Raises NotFound, and Conflict if there is nothing to split."""
    with atomic():
        _type_of(owner, entity)
        _change_revisions(entity)
        undone = _undo_merges(owner, entity)
        if undone:
            return undone
        names = set(FileEntity.objects.filter(file__owner=owner, entity=entity).values_list("exact", flat=True))
        if len(names) < 2:
            raise Conflict("The entity has one name, and nothing was merged with it.")
        EntityMerge.objects.bulk_create(
            EntityMerge(entity=exact, counts_as=exact, owner=owner, created_at=now()) for exact in sorted(names)
        )
        return len(names)


def _undo_merges(owner: str, entity: UUID) -> int:
    """Those that nobody decided are not made again: their entities count as themselves from now on."""
    merges = EntityMerge.objects.filter(counts_as=entity, owner=owner)
    compared = merges.filter(similarity__isnull=False).exclude(entity=entity).update(counts_as=F("entity"))
    return compared + merges.filter(similarity=None).delete()[0]


def owner_of(entity: UUID) -> str:
    """The owner of an entity. Raises NotFound."""
    for owner in rows_of([entity]).values_list("file__owner", flat=True)[:1]:
        return str(owner)
    raise NotFound(f"There is no entity {entity}.")


def delete_unused_merges() -> int:
    """Delete merges of entities that no file names any more; return how many."""
    named = FileEntity.objects.filter(Q(entity=OuterRef("entity")) | Q(exact=OuterRef("entity")))
    unused = EntityMerge.objects.filter(~Exists(named)).values_list("entity", flat=True)[:BATCH]
    return EntityMerge.objects.filter(entity__in=list(unused)).delete()[0]


def _type_of(owner: str, entity: UUID) -> str:
    """Raises NotFound."""
    rows = FileEntity.objects.filter(id__in=rows_of([entity]).values("id"), file__owner=owner)
    for found in rows.values_list("type", flat=True)[:1]:
        return str(found)
    raise NotFound(f"{owner} has no entity {entity}.")


def _change_revisions(entity: UUID) -> None:
    """The graphs of all files of this entity are different from now on."""
    files = rows_of([entity]).values("file_id")
    FileGraph.objects.filter(file_id__in=files).update(revision=uuid4())
    GraphExport.objects.filter(file_id__in=files).update(revision=None)
