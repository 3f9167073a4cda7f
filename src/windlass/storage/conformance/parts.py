"""Writers that complete their object, checkpoints, and the objects of a tail that is not a whole part yet."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from windlass.storage.conformance.base import KEY, Suite, kept, keys, pattern, read, write
from windlass.storage.conformance.writers import PATIENCE
from windlass.storage.contract import ObjectInfo, ObjectMissing, Store, StoreError


class Parts(Suite):
    @pytest.fixture
    def parted(self, store: Store) -> Store:
        if store.capabilities.reads_unfinished:
            pytest.skip("this store keeps an unfinished object under its own key")
        return store

    @pytest.mark.parametrize("units", [0.0, 0.001, 1.0, 2.5])
    def test_the_writer_makes_the_object_whole(self, store: Store, units: float) -> None:
        data = pattern(int(units * store.capabilities.min_chunk_size))
        writer = store.open_writer(KEY, kept(store.create(KEY)))
        writer.write(0, [data])
        writer.finish(len(data))
        writer.close()
        assert read(store, KEY) == data
        assert [found for found in store.objects() if found.unfinished] == []

    def test_the_next_writer_makes_the_object_whole(self, store: Store) -> None:
        unit = store.capabilities.min_chunk_size
        data = pattern(3 * unit + 1)
        state = write(store, KEY, kept(store.create(KEY)), 0, data[: unit + 7])
        writer = store.open_writer(KEY, state)
        writer.write(unit + 7, [data[unit + 7 :]])
        writer.finish(len(data))
        writer.close()
        assert read(store, KEY) == data

    def test_another_size_than_is_there_is_refused(self, store: Store) -> None:
        writer = store.open_writer(KEY, kept(store.create(KEY)))
        writer.write(0, [b"bytes"])
        with pytest.raises(StoreError):
            writer.finish(6)
        writer.close()

    def test_who_died_after_the_object_was_whole_can_be_succeeded(self, parted: Store) -> None:
        """The state that was kept is older than the object. The last bytes come again, and may even be others."""
        unit = parted.capabilities.min_chunk_size
        first, second = pattern(2 * unit + 7), pattern(unit, seed=3)
        state = write(parted, KEY, kept(parted.create(KEY)), 0, first)
        dying = parted.open_writer(KEY, state)
        dying.write(len(first), [pattern(unit, seed=2)])
        dying.finish(len(first) + unit)
        dying.close()
        heir = parted.open_writer(KEY, state)
        heir.write(len(first), [second])
        heir.finish(len(first) + unit)
        heir.close()
        assert read(parted, KEY) == first + second

    def test_small_pieces_add_up(self, parted: Store) -> None:
        """A client that sends a few bytes with each request: each is acknowledged, none is lost, and few are kept."""
        data, state = pattern(4000), kept(parted.create(KEY))
        for start in range(0, len(data), 100):
            writer = parted.open_writer(KEY, state)
            writer.write(start, [data[start : start + 100]])
            state = kept(writer.sync())
            writer.close()
        assert len(_pieces(parted)) < 40
        parted.complete(KEY, state, len(data))
        assert read(parted, KEY) == data
        assert keys(parted) == {KEY}

    def test_what_only_earlier_states_need_goes_with_the_next(self, parted: Store) -> None:
        unit = parted.capabilities.min_chunk_size
        writer = parted.open_writer(KEY, kept(parted.create(KEY)))
        writer.write(0, [pattern(unit)])
        writer.committed(kept(writer.sync()))
        before = {found.key for found in _pieces(parted)}
        writer.write(unit, [pattern(2 * unit)])
        state = kept(writer.sync())
        writer.committed(state)
        assert before == {KEY}
        until(lambda: sum(found.size for found in _pieces(parted)) < 2 * unit)
        writer.close()
        parted.complete(KEY, state, 3 * unit)
        assert read(parted, KEY) == pattern(unit) + pattern(2 * unit)

    @pytest.mark.parametrize("units", [0, 1, 3])
    def test_a_checkpoint_leaves_out_no_more_than_it_may(self, store: Store, units: int) -> None:
        """And whoever goes on from it, in this writer's place, makes the same object."""
        unit = store.capabilities.min_chunk_size
        data, at, reached = pattern(6 * unit + 7), 0, 0
        state = kept(store.create(KEY))
        writer = store.open_writer(KEY, state)
        for end in (unit // 2, 2 * unit, 3 * unit + 5, 6 * unit):
            at += writer.write(at, [data[at:end]])
            state, reached = writer.checkpoint(at, max_lag=units * unit)
            state = kept(state)
            assert at - units * unit <= reached <= at
            writer.committed(state)
        writer.close()
        store.complete(KEY, write(store, KEY, state, reached, data[reached:]), len(data))
        assert read(store, KEY) == data
        assert keys(store) == {KEY}

    def test_clearing_leaves_the_finished_object(self, parted: Store) -> None:
        unit = parted.capabilities.min_chunk_size
        parted.complete(KEY, write(parted, KEY, kept(parted.create(KEY)), 0, b"whole"), 5)
        state = write(parted, KEY, kept(parted.create(KEY)), 0, pattern(unit + 1))
        assert parted.clear(KEY) >= unit + 1
        assert parted.clear(KEY) == 0
        assert read(parted, KEY) == b"whole"
        assert [found for found in parted.objects() if found.unfinished] == []
        with pytest.raises(ObjectMissing):
            parted.open_writer(KEY, state | {"parts": 9})


def until(true: Callable[[], bool]) -> None:
    """What is deleted is deleted in the background."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _pieces(store: Store) -> list[ObjectInfo]:
    return [found for found in store.objects() if found.unfinished]
