"""What every group of the suite starts from."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any, ClassVar

import pytest

from windlass.storage.contract import State, Store

KEY = "objects/ab/one"
OTHER = "objects/ab/two"


class Suite:
    open_store: ClassVar[staticmethod[[Any], Store]]

    @pytest.fixture
    def place(self, tmp_path: Path) -> Any:
        """Where the store of one test keeps its bytes; empty at first."""
        return tmp_path / "store"

    @pytest.fixture
    def store(self, place: Any) -> Store:
        return self.open_store(place)


def kept(state: State) -> State:
    """The state as the caller has it after a restart: it went through JSON."""
    again: State = json.loads(json.dumps(state))
    return again


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes in which a block that is shifted, doubled or swapped shows."""
    begin = seed * 1_000_003
    return array("Q", range(begin, begin + size // 8 + 1)).tobytes()[:size]


def write(store: Store, key: str, state: State, offset: int, data: bytes) -> State:
    """Write in a writer of its own, durably; the new state."""
    writer = store.open_writer(key, state)
    try:
        assert writer.write(offset, [data]) == len(data)
        return kept(writer.sync())
    finally:
        writer.close()


def write_chunk(store: Store, key: str, state: State, data: bytes, unit: int, index: int) -> State:
    """One chunk of ``data`` in a shared writer of its own; the state of its region."""
    chunk = data[index * unit : (index + 1) * unit]
    writer = store.open_writer(key, state, shared=True, region=(index * unit, len(chunk)))
    try:
        assert writer.write(index * unit, [chunk]) == len(chunk)
        return kept(writer.sync())
    finally:
        writer.close()


def make(store: Store, key: str, data: bytes) -> None:
    """A finished object."""
    state = write(store, key, kept(store.create(key)), 0, data)
    store.complete(key, state, len(data))


def read(store: Store, key: str) -> bytes:
    with store.open(key) as stored:
        return stored.read()


def keys(store: Store, prefix: str = "") -> set[str]:
    return {found.key for found in store.objects(prefix)}
