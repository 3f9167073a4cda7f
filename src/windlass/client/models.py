"""The server's records as frozen dataclasses. Members that a newer server adds are in ``raw``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from windlass.client.upload_source import Readable

T = TypeVar("T")

#: Statuses in which no processing is pending or running.
END_STATES = frozenset({"READY", "REJECTED", "QUARANTINED", "FAILED", "RELEASED"})


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one rule: ``state`` is passed, failed, pending or owed."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rendition:
    """A derived picture or document."""

    name: str
    kind: str
    mime_type: str
    size: int
    url: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """The rule that rejected the file, and its figures."""

    rule: str
    detail: str
    limit: Any = None
    actual: Any = None


@dataclass(frozen=True, slots=True)
class File:
    """A file's record. Sizes are bytes, durations seconds; ``checksum`` is SHA-256 in hexadecimal. ``trashed_at`` and
    ``trash_until`` are set for files in the trash."""

    id: str
    original_filename: str
    size: int
    status: str
    mime_type: str | None
    declared_mime_type: str | None
    checksum: str | None
    width: int | None
    height: int | None
    duration: float | None
    page_count: int | None
    extra_attributes: Mapping[str, Any]
    metadata: Mapping[str, Any]
    profile: str
    reference: str | None
    duplicate_of: str | None
    thumbnail_url: str | None
    renditions: tuple[Rendition, ...]
    checks: tuple[Check, ...]
    rejection: Rejection | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    links: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    trashed_at: datetime | None = None
    trash_until: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in END_STATES


@dataclass(frozen=True, slots=True)
class Step:
    """One step of processing: ``state`` is pending, running, done, skipped, owed or failed."""

    name: str
    stage: str
    state: str
    seconds: float | None = None
    progress: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of processing. ``progress`` is 0 to 100 and never falls within one run."""

    id: str
    status: str
    progress: int
    stage: str
    message: str
    steps: tuple[Step, ...]
    owed: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.status in END_STATES


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state; reference/events.md lists the types. Progress has no ``id``: it is not recorded."""

    id: int | None
    type: str
    file_id: str | None
    upload_id: str | None
    at: datetime
    data: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class UploadOutcome:
    """What became of one source of ``upload_many``: the file, or the error that it failed with."""

    source: Readable
    file: File | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A download URL that needs no other credential until ``expires_at``."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SnippetPart:
    """A piece of plain text; ``match``: it is what was searched for."""

    text: str
    match: bool


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A part of a file's text, from character ``start`` to ``end``; ``page`` is where it starts, if there are pages."""

    id: int
    page: int | None
    start: int
    end: int
    language: str | None
    snippet: tuple[SnippetPart, ...]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that a search found. ``passages``: the best ones; none if only its name or facts match."""

    file: File
    score: float
    name: tuple[SnippetPart, ...]
    passages: tuple[FoundPassage, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best files, best first. ``mode``: how it was searched: ``text`` in place of ``hybrid`` where the server's
    model is away, or there is none. ``owed``: files whose text is not indexed yet; with ``vector`` those without
    vectors."""

    results: tuple[FoundFile, ...]
    mode: str
    owed: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that files name: a person, an organization, a date. ``files`` and ``mentions``: how many."""

    id: str
    type: str
    name: str
    files: int
    mentions: int


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a file names an entity: characters ``start`` to ``end`` of its text."""

    passage_id: int | None
    page: int | None
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class EntityInFile:
    """An entity as one file names it."""

    id: str
    type: str
    name: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class EntityFile:
    """A file that names an entity, and how often."""

    file_id: str
    filename: str
    mentions: int


@dataclass(frozen=True, slots=True)
class Relation:
    """What a passage of a file says about two entities (ids ``from_``, ``to``). ``model``: what found it."""

    from_: str
    from_name: str
    from_type: str
    to: str
    to_name: str
    to_type: str
    type: str
    file_id: str
    passage_id: int | None
    page: int | None
    confidence: float
    model: str


