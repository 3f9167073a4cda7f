"""Everything that the knowledge app stores of one owner."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from windlass.knowledge.models import Passage


def rows_of_files(file_ids: QuerySet[Any]) -> dict[str, QuerySet[Any]]:
    return {"passages": Passage.objects.filter(file_id__in=file_ids)}
