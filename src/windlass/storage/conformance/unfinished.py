"""Objects that are not complete: create, write, copy, sync, complete, discard."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from windlass.storage.conformance.base import (
    KEY,
    OTHER,
    Suite,
    complete,
    keys,
    make,
    pattern,
    read,
    save,
    skip_if,
    through_json,
    write,
    write_chunk,
)
from windlass.storage.contract import Buffer, ObjectMissing, State, Store, StoreError


class UnfinishedObjects(Suite):
    def test_sizes_make_sense(self, store: Store) -> None:
        assert store.name
        assert 0 < store.capabilities.min_chunk_size <= store.capabilities.max_chunk_size

    @pytest.mark.parametrize("durable", [True, False])
    def test_an_object_begins_empty_and_is_known_to_the_sweep(self, store: Store, durable: bool) -> None:
        through_json(store.create(KEY, durable=durable))
        assert KEY in keys(store)

    @pytest.mark.parametrize("durable", [True, False])
    def test_an_empty_object_can_be_completed(self, store: Store, durable: bool) -> None:
        state = through_json(store.create(KEY, durable=durable))
        store.complete(KEY, state, 0, durable=durable)
        assert read(store, KEY) == b""

    def test_bytes_come_back_as_they_were_written(self, store: Store) -> None:
        data = pattern(store.capabilities.min_chunk_size + 17)
        make(store, KEY, data)
        assert read(store, KEY) == data

    def test_writing_goes_on_in_the_next_writer(self, store: Store, unit: int, state: State) -> None:
        data = pattern(3 * unit + 5)
        for start in range(0, len(data), unit):
            state = write(store, KEY, state, start, data[start : start + unit])
        complete(store, state, data)

    def test_writing_goes_on_in_another_instance(self, store: Store, place: object, unit: int) -> None:
        data = pattern(2 * unit)
        state = write(store, KEY, through_json(store.create(KEY)), 0, data[:unit])
        again = self.open_store(place)
        state = write(again, KEY, state, unit, data[unit:])
        again.complete(KEY, state, len(data))
        assert read(store, KEY) == data

    def test_one_writer_may_write_many_times_between_syncs(self, store: Store, unit: int, state: State) -> None:
        data = pattern(4 * unit + 1)
        writer = store.open_writer(KEY, state)
        for start in range(0, len(data), unit):
            writer.write(start, [data[start : start + unit]])
            state = through_json(writer.sync()) if start == unit else state
        complete(store, save(writer), data)

    def test_buffers_of_every_kind_and_number_are_written_in_order(self, store: Store, state: State) -> None:
        data = pattern(5000)
        pieces: list[Buffer] = [b"", *(data[n : n + 2] for n in range(0, 4000, 2))]
        pieces += [bytearray(data[4000:4500]), b"", memoryview(data)[4500:]]
        writer = store.open_writer(KEY, state)
        assert writer.write(0, pieces) == len(data)
        assert writer.write(len(data), []) == 0
        complete(store, save(writer), data)

    def test_a_buffer_can_be_used_again_after_it_was_written(self, store: Store, unit: int, state: State) -> None:
        data = pattern(3 * unit + 7)
        buffer = memoryview(bytearray(unit))
        writer = store.open_writer(KEY, state)
        for start in range(0, len(data), unit):
            piece = data[start : start + unit]
            buffer[: len(piece)] = piece
            writer.write(start, [buffer[: len(piece)]])
            buffer[:] = bytes(unit)
        complete(store, save(writer), data)

    def test_the_state_can_be_had_without_making_anything_durable(self, store: Store, unit: int) -> None:
        data = pattern(2 * unit)
        state = through_json(store.create(KEY, durable=False))
        for start in (0, unit):
            writer = store.open_writer(KEY, state)
            writer.write(start, [data[start : start + unit]])
            state = through_json(writer.sync(durable=False))
            writer.close()
        complete(store, state, data)

    def test_what_came_after_the_last_commit_is_written_over(self, store: Store, unit: int) -> None:
        committed = write(store, KEY, through_json(store.create(KEY)), 0, pattern(unit))
        crashed = store.open_writer(KEY, committed)
        crashed.write(unit, [pattern(3 * unit, seed=9)])
        crashed.close()
        rest = pattern(unit, seed=2)
        complete(store, write(store, KEY, committed, unit, rest), pattern(unit) + rest)

    def test_completing_drops_what_lies_beyond(self, store: Store, unit: int) -> None:
        committed = write(store, KEY, through_json(store.create(KEY)), 0, pattern(unit))
        crashed = store.open_writer(KEY, committed)
        crashed.write(unit, [pattern(unit, seed=9)])
        crashed.close()
        complete(store, committed, pattern(unit))
        assert store.info(KEY).size == unit

    def test_completing_twice_is_completing_once(self, store: Store) -> None:
        state = write(store, KEY, through_json(store.create(KEY)), 0, b"whole")
        store.complete(KEY, state, 5)
        complete(store, state, b"whole")

    def test_an_object_that_is_too_short_is_not_completed(self, store: Store) -> None:
        state = write(store, KEY, through_json(store.create(KEY)), 0, b"part")
        with pytest.raises(StoreError):
            store.complete(KEY, state, 5)

    def test_what_does_not_exist_is_not_completed(self, store: Store, state: State) -> None:
        store.discard(KEY, state)
        with pytest.raises(StoreError):
            store.complete(KEY, state, 0)

    def test_discarding_frees_the_bytes_once(self, store: Store) -> None:
        size = store.capabilities.min_chunk_size
        state = write(store, KEY, through_json(store.create(KEY)), 0, pattern(size))
        assert store.discard(KEY, state) >= size
        assert store.discard(KEY, state) == 0
        assert KEY not in keys(store)
        with pytest.raises(ObjectMissing):
            store.open_writer(KEY, state)

    @pytest.mark.parametrize("units", [0.0, 0.001, 1.0, 2.5])
    def test_an_object_in_memory_is_stored_at_once(self, store: Store, units: float) -> None:
        data = pattern(int(units * store.capabilities.min_chunk_size))
        half = len(data) // 2
        store.put_whole(KEY, [data[:half], memoryview(data)[half:]])
        assert read(store, KEY) == data
        assert [info.key for info in store.objects() if info.key == KEY] == [KEY]

    def test_the_size_that_discarding_would_free(self, store: Store, state: State) -> None:
        assert store.discardable_size(KEY, state) == 0
        state = write(store, KEY, state, 0, pattern(store.capabilities.min_chunk_size + 9))
        size = store.discardable_size(KEY, state)
        assert size >= store.capabilities.min_chunk_size + 9
        assert store.discard(KEY, state) > store.capabilities.min_chunk_size
        assert store.discardable_size(KEY, state) == 0

    def test_discarding_reaches_bytes_that_were_never_synced(self, store: Store, state: State) -> None:
        crashed = store.open_writer(KEY, state)
        crashed.write(0, [pattern(store.capabilities.min_chunk_size)])
        crashed.close()
        store.discard(KEY, state)
        assert KEY not in keys(store)

    def test_chunks_in_any_order_and_one_of_them_twice(self, store: Store, unit: int) -> None:
        skip_if(not store.capabilities.random_writes, "this store writes in order only")
        data = pattern(5 * unit - 3)
        state = through_json(store.create(KEY, chunk_size=unit))
        chunks = {index: write_chunk(store, KEY, state, data, unit, index) for index in (3, 0, 4, 2, 1, 4)}
        complete(store, state, data, chunks=list(chunks.values()))

    def test_several_shared_writers_at_once(self, store: Store, unit: int) -> None:
        skip_if(not store.capabilities.random_writes, "this store writes in order only")
        count = 12
        data = pattern(count * unit)
        state = through_json(store.create(KEY, chunk_size=unit))
        with ThreadPoolExecutor(4) as pool:
            chunks = list(
                pool.map(lambda index: write_chunk(store, KEY, state, data, unit, index), reversed(range(count)))
            )
        complete(store, state, data, chunks=chunks)

    def test_a_chunk_that_is_missing_is_missed(self, store: Store, unit: int) -> None:
        skip_if(store.capabilities.locks, "this store does not record missing chunks")
        data = pattern(3 * unit)
        state = through_json(store.create(KEY, chunk_size=unit))
        chunks = [write_chunk(store, KEY, state, data, unit, index) for index in (0, 2)]
        with pytest.raises(StoreError):
            store.complete(KEY, state, len(data), chunks=chunks)


class Copying(Suite):
    """``Writer.copy``: bytes of another object of the same store."""

    def test_an_object_is_made_of_others(self, store: Store, unit: int, state: State) -> None:
        data = pattern(3 * unit + 5)
        make(store, OTHER, data)
        writer = store.open_writer(KEY, state)
        assert writer.copy(0, OTHER, 0, len(data)) == len(data)
        assert writer.copy(len(data), OTHER, 0, len(data)) == len(data)
        complete(store, save(writer), data + data)
        assert read(store, OTHER) == data

    def test_a_part_of_an_object_is_copied_between_bytes_that_are_written(
        self, store: Store, unit: int, state: State
    ) -> None:
        data, own = pattern(3 * unit), pattern(unit, seed=7)
        make(store, OTHER, data)
        writer = store.open_writer(KEY, state)
        writer.write(0, [own])
        writer.copy(unit, OTHER, unit, unit)
        writer.write(2 * unit, [own])
        complete(store, save(writer), own + data[unit : 2 * unit] + own)

    def test_copying_goes_on_in_the_next_writer(self, store: Store, unit: int, state: State) -> None:
        data = pattern(2 * unit)
        make(store, OTHER, data)
        for start in (0, unit):
            writer = store.open_writer(KEY, state)
            writer.copy(start, OTHER, start, unit)
            state = save(writer)
        complete(store, state, data)

    def test_nothing_is_copied_from_what_is_not_there(self, store: Store, state: State) -> None:
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