@dataclass(frozen=True, slots=True)
class FileGraph:
    """What a file says: the entities that it names, and its relations."""

    entities: tuple[EntityInFile, ...]
    relations: tuple[Relation, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class DescribedEntity:
    """An entity with all its names, its files and its relations."""

    id: str
    type: str
    name: str
    names: tuple[str, ...]
    mentions: int
    files: tuple[EntityFile, ...]
    relations: tuple[Relation, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Paths:
    """The shortest paths between two entities. ``complete``: False if one may have been missed in a large graph."""

    paths: tuple[tuple[Relation, ...], ...]
    complete: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EntityPage:
    """One page of a list; ``next`` is the URL of the next page."""

    results: tuple[Entity, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next`` is the URL of the next page."""

    results: tuple[File, ...]
    next: str | None


def file_of(data: Mapping[str, Any]) -> File:
    """Raises KeyError, TypeError or ValueError if ``data`` is not a file record."""
    return _build(
        File,
        data,
        renditions=tuple(_build(Rendition, item) for item in data["renditions"]),
        checks=tuple(_build(Check, item) for item in data["checks"]),
        rejection=_build(Rejection, data["rejection"]) if data["rejection"] else None,
        created_at=datetime.fromisoformat(data["created_at"]),
        updated_at=datetime.fromisoformat(data["updated_at"]),
        expires_at=datetime.fromisoformat(data["expires_at"]) if data["expires_at"] else None,
        trashed_at=datetime.fromisoformat(data["trashed_at"]) if data.get("trashed_at") else None,
        trash_until=datetime.fromisoformat(data["trash_until"]) if data.get("trash_until") else None,
        raw=data,
    )


def status_of(data: Mapping[str, Any]) -> Status:
    steps = tuple(_build(Step, item) for item in data["steps"])
    return _build(Status, data, steps=steps, owed=tuple(data["owed"]), raw=data)


def event_of(data: Mapping[str, Any]) -> Event:
    return _build(Event, data, at=datetime.fromisoformat(data["at"]), raw=data)


def signed_url_of(data: Mapping[str, Any]) -> SignedUrl:
    return SignedUrl(data["url"], datetime.fromisoformat(data["expires_at"]))


def search_result_of(data: Mapping[str, Any]) -> SearchResult:
    return _build(SearchResult, data, results=tuple(_found_file(item) for item in data["results"]), raw=data)


def _found_file(data: Mapping[str, Any]) -> FoundFile:
    passages = tuple(_build(FoundPassage, item, snippet=_snippet(item["snippet"])) for item in data["passages"])
    return _build(FoundFile, data, file=file_of(data["file"]), name=_snippet(data["name"]), passages=passages)


def _snippet(parts: Any) -> tuple[SnippetPart, ...]:
    return tuple(_build(SnippetPart, part) for part in parts)


def entity_page_of(data: Mapping[str, Any]) -> EntityPage:
    return EntityPage(tuple(_build(Entity, item) for item in data["results"]), data["next"])


def described_entity_of(data: Mapping[str, Any]) -> DescribedEntity:
    files = tuple(_build(EntityFile, item) for item in data["files"])
    relations = _relations(data["relations"])
    return _build(DescribedEntity, data, names=tuple(data["names"]), files=files, relations=relations, raw=data)


def file_graph_of(data: Mapping[str, Any]) -> FileGraph:
    entities = tuple(
        _build(EntityInFile, item, mentions=tuple(_build(Mention, place) for place in item["mentions"]))
        for item in data["entities"]
    )
    return FileGraph(entities, _relations(data["relations"]), data)


def paths_of(data: Mapping[str, Any]) -> Paths:
    return Paths(tuple(_relations(path) for path in data["paths"]), data["complete"], data)


def _relations(items: Any) -> tuple[Relation, ...]:
    return tuple(_build(Relation, item, from_=item["from"]) for item in items)


def page_of(data: Mapping[str, Any]) -> Page:
    return Page(tuple(file_of(item) for item in data["results"]), data["next"])


def _build(kind: type[T], data: Mapping[str, Any], **members: Any) -> T:
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # every kind here is a dataclass
    return kind(**({name: value for name, value in data.items() if name in names} | members))
