"""Fixtures and helpers of all groups of tests."""

from __future__ import annotations

import json
from array import array
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from windlass.storage.contract import State, Store, Writer

KEY = "objects/ab/one"
OTHER = "objects/ab/two"


class Suite:
    open_store: ClassVar[staticmethod[[Any], Store]]

    @pytest.fixture
    def place(self, tmp_path: Path) -> Any:
        """The place of a test's store; empty at first."""
        return tmp_path / "store"

    @pytest.fixture
    def store(self, place: Any) -> Store:
        return self.open_store(place)

    @pytest.fixture
    def unit(self, store: Store) -> int:
        """The smallest size of a chunk (bytes)."""
        return store.capabilities.min_chunk_size

    @pytest.fixture
    def state(self, store: Store) -> State:
        """The state of the unfinished object ``KEY``, which is empty."""
        return through_json(store.create(KEY))


def through_json(state: State) -> State:
    """Return the state as after a restart: serialized to JSON and back."""
    restored: State = json.loads(json.dumps(state))
    return restored


def pattern(size: int, seed: int = 1) -> bytes:
    """Return bytes in which a shifted, repeated or swapped block is detected."""
    begin = seed * 1_000_003
    return array("Q", range(begin, begin + size // 8 + 1)).tobytes()[:size]


def write(store: Store, key: str, state: State, offset: int, data: bytes) -> State:
    """Write durably with a new writer; return the new state."""
    with closing(store.open_writer(key, state)) as writer:
        assert writer.write(offset, [data]) == len(data)
        return through_json(writer.sync())


def write_chunk(store: Store, key: str, state: State, data: bytes, unit: int, index: int) -> State:
    """Write one chunk of ``data`` with a new shared writer; return the state of its region."""
    chunk = data[index * unit : (index + 1) * unit]
    with closing(store.open_writer(key, state, shared=True, region=(index * unit, len(chunk)))) as writer:
        assert writer.write(index * unit, [chunk]) == len(chunk)
        return through_json(writer.sync())


def save(writer: Writer) -> State:
    """Sync and close the writer; return the state as after a restart."""
    with closing(writer):
        return through_json(writer.sync())


def finish(store: Store, state: State, offset: int, data: bytes) -> None:
    """Write the last bytes of the object ``KEY`` with a new writer, which completes it."""
    with closing(store.open_writer(KEY, state)) as writer:
        writer.write(offset, [data])
        writer.finish(offset + len(data))


def complete(store: Store, state: State, data: bytes, **options: Any) -> None:
    """Complete the object ``KEY``, which must have these bytes then."""
    store.complete(KEY, state, len(data), **options)
    assert read(store, KEY) == data


def make(store: Store, key: str, data: bytes) -> None:
    """Make a finished object."""
    state = write(store, key, through_json(store.create(key)), 0, data)
    store.complete(key, state, len(data))


def skip_if(condition: bool, reason: str) -> None:
    if condition:
        pytest.skip(reason)


def read(store: Store, key: str) -> bytes:
    with store.open(key) as stored:
        return stored.read()


def keys(store: Store, prefix: str = "") -> set[str]:
    return {info.key for info in store.objects(prefix)}
