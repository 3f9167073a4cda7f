"""The graph of entities that the caller's files name (http-api section 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.apps import apps
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field, StringConstraints

from windlass.executors import in_database
from windlass.files.api import FileAsset, visible_files
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest import cursors
from windlass.http.rest.credentials import OWNER
from windlass.http.rest.files import on_file
from windlass.kernel import urls
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import InvalidField, NotFound

if TYPE_CHECKING:
    from windlass.knowledge.api import FoundPlace, FoundRelation

router = Router(tags=["Graph"])

MAX_LIMIT = 200
#: Relations of a path at most, and by default.
MAX_LENGTH, DEFAULT_LENGTH = 6, 4

T = TypeVar("T")
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)]
_Length = Annotated[int, Field(ge=1, le=MAX_LENGTH), within(1, MAX_LENGTH)]
_Confidence = Annotated[float, Field(description="0 to 1: how sure the extractor is.")]


class EntityQuery(Schema):
    q: Annotated[str, StringConstraints(max_length=200)] = Field(
        "", description="Part of a name; case and Unicode composition are ignored."
    )
    type: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, description="Only this type, such as `person`, `organization`, `date` or `money`."
    )
    limit: _Limit = Field(50, description="Entities on a page.")
    cursor: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        None, description="From `next` of the previous page."
    )


class PathQuery(Schema):
    from_: Annotated[str, StringConstraints(max_length=64)] = Field(alias="from", description="Id of an entity.")
    to: Annotated[str, StringConstraints(max_length=64)] = Field(description="Id of another entity.")
    max: _Length = Field(DEFAULT_LENGTH, description="Relations of the longest path that is looked for.")


class PlaceOut(ReplyModel):
    passage_id: int | None = Field(description="As in search results; null while the text is indexed anew.")
    page: int | None = Field(description="From 1; null where the text has no pages.")
    start: int = Field(description="First character in the file's text.")
    end: int
    confidence: _Confidence


class EntityInFileOut(ReplyModel):
    id: str
    name: str = Field(description="As this file has it.")
    type: str
    mentions: list[PlaceOut]


class RelationOut(ReplyModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from", description="Id of an entity.")
    from_name: str
    from_type: str
    to: str = Field(description="Id of the other one.")
    to_name: str
    to_type: str
    type: str
    file_id: str = Field(description="The file that says so.")
    passage_id: int | None
    page: int | None
    confidence: _Confidence
    model: str = Field(description="What found it: the rules with their version, or a language model.")


class FileGraphOut(ReplyModel):
    entities: list[EntityInFileOut] = Field(description="At most 1000, the most mentioned first.")
    relations: list[RelationOut] = Field(description="At most 1000, the surest first.")


class EntityOut(ReplyModel):
    id: str
    name: str
    type: str
    files: int = Field(description="In how many of the caller's files it is named.")
    mentions: int
    link: str


class EntityList(ReplyModel):
    results: list[EntityOut] = Field(description="In the order of their names.")
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class FileOfEntityOut(ReplyModel):
    file_id: str
    filename: str
    mentions: int
    link: str


class DescribedEntityOut(ReplyModel):
    id: str
    name: str
    type: str
    names: list[str] = Field(description="All its names.")
    mentions: int
    files: list[FileOfEntityOut] = Field(description="At most 100, those with most mentions first.")
    relations: list[RelationOut] = Field(description="At most 100, the surest first.")


class MergeIn(Schema):
    entity: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="Id of the entity that counts as the one in the path from now on."
    )


class PathsOut(ReplyModel):
    paths: list[list[RelationOut]] = Field(
        description="The shortest paths, at most 10. The relations of each are in the order from one entity to the "
        "other; each may lead in either direction."
    )
    complete: bool = Field(description="False: the graph is so large that a path may have been missed.")


@router.get(
    "/files/{file_id}/graph", auth=OWNER, response=FileGraphOut, summary="The entities that a file names, and where"
)
async def file_graph(request: HttpRequest, file_id: str) -> HttpResponse:
    return JsonResponse(await on_file(request, file_id, _file_graph))


@router.get("/graph/entities", auth=OWNER, response=EntityList, summary="List the entities of the caller's files")
async def entities(request: HttpRequest, query: Query[EntityQuery]) -> HttpResponse:
    return JsonResponse(await _on_graph(request, _entity_page, query))


@router.get("/graph/entities/{entity_id}", auth=OWNER, response=DescribedEntityOut, summary="An entity, and its files")
async def entity(request: HttpRequest, entity_id: str) -> HttpResponse:
    return JsonResponse(await _on_graph(request, _described_entity, entity_id))


@router.post(
    "/graph/entities/{entity_id}/merges",
    auth=OWNER,
    response=DescribedEntityOut,
    summary="Merge another entity of the same type into this one",
)
async def merge_entity(request: HttpRequest, entity_id: str, asked: MergeIn) -> HttpResponse:
    return JsonResponse(await _on_graph(request, _merged, entity_id, asked.entity))


@router.delete(
    "/graph/entities/{entity_id}/merges",
    auth=OWNER,
    response=DescribedEntityOut,
    summary="Undo every merge into this entity, or make its names separate",
)
async def split_entity(request: HttpRequest, entity_id: str) -> HttpResponse:
    return JsonResponse(await _on_graph(request, _split, entity_id))


@router.get("/graph/paths", auth=OWNER, response=PathsOut, summary="How two entities are connected")
async def paths(request: HttpRequest, query: Query[PathQuery]) -> HttpResponse:
    return JsonResponse(await _on_graph(request, _paths, query))


async def _on_graph(request: HttpRequest, read: Callable[..., T], *arguments: Any) -> T:
    """Call ``read`` with the caller's files on a database thread."""
    principal = caller(request)
    return await in_database(lambda: read(visible_files(principal), *arguments))


