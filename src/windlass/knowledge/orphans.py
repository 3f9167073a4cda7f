"""Rows of files that are gone: a process of a version that did not know their table has deleted the file."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.db.models import Exists, Model, OuterRef

from windlass.files.api import FileAsset

K = TypeVar("K")

#: Rows that one search reads.
WINDOW = 50_000


class OrphanSearch(Generic[K]):
    """Looks through the rows of a model, WINDOW at a time: each call goes on where the last one of this process
    stopped. ``key``: a unique column that rows are looked through by."""

    def __init__(self, model: type[Model], key: str, most: int) -> None:
        self._model, self._key, self._most = model, key, most
        self._after: K | None = None

    def next(self) -> list[K]:
        """The keys of up to ``most`` rows whose file is gone."""
        rows: Any = self._model._default_manager.order_by(self._key).values_list(self._key, flat=True)
        if self._after is not None:
            rows = rows.filter(**{f"{self._key}__gt": self._after})
        end: K | None = rows[WINDOW - 1 : WINDOW].first()
        window = rows if end is None else rows.filter(**{f"{self._key}__lte": end})
        file = FileAsset.objects.filter(id=OuterRef("file_id"))
        found = list(window.filter(~Exists(file))[: self._most])
        self._after = found[-1] if len(found) == self._most else end
        return found
