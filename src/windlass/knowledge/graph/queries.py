"""Read the graph of entities that a caller may see: what the files say that the caller may use, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Min, Q, QuerySet, Sum

from windlass.files.api import FileAsset
from windlass.kernel.filenames import comparable
from windlass.kernel.problem_types import NotFound
from windlass.knowledge.graph.merges import rows_of, with_counted_entity
from windlass.knowledge.models import EntityMention, EntityRelation, FileEntity, Passage

#: Files, names and relations of one entity that are shown, and mentions and relations of one file.
MOST_SHOWN = 100
MOST_OF_FILE = 1_000


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """``files`` and ``mentions``: how many, among the files that the caller may use."""

    id: UUID
    type: str
    name: str
    files: int
    mentions: int


@dataclass(frozen=True, slots=True)
class EntityOfOthers:
    """An entity as the end of a relation."""

    id: UUID
    type: str
    name: str


@dataclass(frozen=True, slots=True)
class FoundIn:
    """A passage. ``id`` is None while the file is indexed anew, ``page`` where the text has no pages."""

    id: int | None
    page: int | None


NO_PASSAGE = FoundIn(None, None)


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """Where a file names an entity."""

    passage: FoundIn
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class FoundRelation:
    """What a passage of a file says about two entities, and what found it. ``id``: of the row."""

    id: int
    source: EntityOfOthers
    target: EntityOfOthers
    type: str
    file_id: UUID
    passage: FoundIn
    confidence: float
    extractor: str


@dataclass(frozen=True, slots=True)
class EntityInFile:
    file_id: UUID
    filename: str
    mentions: int


@dataclass(frozen=True, slots=True)
class DescribedEntity:
    """``names``: all of them, the first of the alphabet first."""

    entity: FoundEntity
    names: Sequence[str]
    files: Sequence[EntityInFile]
    relations: Sequence[FoundRelation]


@dataclass(frozen=True, slots=True)
class DescribedFileGraph:
    entities: Sequence[tuple[EntityOfOthers, Sequence[FoundPlace]]]
    relations: Sequence[FoundRelation]


def readable(files: QuerySet[FileAsset]) -> QuerySet[Any]:
    """The entities in ``files``, which the caller may use, that have passed their checks."""
    return with_counted_entity(FileEntity.objects.filter(file__in=files.filter(gate_passed=True)))


def list_entities(
    files: QuerySet[FileAsset], query: str, kind: str | None, after: tuple[str, UUID] | None, limit: int
) -> tuple[list[FoundEntity], tuple[str, UUID] | None]:
    """Entities with ``query`` in a name, in the order of their names, and the place of the last one if there are more.

    ``after``: that of the page before.
    """
    rows = readable(files)
    if query:
        rows = rows.filter(search_name__contains=comparable(query))
    if kind:
        rows = rows.filter(type=kind)
    groups = _grouped(rows).order_by("sort_name", "counted")
    if after is not None:
        groups = groups.filter(Q(sort_name__gt=after[0]) | Q(sort_name=after[0], counted__gt=after[1]))
    found = list(groups[: limit + 1])
    page = found[:limit]
    last = (page[-1]["sort_name"], page[-1]["counted"]) if len(found) > limit else None
    return [_entity(group) for group in page], last


def describe_entity(files: QuerySet[FileAsset], entity: UUID) -> DescribedEntity:
    """Raises NotFound."""
    rows = _rows_of(files, entity)
    groups = list(_grouped(rows)[:1])
    if not groups:
        raise NotFound(f"There is no entity {entity}.")
    names = rows.order_by("name").values_list("name", flat=True).distinct()[:MOST_SHOWN]
    of_files = rows.values("file_id", "file__original_filename").annotate(number=Sum("mentions"))
    in_files = [
        EntityInFile(row["file_id"], row["file__original_filename"], row["number"])
        for row in of_files.order_by("-number", "file_id")[:MOST_SHOWN]
    ]
    ids = list(rows.values_list("id", flat=True)[:MOST_OF_FILE])
    relations = EntityRelation.objects.filter(Q(source__in=ids) | Q(target__in=ids))
    return DescribedEntity(_entity(groups[0]), list(names), in_files, found_relations(relations, MOST_SHOWN))


def require_entity(files: QuerySet[FileAsset], entity: UUID) -> None:
    """Raises NotFound unless one of ``files`` names this entity."""
    if not _rows_of(files, entity).exists():
        raise NotFound(f"There is no entity {entity}.")


def describe_file_graph(asset: FileAsset) -> DescribedFileGraph:
    """What one file says, the most mentioned entities first. Nothing before the file has passed its checks."""
    if not asset.gate_passed:
        return DescribedFileGraph((), ())
    rows = list(with_counted_entity(asset.entities.all()).order_by("-mentions", "id")[:MOST_OF_FILE])
    numbers = [row.id for row in rows]
    places: dict[int, list[FoundPlace]] = {}
    passages = dict(_passages({asset.id}))
    for mention in EntityMention.objects.filter(file_entity__in=numbers).order_by("start")[: 4 * MOST_OF_FILE]:
        passage = passages.get((asset.id, mention.passage), NO_PASSAGE)
        place = FoundPlace(passage, mention.start, mention.end, mention.confidence)
        places.setdefault(mention.file_entity_id, []).append(place)
    relations = EntityRelation.objects.filter(source__file_id=asset.id)
    return DescribedFileGraph(
        [(EntityOfOthers(row.counted, row.type, row.name), places.get(row.id, [])) for row in rows],
        found_relations(relations, MOST_OF_FILE),
    )


def found_relations(relations: QuerySet[EntityRelation], limit: int) -> list[FoundRelation]:
    """The surest of these relations first."""
    of_file = {"of_file": F("source__file_id"), "extractor": F("source__file__graph__extractor")}
    found: list[Any] = list(relations.annotate(**of_file).order_by("-confidence", "id")[:limit])
    ends = {each.source_id for each in found} | {each.target_id for each in found}
    entities: Mapping[int, Any] = with_counted_entity(FileEntity.objects.all()).in_bulk(ends)
    passages = dict(_passages({each.of_file for each in found}, {each.passage for each in found}))
    return [
        FoundRelation(
            each.id,
            _end(entities[each.source_id]),
            _end(entities[each.target_id]),
            each.type,
            each.of_file,
            passages.get((each.of_file, each.passage), NO_PASSAGE),
            each.confidence,
            each.extractor or "",
        )
        for each in found
        if each.source_id in entities and each.target_id in entities
    ]


def _rows_of(files: QuerySet[FileAsset], entity: UUID) -> QuerySet[Any]:
    """The rows of an entity in ``files``. The same statements run whether others name the entity or nobody does."""
    return readable(files).filter(id__in=rows_of([entity]).values("id"))


def _grouped(rows: QuerySet[Any]) -> QuerySet[Any, dict[str, Any]]:
    groups: QuerySet[Any, dict[str, Any]] = rows.values("counted", "type").annotate(
        sort_name=Min("search_name"),
        shown_name=Min("name"),
        in_files=Count("file_id", distinct=True),
        in_places=Sum("mentions"),
    )
    return groups


def _entity(group: Mapping[str, Any]) -> FoundEntity:
    return FoundEntity(group["counted"], group["type"], group["shown_name"], group["in_files"], group["in_places"])


def _end(row: Any) -> EntityOfOthers:
    return EntityOfOthers(row.counted, row.type, row.name)


def _passages(
    file_ids: Iterable[UUID], ordinals: Iterable[int] | None = None
) -> Iterable[tuple[tuple[UUID, int], FoundIn]]:
    """By file and ordinal: the passages."""
    rows = Passage.objects.filter(file_id__in=list(file_ids))
    if ordinals is not None:
        rows = rows.filter(ordinal__in=list(ordinals))
    for number, file_id, ordinal, page in rows.values_list("id", "file_id", "ordinal", "page"):
        yield (file_id, ordinal), FoundIn(number, page)
