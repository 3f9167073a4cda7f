"""Objects that are whole: put, open, info, delete, objects, check."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta

import pytest

from windlass.storage.conformance.base import KEY, OTHER, Suite, keys, make, pattern, read, through_json
from windlass.storage.contract import ObjectMissing, Store, StoreError


class FinishedObjects(Suite):
    def test_putting_stores_at_once(self, store: Store) -> None:
        store.put(KEY, io.BytesIO(b"thumbnail"), 9)
        assert read(store, KEY) == b"thumbnail"

    def test_putting_replaces_what_was_there(self, store: Store) -> None:
        store.put(KEY, io.BytesIO(b"a long first version"), 20)
        store.put(KEY, io.BytesIO(b"second"), 6)
        assert read(store, KEY) == b"second"
        assert keys(store) == {KEY}

    def test_a_source_that_ends_early_replaces_nothing(self, store: Store) -> None:
        store.put(KEY, io.BytesIO(b"first"), 5)
        with pytest.raises(StoreError):
            store.put(KEY, io.BytesIO(b"sec"), 6)
        assert read(store, KEY) == b"first"
        assert keys(store) == {KEY}

    def test_a_source_that_fails_replaces_nothing(self, store: Store) -> None:
        class Failing(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                raise RuntimeError("the source broke")

        store.put(KEY, io.BytesIO(b"first"), 5)
        with pytest.raises(RuntimeError):
            store.put(KEY, Failing(), 5)
        assert read(store, KEY) == b"first"
        assert keys(store) == {KEY}

    def test_a_reader_of_the_old_version_is_not_disturbed(self, store: Store) -> None:
        store.put(KEY, io.BytesIO(b"first"), 5)
        with store.open(KEY) as reader:
            assert reader.read(2) == b"fi"
            store.put(KEY, io.BytesIO(b"other"), 5)
            assert reader.read() == b"rst"

    def test_readers_can_seek_and_do_not_share_a_position(self, store: Store) -> None:
        data = pattern(3 * store.capabilities.min_chunk_size)
        make(store, KEY, data)
        with store.open(KEY) as one, store.open(KEY) as two:
            one.seek(-100, os.SEEK_END)
            assert one.tell() == len(data) - 100
            assert two.read(50) == data[:50]
            assert one.read() == data[-100:]

    def test_local_files_are_real_files(self, store: Store) -> None:
        path = store.local_path(KEY)
        assert (path is not None) == store.capabilities.local_files
        if path is None:
            pytest.skip("this store has no local files")
        make(store, KEY, b"local")
        assert path.read_bytes() == b"local"
        with store.open(KEY) as stored:
            assert os.fstat(stored.fileno()).st_size == 5

    def test_information(self, store: Store) -> None:
        make(store, KEY, b"12345")
        info = store.info(KEY)
        assert (info.key, info.size) == (KEY, 5)
        # A day of leeway: the store's clock is its own.
        assert abs(info.modified_at - datetime.now(UTC)) < timedelta(days=1)

    def test_what_does_not_exist_is_missing(self, store: Store) -> None:
        make(store, OTHER, b"other")
        with pytest.raises(ObjectMissing):
            store.open(KEY)
        with pytest.raises(ObjectMissing):
            store.info(KEY)
        with pytest.raises(ObjectMissing):
            store.open("objects/ab")
        assert store.delete(KEY) == 0

    def test_deleting_frees_the_bytes_once_and_leaves_the_neighbours(self, store: Store) -> None:
        make(store, KEY, b"12345")
        make(store, OTHER, b"other")
        assert store.delete(KEY) == 5
        assert store.delete(KEY) == 0
        with pytest.raises(ObjectMissing):
            store.open(KEY)
        assert read(store, OTHER) == b"other"

    def test_a_key_can_be_used_again(self, store: Store) -> None:
        make(store, KEY, b"first")
        store.delete(KEY)
        make(store, KEY, b"second")
        assert read(store, KEY) == b"second"

    def test_objects_lists_finished_and_unfinished(self, store: Store) -> None:
        make(store, KEY, b"12345")
        through_json(store.create(OTHER))
        store.put("renditions/x/thumbnail", io.BytesIO(b"t"), 1)
        listed = {info.key: info for info in store.objects()}
        assert set(listed) == {KEY, OTHER, "renditions/x/thumbnail"}
        assert listed[KEY] == store.info(KEY)

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("objects/", {"objects/ab/one", "objects/abc"}),
            ("objects/ab", {"objects/ab/one", "objects/abc"}),
            ("objects/ab/", {"objects/ab/one"}),
            ("objects/ab/one", {"objects/ab/one"}),
            ("renditions/", {"renditions/x/thumbnail"}),
            ("nothing/here", set()),
        ],
    )
    def test_a_prefix_is_of_the_key_as_text(self, store: Store, prefix: str, expected: set[str]) -> None:
        for key in ("objects/ab/one", "objects/abc", "renditions/x/thumbnail"):
            store.put(key, io.BytesIO(b"x"), 1)
        assert keys(store, prefix) == expected

    def test_what_the_caller_knows_is_left_out(self, store: Store) -> None:
        make(store, KEY, b"known")
        make(store, OTHER, b"other")
        through_json(store.create("objects/cd/three"))
        assert {info.key for info in store.objects(unless=lambda key: key == KEY) if not info.unfinished} >= {OTHER}
        assert KEY not in {info.key for info in store.objects("objects/ab/", unless=lambda key: key == KEY)}

    def test_an_empty_store_has_no_objects(self, store: Store) -> None:
        assert keys(store) == set()

    def test_objects_may_be_deleted_while_they_are_listed(self, store: Store) -> None:
        for number in range(20):
            store.put(f"objects/{number % 4}/{number}", io.BytesIO(b"x"), 1)
        assert sum(store.delete(info.key) for info in store.objects()) == 20
        assert keys(store) == set()

    def test_the_check_passes_and_leaves_nothing(self, store: Store) -> None:
        store.check()
        assert keys(store) == set()
