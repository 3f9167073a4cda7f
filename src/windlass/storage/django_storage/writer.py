"""Writes one staged object."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from windlass.storage.contract import State
from windlass.storage.copying import WrappingWriter
from windlass.storage.django_storage.staging import Staging
from windlass.storage.local_writer import LocalWriter


class StagedWriter(WrappingWriter):
    """Its states say where the object is staged. What it copies is fetched from the storage first."""

    def __init__(
        self,
        staging: Staging,
        inner: LocalWriter,
        open_source: Callable[[str], BinaryIO],
        complete: Callable[[State, int, bool], None],
    ) -> None:
        """``complete(state, size, durable)`` saves the staged object in the storage."""
        super().__init__(inner, open_source)
        self._staging = staging
        self._complete = complete

    def sync(self, *, durable: bool = True) -> State:
        return self._staging.marked(super().sync(durable=durable))

    def finish(self, size: int, *, durable: bool = True) -> State:
        state = self.sync(durable=False)
        self._complete(state, size, durable)
        return state
