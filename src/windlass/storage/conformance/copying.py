"""``Writer.copy``: bytes of another object of the same store."""

from __future__ import annotations

import pytest

from windlass.storage.conformance.base import KEY, OTHER, Suite, make, pattern, read, through_json
from windlass.storage.contract import ObjectMissing, Store, StoreError


class Copying(Suite):
    def test_an_object_is_made_of_others(self, store: Store) -> None:
        unit = store.capabilities.min_chunk_size
        data = pattern(3 * unit + 5)
        make(store, OTHER, data)
        state = through_json(store.create(KEY))
        writer = store.open_writer(KEY, state)
        assert writer.copy(0, OTHER, 0, len(data)) == len(data)
        assert writer.copy(len(data), OTHER, 0, len(data)) == len(data)
        state = through_json(writer.sync())
        writer.close()
        store.complete(KEY, state, 2 * len(data))
        assert read(store, KEY) == data + data
        assert read(store, OTHER) == data

    def test_a_part_of_an_object_is_copied_between_bytes_that_are_written(self, store: Store) -> None:
        unit = store.capabilities.min_chunk_size
        data, own = pattern(3 * unit), pattern(unit, seed=7)
        make(store, OTHER, data)
        state = through_json(store.create(KEY))
        writer = store.open_writer(KEY, state)
        writer.write(0, [own])
        writer.copy(unit, OTHER, unit, unit)
        writer.write(2 * unit, [own])
        state = through_json(writer.sync())
        writer.close()
        store.complete(KEY, state, 3 * unit)
        assert read(store, KEY) == own + data[unit : 2 * unit] + own

    def test_copying_goes_on_in_the_next_writer(self, store: Store) -> None:
        unit = store.capabilities.min_chunk_size
        data = pattern(2 * unit)
        make(store, OTHER, data)
        state = through_json(store.create(KEY))
        for start in (0, unit):
            writer = store.open_writer(KEY, state)
            writer.copy(start, OTHER, start, unit)
            state = through_json(writer.sync())
            writer.close()
        store.complete(KEY, state, len(data))
        assert read(store, KEY) == data

    def test_nothing_is_copied_from_what_is_not_there(self, store: Store) -> None:
        state = through_json(store.create(KEY))
        writer = store.open_writer(KEY, state)
        with pytest.raises(ObjectMissing):
            writer.copy(0, OTHER, 0, 1)
        writer.close()

    def test_a_source_that_is_too_short_is_an_error(self, store: Store) -> None:
        make(store, OTHER, b"short")
        writer = store.open_writer(KEY, through_json(store.create(KEY)))
        with pytest.raises(StoreError):
            writer.copy(0, OTHER, 3, 3)
        writer.close()
