"""How two entities are connected: the shortest ways from one to the other over what files say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from windlass.files.api import FileAsset
from windlass.knowledge.graph.merges import rows_of
from windlass.knowledge.graph.queries import FoundRelation, found_relations, readable
from windlass.knowledge.models import EntityRelation

#: Bounds of one search: entities that are visited, rows of one step, and paths that are shown.
MOST_VISITED = 5_000
MOST_ROWS = 10_000
MOST_PATHS = 10
#: Values of one statement.
BATCH = 2_000


@dataclass(frozen=True, slots=True)
class FoundPaths:
    """``is_cut``: there may be paths, or shorter ones, that were not found within the bounds."""

    paths: Sequence[Sequence[FoundRelation]]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Edge:
    """A relation (its row's id) that leads from an entity to another one, in whichever direction it was said."""

    start: UUID
    end: UUID
    relation: int


def find_paths(files: QuerySet[FileAsset], start: UUID, end: UUID, longest: int) -> FoundPaths:
    """The shortest paths between two entities, of at most ``longest`` relations, in any direction.

    Only relations in ``files``, which the caller may use, are followed. Breadth first: all entities at one distance
    before those further away. Of several relations between the same two entities, the surest counts.
    """
    if start == end:
        return FoundPaths([], is_cut=False)
    before: dict[UUID, list[_Edge]] = {start: []}
    frontier, is_cut = {start}, False
    for _ in range(longest):
        edges, are_all = _edges_from(files, frontier)
        is_cut |= not are_all
        reached: dict[UUID, list[_Edge]] = {}
        for edge in edges:
            if edge.end not in before:
                known = reached.setdefault(edge.end, [])
                if all(other.start != edge.start for other in known):
                    known.append(edge)
        before |= reached
        if end in reached:
            return FoundPaths(_described(_paths_to(end, before)), is_cut)
        frontier = set(reached)
        if not frontier:
            return FoundPaths([], is_cut)
        if len(before) > MOST_VISITED:
            return FoundPaths([], is_cut=True)
    return FoundPaths([], is_cut)


def _edges_from(files: QuerySet[FileAsset], entities: Collection[UUID]) -> tuple[list[_Edge], bool]:
    """The relations of these entities, the surest first, and whether these are all of them."""
    visible = readable(files)
    rows = list(rows_of(entities).values_list("id", flat=True)[:MOST_ROWS])
    near = {row.id: row.counted for row in _in_batches(visible.only("id"), "id", rows)}
    of_ends = [_relations_of(end, list(near)) for end in ("source", "target")]
    found = {row[0]: row for relations in of_ends for row in relations}
    are_all = max(len(rows), *map(len, of_ends)) < MOST_ROWS
    far = {number for row in found.values() for number in row[1:3]} - set(near)
    counted = near | {row.id: row.counted for row in _in_batches(visible.only("id"), "id", sorted(far))}
    edges: list[_Edge] = []
    for number, source, target, _ in sorted(found.values(), key=lambda row: (-row[3], row[0])):
        if source in counted and target in counted:
            ends_of = ((source, target), (target, source))
            edges += [_Edge(counted[start], counted[end], number) for start, end in ends_of if start in near]
    return edges, are_all


def _relations_of(end: str, rows: Sequence[int]) -> list[tuple[int, int, int, float]]:
    """Id, ends and confidence of the relations whose ``end`` is one of these rows."""
    columns = ("id", "source_id", "target_id", "confidence")
    found = _in_batches(EntityRelation.objects.only(*columns), end, rows)
    return [(row.id, row.source_id, row.target_id, row.confidence) for row in found]


def _in_batches(rows: QuerySet[Any], column: str, values: Sequence[int]) -> Iterator[Any]:
    """At most MOST_ROWS of ``rows`` with one of these values."""
    left = MOST_ROWS
    for start in range(0, len(values), BATCH):
        batch = list(rows.filter(**{f"{column}__in": values[start : start + BATCH]})[:left])
        yield from batch
        left -= len(batch)
        if left <= 0:
            return


def _paths_to(end: UUID, before: dict[UUID, list[_Edge]]) -> list[list[int]]:
    """The relations of each path, from the start; of equal length all."""
    paths: list[list[int]] = []
    open_ends: list[tuple[UUID, list[int]]] = [(end, [])]
    while open_ends and len(paths) < MOST_PATHS:
        entity, path = open_ends.pop()
        edges = before[entity]
        if not edges:
            paths.append(path)
        open_ends += [(edge.start, [edge.relation, *path]) for edge in reversed(edges)]
    return paths


def _described(paths: Sequence[Sequence[int]]) -> list[list[FoundRelation]]:
    numbers = {number for path in paths for number in path}
    relations = {each.id: each for each in found_relations(EntityRelation.objects.filter(id__in=numbers), len(numbers))}
    return [[relations[number] for number in path] for path in paths if relations.keys() >= set(path)]
