"""``Writer.finish`` and ``Writer.checkpoint``, and the tail objects of stores that write in parts."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from windlass.storage.conformance.base import (
    KEY,
    Suite,
    complete,
    finish,
    keys,
    make,
    pattern,
    read,
    save,
    skip_if,
    through_json,
    write,
)
from windlass.storage.conformance.writers import TIMEOUT
from windlass.storage.contract import ObjectInfo, ObjectMissing, State, Store, StoreError


class Checkpoints(Suite):
    @pytest.fixture
    def parted(self, store: Store) -> Store:
        skip_if(store.capabilities.reads_unfinished, "this store keeps an unfinished object under its own key")
        return store

    @pytest.mark.parametrize("units", [0.0, 0.001, 1.0, 2.5])
    def test_finish_completes_the_object(self, store: Store, units: float) -> None:
        data = pattern(int(units * store.capabilities.min_chunk_size))
        finish(store, through_json(store.create(KEY)), 0, data)
        assert read(store, KEY) == data
        assert [info for info in store.objects() if info.unfinished] == []

    def test_the_next_writer_finishes_the_object(self, store: Store, unit: int) -> None:
        data = pattern(3 * unit + 1)
        state = write(store, KEY, through_json(store.create(KEY)), 0, data[: unit + 7])
        finish(store, state, unit + 7, data[unit + 7 :])
        assert read(store, KEY) == data

    def test_finish_refuses_another_size(self, store: Store) -> None:
        writer = store.open_writer(KEY, through_json(store.create(KEY)))
        writer.write(0, [b"bytes"])
        with pytest.raises(StoreError):
            writer.finish(6)
        writer.close()

    def test_an_older_state_continues_a_completed_object(self, parted: Store, unit: int) -> None:
        """The committed state is older than the object. The last bytes are sent again, and may differ."""
        first, second = pattern(2 * unit + 7), pattern(unit, seed=3)
        state = write(parted, KEY, through_json(parted.create(KEY)), 0, first)
        finish(parted, state, len(first), pattern(unit, seed=2))
        finish(parted, state, len(first), second)
        assert read(parted, KEY) == first + second

    def test_many_small_writes_keep_few_tail_objects(self, parted: Store) -> None:
        """A client sends a few bytes per request: all are acknowledged, none is lost, and few objects are kept."""
        data, state = pattern(4000), through_json(parted.create(KEY))
        for start in range(0, len(data), 100):
            writer = parted.open_writer(KEY, state)
            writer.write(start, [data[start : start + 100]])
            state = save(writer)
        assert len(_tail_objects(parted)) < 40
        complete(parted, state, data)
        assert keys(parted) == {KEY}

    def test_a_committed_state_deletes_tail_objects_of_older_states(self, parted: Store, unit: int) -> None:
        writer = parted.open_writer(KEY, through_json(parted.create(KEY)))
        writer.write(0, [pattern(unit)])
        writer.committed(through_json(writer.sync()))
        before = {info.key for info in _tail_objects(parted)}
        writer.write(unit, [pattern(2 * unit)])
        state = through_json(writer.sync())
        writer.committed(state)
        assert before == {KEY}
        wait_until(lambda: sum(info.size for info in _tail_objects(parted)) < 2 * unit)
        writer.close()
        complete(parted, state, pattern(unit) + pattern(2 * unit))

    @pytest.mark.parametrize("units", [0, 1, 3])
    def test_a_checkpoint_lags_by_at_most_max_lag(self, store: Store, units: int, unit: int, state: State) -> None:
        """A writer that continues from the returned state makes the same object."""
        data, at, reached = pattern(6 * unit + 7), 0, 0
        writer = store.open_writer(KEY, state)
        for end in (unit // 2, 2 * unit, 3 * unit + 5, 6 * unit):
            at += writer.write(at, [data[at:end]])
            state, reached = writer.checkpoint(at, max_lag=units * unit)
            state = through_json(state)
            assert at - units * unit <= reached <= at
            writer.committed(state)
        writer.close()
        complete(store, write(store, KEY, state, reached, data[reached:]), data)
        assert keys(store) == {KEY}

    def test_clear_keeps_the_finished_object(self, parted: Store, unit: int) -> None:
        make(parted, KEY, b"whole")
        state = write(parted, KEY, through_json(parted.create(KEY)), 0, pattern(unit + 1))
        assert parted.clear(KEY) >= unit + 1
        assert parted.clear(KEY) == 0
        assert read(parted, KEY) == b"whole"
        assert [info for info in parted.objects() if info.unfinished] == []
        with pytest.raises(ObjectMissing):
            parted.open_writer(KEY, state | {"parts": 9})


def wait_until(true: Callable[[], bool]) -> None:
    """Wait: objects are deleted in the background."""
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _tail_objects(store: Store) -> list[ObjectInfo]:
    return [info for info in store.objects() if info.unfinished]
