"""Locks: one exclusive writer or several shared ones, among all processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from windlass.storage.conformance.base import (
    KEY,
    OTHER,
    Suite,
    complete,
    pattern,
    read,
    save,
    skip_if,
    through_json,
    write,
)
from windlass.storage.contract import ObjectMissing, State, Store, StoreError, WriterBusy

#: Seconds. A busy machine starts an interpreter slowly; only a failing test waits this long.
TIMEOUT = 60


class Writers(Suite):
    def test_nothing_is_written_to_what_does_not_exist(self, store: Store) -> None:
        state = through_json(store.create(OTHER))
        with pytest.raises(ObjectMissing):
            store.open_writer(KEY, state)

    def test_an_exclusive_writer_excludes_all_others(self, store: Store, place: object, state: State) -> None:
        skip_if(not store.capabilities.locks, "this store has no locks")
        writer = store.open_writer(KEY, state)
        require_busy(store, state)
        require_busy(self.open_store(place), state, shared=True)
        with pytest.raises(WriterBusy):
            store.require_no_writer(KEY, state)
        writer.close()
        store.require_no_writer(KEY, state)

    def test_an_exclusive_writer_waits_for_shared_ones(self, store: Store, state: State) -> None:
        skip_if(not store.capabilities.locks, "this store has no locks")
        skip_if(not store.capabilities.random_writes, "this store has no shared writers")
        one = store.open_writer(KEY, state, shared=True)
        two = store.open_writer(KEY, state, shared=True)
        one.close()
        require_busy(store, state)
        two.close()
        store.open_writer(KEY, state).close()

    def test_a_writer_knows_whether_more_is_stored_than_its_caller_knows_of(self, store: Store, state: State) -> None:
        """A request that was stopped must not cut off what another one has stored meanwhile."""
        skip_if(not store.capabilities.locks, "this store has no locks")
        with closing(store.open_writer(KEY, state)) as writer:
            assert not writer.is_longer_than(0)
            writer.write(0, [b"abc"])
            assert writer.is_longer_than(2)
            assert not writer.is_longer_than(3)

    def test_overlapping_regions_are_refused(self, store: Store, place: object, state: State) -> None:
        skip_if(not store.capabilities.locks, "this store has no locks")
        skip_if(not store.capabilities.random_writes, "this store has no shared writers")
        low = store.open_writer(KEY, state, shared=True, region=(0, 1024))
        high = store.open_writer(KEY, state, shared=True, region=(1024, 1024))
        for start, length in ((0, 1024), (1023, 2), (2047, 10)):
            require_busy(self.open_store(place), state, shared=True, region=(start, length))
        low.close()
        again = self.open_store(place).open_writer(KEY, state, shared=True, region=(0, 1024))
        require_busy(store, state)
        again.close()
        high.close()
        store.open_writer(KEY, state).close()

    def test_what_is_written_of_an_unfinished_object_can_be_read(self, store: Store, state: State) -> None:
        skip_if(not store.capabilities.reads_unfinished, "this store reads finished objects only")
        writer = store.open_writer(KEY, state, shared=True, region=(1024, 1024))
        writer.write(1024, [pattern(1024)])
        with store.open(KEY) as source:
            source.seek(1024)
            assert source.read() == pattern(1024)
        writer.close()

    def test_truncate_frees_bytes_beyond_the_size(self, store: Store, state: State) -> None:
        writer = store.open_writer(KEY, state)
        writer.write(0, [pattern(3000)])
        if not writer.truncate(5000):
            writer.close()
            pytest.skip("this store cannot truncate")
        assert writer.truncate(1000)
        state = save(writer)
        with pytest.raises(StoreError):
            store.complete(KEY, state, 1001)
        complete(store, state, pattern(1000))

    def test_close_releases_the_lock_and_is_idempotent(self, store: Store, state: State) -> None:
        first = store.open_writer(KEY, state)
        first.close()
        second = store.open_writer(KEY, state)
        first.close()
        if not store.capabilities.locks:
            second.close()
            return
        require_busy(store, state)
        second.close()

    def test_objects_do_not_hinder_each_other(self, store: Store) -> None:
        one = store.open_writer(KEY, through_json(store.create(KEY)))
        two = store.open_writer(OTHER, through_json(store.create(OTHER)))
        one.close()
        two.close()

    def test_a_late_writer_is_detected(self, store: Store, unit: int, state: State) -> None:
        """A process wakes up and writes after another one has taken the upload over, and no lock stops it."""
        skip_if(store.capabilities.locks, "this store has locks, which exclude late writers")
        late = store.open_writer(KEY, state)
        kept_state = write(store, KEY, state, 0, pattern(2 * unit + 9))
        late.write(0, [pattern(2 * unit + 9, seed=2)])
        late.sync()
        late.close()
        try:
            store.complete(KEY, kept_state, 2 * unit + 9)
        except StoreError as error:
            assert not error.transient  # noqa: PT017  either may happen, and both are right
        else:
            assert read(store, KEY) == pattern(2 * unit + 9)

    def test_a_writer_in_another_process_excludes_ours(self, store: Store, place: object, state: State) -> None:
        skip_if(not store.capabilities.locks, "this store has no locks")
        with writer_elsewhere(self.open_store, place, KEY, state) as elsewhere:
            require_busy(store, state)
            elsewhere.finish()
        store.open_writer(KEY, state).close()

    def test_a_killed_process_releases_its_lock(self, store: Store, place: object, state: State) -> None:
        with writer_elsewhere(self.open_store, place, KEY, state) as elsewhere:
            elsewhere.kill()
            data = pattern(store.capabilities.min_chunk_size)
            state = write(store, KEY, state, 0, data)
        complete(store, state, data)


def require_busy(store: Store, state: State, **options: Any) -> None:
    with pytest.raises(WriterBusy):
        store.open_writer(KEY, state, **options)


class WriterProcess:
    """A process with an open exclusive writer that has written a few bytes without syncing."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def finish(self) -> None:
        """Close the writer and end."""
        self._pipe.send("close")
        self._process.join(TIMEOUT)
        assert self._process.exitcode == 0

    def kill(self) -> None:
        """SIGKILL: the process closes nothing itself."""
        self._process.kill()
        self._process.join(TIMEOUT)


@contextmanager
def writer_elsewhere(
    open_store: Callable[[Any], Store], place: object, key: str, state: State
) -> Iterator[WriterProcess]:
    # Spawned, not forked: nothing of this process's descriptors or threads may be shared.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_write_until_told, args=(open_store, place, key, state, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(TIMEOUT), "the other process did not open its writer"
        assert ours.recv() == "open"
        yield WriterProcess(process, ours)
    finally:
        process.kill()
        process.join(TIMEOUT)
        process.close()
        ours.close()


def _write_until_told(
    open_store: Callable[[Any], Store], place: object, key: str, state: State, pipe: Connection
) -> None:
    writer = open_store(place).open_writer(key, state)
    writer.write(0, [b"never committed"])
    pipe.send("open")
    pipe.recv()
    writer.close()
