"""Writes one staged object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from windlass.storage.contract import Buffer, State
from windlass.storage.copying import Copier
from windlass.storage.django_storage.staging import Staging
from windlass.storage.local_writer import LocalWriter


class StagedWriter:
    """See ``contract.CopyingWriter``. What it copies is fetched from the storage first."""

    def __init__(self, staging: Staging, inner: LocalWriter, open_source: Callable[[str], BinaryIO]) -> None:
        self._staging = staging
        self._inner = inner
        self._copier = Copier(open_source, inner.write)
        self.write: Callable[[int, Sequence[Buffer]], int] = inner.write
        self.copy = self._copier.copy

    def sync(self, *, durable: bool = True) -> State:
        return self._staging.marked(self._inner.sync(durable=durable))

    def close(self) -> None:
        self._copier.close()
        self._inner.close()
