"""What an extractor finds in the passages of a text, and how it is joined to the entities of a file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from windlass.knowledge.graph.normal_forms import entity_id, exact_id
from windlass.knowledge.passages import PassageText

#: Kinds of entities. Extractors give no others.
EntityType = Literal["person", "organization", "place", "product", "event", "date", "money", "email", "url", "phone"]
#: Bounds of one file, so that a hostile one costs no more than a large one. What comes later in the text is left out.
MOST_ENTITIES, MOST_MENTIONS, MOST_RELATIONS = 2_000, 8_000, 4_000
#: Bounds of one passage.
MOST_PASSAGE_MENTIONS, MOST_PASSAGE_RELATIONS = 60, 30
#: Characters of a name that are stored. What it is identified by is made of all of them.
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity named from ``start`` to ``end`` of a passage. ``name``: its normal text."""

    type: EntityType
    name: str
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Relation:
    """What a passage says of two of its mentions (their numbers)."""

    source: int
    target: int
    type: str
    confidence: float


@dataclass(frozen=True, slots=True)
class PassageFacts:
    mentions: Sequence[Mention] = ()
    relations: Sequence[Relation] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file names an entity, in characters of its text; ``passage`` is an ordinal."""

    passage: int
    start: int
    end: int
    confidence: float


@dataclass(slots=True)
class EntityOfFile:
    """As ``models.FileEntity``. ``name`` is cut after LONGEST_NAME characters, the ids are those of the whole name."""

    entity: UUID
    exact: UUID
    type: str
    name: str
    places: list[Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RelationOfFile:
    """``source`` and ``target`` are ``EntityOfFile.exact``."""

    source: UUID
    target: UUID
    type: str
    passage: int
    confidence: float


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The entities and relations of a file. ``is_cut``: there were more than the bounds allow."""

    extractor: str
    entities: Sequence[EntityOfFile]
    relations: Sequence[RelationOfFile]
    is_cut: bool


def join_facts(owner: str, extractor: str, found: Iterable[tuple[PassageText, PassageFacts]]) -> FileFacts:
    """Join what was found in the passages of a file. A place that two passages share counts once."""
    builder = _FileFactsBuilder(owner)
    for passage, facts in found:
        builder.add(passage, facts)
    return FileFacts(extractor, list(builder.entities.values()), list(builder.relations.values()), builder.is_cut)


class _FileFactsBuilder:
    def __init__(self, owner: str) -> None:
        self.entities: dict[UUID, EntityOfFile] = {}
        self.relations: dict[tuple[UUID, UUID, str, int], RelationOfFile] = {}
        self.is_cut = False
        self._owner = owner
        self._places = set[tuple[UUID, int]]()

    def add(self, passage: PassageText, facts: PassageFacts) -> None:
        ids = [self._add_mention(passage, mention) for mention in facts.mentions[:MOST_PASSAGE_MENTIONS]]
        self.is_cut |= len(facts.mentions) > MOST_PASSAGE_MENTIONS or len(facts.relations) > MOST_PASSAGE_RELATIONS
        for relation in facts.relations[:MOST_PASSAGE_RELATIONS]:
            if max(relation.source, relation.target) < len(ids):
                self._add_relation(passage, relation, ids[relation.source], ids[relation.target])

    def _add_mention(self, passage: PassageText, mention: Mention) -> UUID | None:
        """The exact id of the entity; None if there is no room for it."""
        exact = exact_id(self._owner, mention.type, mention.name)
        found = self.entities.get(exact)
        if found is None:
            if len(self.entities) >= MOST_ENTITIES:
                self.is_cut = True
                return None
            entity = entity_id(self._owner, mention.type, mention.name)
            found = self.entities[exact] = EntityOfFile(entity, exact, mention.type, mention.name[:LONGEST_NAME])
        start = passage.start + mention.start
        if (exact, start) not in self._places:
            if len(self._places) < MOST_MENTIONS or not found.places:
                self._places.add((exact, start))
                end = passage.start + mention.end
                found.places.append(Place(passage.ordinal, start, end, mention.confidence))
            else:
                self.is_cut = True
        return exact

    def _add_relation(self, passage: PassageText, relation: Relation, source: UUID | None, target: UUID | None) -> None:
        if source is None or target is None or source == target:
            return
        key = (source, target, relation.type, passage.ordinal)
        if key in self.relations:
            return
        if len(self.relations) >= MOST_RELATIONS:
            self.is_cut = True
            return
        self.relations[key] = RelationOfFile(source, target, relation.type, passage.ordinal, relation.confidence)
