"""Everything that the knowledge app stores of one owner."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from windlass.knowledge.models import (
    EntityMention,
    EntityMerge,
    EntityRelation,
    FileEntity,
    FileGraph,
    Passage,
    PassageAnswer,
)


def owner_rows(owner: str, file_ids: QuerySet[Any]) -> dict[str, QuerySet[Any]]:
    """Rows by the name of their file in an export, in an order in which they can be deleted."""
    return {
        "passages": Passage.objects.filter(file_id__in=file_ids),
        "entity_mentions": EntityMention.objects.filter(file_entity__file_id__in=file_ids),
        "entity_relations": EntityRelation.objects.filter(source__file_id__in=file_ids),
        "entities": FileEntity.objects.filter(file_id__in=file_ids),
        "passage_answers": PassageAnswer.objects.filter(file_id__in=file_ids),
        "graphs": FileGraph.objects.filter(file_id__in=file_ids),
        "entity_merges": EntityMerge.objects.filter(owner=owner),
    }