def _knowledge() -> Any:
    """Raises NotFound in a project without the app, whose models cannot be imported there."""
    if not apps.is_installed("windlass.knowledge"):
        raise NotFound("This server has no graph: windlass.knowledge is not among its INSTALLED_APPS.")
    from windlass.knowledge import api

    return api


def _file_graph(asset: FileAsset) -> dict[str, Any]:
    graph = _knowledge().describe_file_graph(asset)
    found = [
        EntityInFileOut.of(entity, mentions=[_place(place) for place in places]) for entity, places in graph.entities
    ]
    return {"entities": found, "relations": _relations(graph.relations)}


def _entity_page(files: QuerySet[FileAsset], query: EntityQuery) -> dict[str, Any]:
    after = cursors.decode_row(query.cursor) if query.cursor else None
    found, last = _knowledge().list_entities(files, query.q, query.type, after, query.limit)
    given = {
        "q": query.q or None,
        "type": query.type,
        "limit": query.limit,
        "cursor": last and cursors.encode_row(*last),
    }
    parameters = urlencode({name: value for name, value in given.items() if value is not None})
    return {
        "results": [EntityOut.of(each, link=_entity_path(each.id)) for each in found],
        "next": urls.path(f"/graph/entities/?{parameters}") if last else None,
    }


def _described_entity(files: QuerySet[FileAsset], entity_id: str) -> dict[str, Any]:
    found = _knowledge().describe_entity(files, _parsed(entity_id))
    return DescribedEntityOut.of(
        found.entity,
        names=list(found.names),
        files=[FileOfEntityOut.of(each, link=urls.file_path(each.file_id)) for each in found.files],
        relations=_relations(found.relations),
    )


def _merged(files: QuerySet[FileAsset], entity_id: str, other: str) -> dict[str, Any]:
    knowledge, into = _knowledge(), _parsed(entity_id)
    knowledge.require_entity(files, into)
    merged = _given_id("entity", other)
    if not knowledge.is_merged(merged, into):  # a repeated call changes nothing
        knowledge.require_entity(files, merged)
        knowledge.merge(knowledge.owner_of(into), merged, into)
    return _described_entity(files, entity_id)


def _split(files: QuerySet[FileAsset], entity_id: str) -> dict[str, Any]:
    knowledge, entity = _knowledge(), _parsed(entity_id)
    knowledge.require_entity(files, entity)
    knowledge.split(knowledge.owner_of(entity), entity)
    return _described_entity(files, entity_id)


def _paths(files: QuerySet[FileAsset], query: PathQuery) -> dict[str, Any]:
    knowledge = _knowledge()
    ends = [_end_id(knowledge, files, name, text) for name, text in (("from", query.from_), ("to", query.to))]
    found = knowledge.find_paths(files, *ends, query.max)
    return {"paths": [_relations(path) for path in found.paths], "complete": not found.is_cut}


def _end_id(knowledge: Any, files: QuerySet[FileAsset], field: str, text: str) -> UUID:
    """Raises InvalidField for an ill-formed id, NotFound for one of no entity that the caller may see."""
    parsed = _given_id(field, text)
    knowledge.require_entity(files, parsed)
    return parsed


def _given_id(field: str, text: str) -> UUID:
    """Raises InvalidField."""
    parsed = parse_id(text)
    if parsed is None:
        raise InvalidField(f"{field} must be the id of an entity.", field=field)
    return parsed


def _parsed(entity_id: str) -> UUID:
    parsed = parse_id(entity_id)
    if parsed is None:
        raise NotFound(f"There is no entity {entity_id}.")
    return parsed


def _entity_path(entity_id: UUID) -> str:
    return urls.path(f"/graph/entities/{entity_id}/")


def _place(place: FoundPlace) -> dict[str, Any]:
    return PlaceOut.of(place, passage_id=place.passage.id, page=place.passage.page)


def _relations(relations: Iterable[FoundRelation]) -> list[dict[str, Any]]:
    return [_relation(each) for each in relations]


def _relation(found: FoundRelation) -> dict[str, Any]:
    return {
        "from": str(found.source.id),
        "from_name": found.source.name,
        "from_type": found.source.type,
        "to": str(found.target.id),
        "to_name": found.target.name,
        "to_type": found.target.type,
        "type": found.type,
        "file_id": str(found.file_id),
        "passage_id": found.passage.id,
        "page": found.passage.page,
        "confidence": found.confidence,
        "model": found.extractor,
    }
