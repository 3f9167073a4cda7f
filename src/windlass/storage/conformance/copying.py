"""Capability ``copies``: a writer that takes bytes from another object of its store."""

from __future__ import annotations

from typing import cast

import pytest

from windlass.storage.conformance.base import KEY, OTHER, Suite, kept, make, pattern, read
from windlass.storage.contract import CopyingWriter, ObjectMissing, State, Store, StoreError


class Copying(Suite):
    @pytest.fixture
    def copying(self, store: Store) -> Store:
        if not store.capabilities.copies:
            pytest.skip("this store does not copy")
        return store

    def test_an_object_is_made_of_others(self, copying: Store) -> None:
        unit = copying.capabilities.min_chunk_size
        data = pattern(3 * unit + 5)
        make(copying, OTHER, data)
        state = kept(copying.create(KEY))
        writer = copying_writer(copying, KEY, state)
        assert writer.copy(0, OTHER, 0, len(data)) == len(data)
        assert writer.copy(len(data), OTHER, 0, len(data)) == len(data)
        state = kept(writer.sync())
        writer.close()
        copying.complete(KEY, state, 2 * len(data))
        assert read(copying, KEY) == data + data
        assert read(copying, OTHER) == data

    def test_a_part_of_an_object_is_copied_between_bytes_that_are_written(self, copying: Store) -> None:
        unit = copying.capabilities.min_chunk_size
        data, own = pattern(3 * unit), pattern(unit, seed=7)
        make(copying, OTHER, data)
        state = kept(copying.create(KEY))
        writer = copying_writer(copying, KEY, state)
        writer.write(0, [own])
        writer.copy(unit, OTHER, unit, unit)
        writer.write(2 * unit, [own])
        state = kept(writer.sync())
        writer.close()
        copying.complete(KEY, state, 3 * unit)
        assert read(copying, KEY) == own + data[unit : 2 * unit] + own

    def test_copying_goes_on_in_the_next_writer(self, copying: Store) -> None:
        unit = copying.capabilities.min_chunk_size
        data = pattern(2 * unit)
        make(copying, OTHER, data)
        state = kept(copying.create(KEY))
        for start in (0, unit):
            writer = copying_writer(copying, KEY, state)
            writer.copy(start, OTHER, start, unit)
            state = kept(writer.sync())
            writer.close()
        copying.complete(KEY, state, len(data))
        assert read(copying, KEY) == data

    def test_nothing_is_copied_from_what_is_not_there(self, copying: Store) -> None:
        state = kept(copying.create(KEY))
        writer = copying_writer(copying, KEY, state)
        with pytest.raises(ObjectMissing):
            writer.copy(0, OTHER, 0, 1)
        writer.close()

    def test_a_source_that_is_too_short_is_an_error(self, copying: Store) -> None:
        make(copying, OTHER, b"short")
        writer = copying_writer(copying, KEY, kept(copying.create(KEY)))
        with pytest.raises(StoreError):
            writer.copy(0, OTHER, 3, 3)
        writer.close()


def copying_writer(store: Store, key: str, state: State) -> CopyingWriter:
    return cast(CopyingWriter, store.open_writer(key, state))
