"""Write and remove the entities of files. Processing calls it through ``files.EntityGraph``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID, uuid4

from windlass.database.connection import atomic
from windlass.files.api import PreparedGraph
from windlass.kernel.filenames import comparable
from windlass.knowledge.graph import language_model, neo4j_database
from windlass.knowledge.graph.extraction import EntityOfFile, FileFacts
from windlass.knowledge.graph.extractors import configured_extractor, extraction_available
from windlass.knowledge.models import (
    EntityMention,
    EntityRelation,
    FileEntity,
    FileGraph,
    Passage,
    PassageAnswer,
)
from windlass.knowledge.orphans import OrphanSearch
from windlass.knowledge.passages import PassageText

#: Rows of one statement.
BATCH = 200


class StoredGraph:
    """``files.EntityGraph``: entities in the database."""

    def extract(
        self, file_id: UUID, owner: str, passages: Sequence[PassageText] | None, report: Callable[[int], None]
    ) -> PreparedGraph | None:
        found = list(_stored_passages(file_id)) if passages is None else passages
        if not found:
            return None
        facts = configured_extractor()(file_id, owner, found, report)
        return PreparedGraph(facts, len(facts.entities), len(facts.relations), facts.is_cut)

    def available(self) -> bool:
        return extraction_available()

    def breaker_names(self) -> Sequence[str]:
        return [*language_model.breaker_names(), *neo4j_database.breaker_names()]

    def replace(self, file_id: UUID, prepared: PreparedGraph) -> None:
        facts: FileFacts = prepared.facts
        self.remove(file_id)
        FileGraph.objects.create(file_id=file_id, revision=uuid4(), extractor=facts.extractor)
        rows = {each.exact: _row(file_id, each) for each in facts.entities}
        FileEntity.objects.bulk_create(rows.values(), batch_size=BATCH)
        EntityMention.objects.bulk_create(
            (
                EntityMention(
                    file_entity=rows[each.exact],
                    passage=place.passage,
                    start=place.start,
                    end=place.end,
                    confidence=place.confidence,
                )
                for each in facts.entities
                for place in each.places
            ),
            batch_size=BATCH,
        )
        EntityRelation.objects.bulk_create(
            (
                EntityRelation(
                    source=rows[each.source],
                    target=rows[each.target],
                    type=each.type,
                    passage=each.passage,
                    confidence=each.confidence,
                )
                for each in facts.relations
            ),
            batch_size=BATCH,
        )

    def remove(self, file_id: UUID) -> None:
        EntityMention.objects.filter(file_entity__file_id=file_id).delete()
        EntityRelation.objects.filter(source__file_id=file_id).delete()
        FileEntity.objects.filter(file_id=file_id).delete()
        FileGraph.objects.filter(file_id=file_id).delete()
        PassageAnswer.objects.filter(file_id=file_id).delete()


_orphaned_graphs = OrphanSearch[UUID](FileGraph, "file_id", BATCH)
_orphaned_answers = OrphanSearch[int](PassageAnswer, "id", BATCH)


def delete_orphaned_graphs() -> int:
    """Delete what is stored of the entities of files that are gone. Return how many files had a graph.

    One call looks at a part of the rows; the next one goes on from there.
    """
    ids = _orphaned_graphs.next()
    for file_id in ids:
        with atomic():
            StoredGraph().remove(file_id)
    PassageAnswer.objects.filter(id__in=_orphaned_answers.next()).delete()
    return len(ids)


def _row(file_id: UUID, entity: EntityOfFile) -> FileEntity:
    return FileEntity(
        file_id=file_id,
        entity=entity.entity,
        exact=entity.exact,
        type=entity.type,
        name=entity.name,
        search_name=comparable(entity.name)[:400],
        mentions=len(entity.places),
    )


def _stored_passages(file_id: UUID) -> Iterable[PassageText]:
    for row in Passage.objects.filter(file_id=file_id).order_by("ordinal"):
        yield PassageText(row.ordinal, row.text, row.start, row.end, row.page, row.language)
