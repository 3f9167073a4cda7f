"""Writes one staged object."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from windlass.storage.contract import State
from windlass.storage.copying import ThroughHere
from windlass.storage.django_storage.staging import Staging
from windlass.storage.local_writer import LocalWriter


class StagedWriter(ThroughHere):
    """Its states say where the object is staged. What it copies is fetched from the storage first."""

    def __init__(self, staging: Staging, inner: LocalWriter, open_source: Callable[[str], BinaryIO]) -> None:
        super().__init__(inner, open_source)
        self._staging = staging

    def sync(self, *, durable: bool = True) -> State:
        return self._staging.marked(super().sync(durable=durable))
