"""The local store: the conformance suite, and behaviour that only files have."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import services
from windlass.storage import posix_files
from windlass.storage.conformance import StoreConformance
from windlass.storage.conformance.base import KEY, OTHER, keys, make, pattern, read, through_json, write
from windlass.storage.conformance.writers import writer_elsewhere
from windlass.storage.contract import (
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreUnavailable,
    SyncFailed,
    WriterBusy,
)
from windlass.storage.local import LocalStore

NO_PROC = not Path("/proc/self/fd").exists()


class TestLocalStore(StoreConformance):
    open_store = staticmethod(LocalStore)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


# Where things lie


def test_an_object_is_at_its_path_from_its_first_byte(store: LocalStore, root: Path) -> None:
    state = store.create(KEY)
    inode = (root / KEY).stat().st_ino
    state = write(store, KEY, state, 0, b"bytes")
    store.complete(KEY, state, 5)
    assert (root / KEY).stat().st_ino == inode
    assert store.local_path(KEY) == root / KEY


def test_objects_and_directories_are_private(store: LocalStore, root: Path) -> None:
    make(store, KEY, b"private")
    store.put(OTHER, io.BytesIO(b"x"), 1)
    assert {stat.S_IMODE((root / key).stat().st_mode) for key in (KEY, OTHER)} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, root / "objects", root / "objects/ab")} == {0o700}


def test_creating_an_existing_object_is_refused(store: LocalStore) -> None:
    make(store, KEY, b"bytes")
    with pytest.raises(StoreError) as refusal:
        store.create(KEY)
    assert not refusal.value.transient
    assert read(store, KEY) == b"bytes"


def test_empty_directories_are_deleted_with_their_last_object(store: LocalStore, root: Path) -> None:
    store.put("renditions/one/thumbnail", io.BytesIO(b"x"), 1)
    store.put("renditions/one/preview", io.BytesIO(b"x"), 1)
    store.delete("renditions/one/preview")
    assert (root / "renditions/one").is_dir()
    store.delete("renditions/one/thumbnail")
    assert not (root / "renditions/one").exists()


def test_concurrent_creation_and_deletion_in_one_directory(store: LocalStore) -> None:
    """The directory is removed when empty; no create may fail because of that."""

    def come_and_go(worker: int) -> None:
        for turn in range(100):
            state = store.create(f"objects/ab/{worker}-{turn}", durable=False)
            store.discard(f"objects/ab/{worker}-{turn}", state)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert keys(store) == set()


def test_foreign_files_are_not_listed(store: LocalStore, root: Path) -> None:
    make(store, KEY, b"x")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "1").write_text("x")
    (root / "README").write_text("x")
    os.mkfifo(root / "pipe")
    assert keys(store) == {KEY}
    with pytest.raises(ObjectMissing):
        store.open("pipe")


# Keys and symlinks

NASTY_KEYS = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "a/../../b",
    "../x",
    "a//b",
    "a/",
    "./a",
    "a/.",
    "A",
    "a b",
    "a\\b",
    "a\0",
]
NASTY_KEYS += ["a\n", "a:b", "~", "ä", "%2e%2e/x", "a/..%2f", "-/../x", "*"]
CALLS: dict[str, Callable[[LocalStore, str], object]] = {
    "create": lambda store, key: store.create(key),
    "open_writer": lambda store, key: store.open_writer(key, {}),
    "complete": lambda store, key: store.complete(key, {}, 0),
    "discard": lambda store, key: store.discard(key, {}),
    "put": lambda store, key: store.put(key, io.BytesIO(b"x"), 1),
    "open": lambda store, key: store.open(key),
    "info": lambda store, key: store.info(key),
    "delete": lambda store, key: store.delete(key),
    "local_path": lambda store, key: store.local_path(key),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", NASTY_KEYS)
def test_invalid_keys_are_refused(store: LocalStore, tmp_path: Path, call: str, key: str) -> None:
    with pytest.raises(StoreError, match="no key"):
        CALLS[call](store, key)
    assert [path.name for path in tmp_path.rglob("*")] == ["media"]


@pytest.mark.parametrize("prefix", ["../", "/etc/", "a/../", "..//"])
def test_a_prefix_cannot_leave_the_root(store: LocalStore, prefix: str) -> None:
    with pytest.raises(StoreError):
        list(store.objects(prefix))


def test_a_symlink_is_no_object(store: LocalStore, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "link").symlink_to(secret)
    for call in ("open", "info", "open_writer", "complete"):
        with pytest.raises(ObjectMissing):
            CALLS[call](store, "link")
    with pytest.raises(StoreError):
        store.create("link")
    assert store.delete("link") == 0
    assert keys(store) == set()
    store.put("link", io.BytesIO(b"x"), 1)  # replaces the link, not what it points to
    assert secret.read_text() == "secret"


def test_a_symlinked_directory_is_not_entered(store: LocalStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one").write_text("secret")
    (root / "objects").symlink_to(outside)
    for call in ("open", "info", "open_writer", "complete", "create", "put"):
        with pytest.raises(StoreError):
            CALLS[call](store, "objects/one")
    assert store.delete("objects/one") == 0
    assert keys(store) == keys(store, "objects/") == set()
    assert [path.name for path in outside.iterdir()] == ["one"]


# Locks


def test_a_stopped_process_keeps_its_lock_and_a_killed_one_loses_it(store: LocalStore, root: Path) -> None:
    state = store.create(KEY)
    with writer_elsewhere(LocalStore, root, KEY, state) as elsewhere:
        os.kill(elsewhere.pid, signal.SIGSTOP)
        with pytest.raises(WriterBusy):
            store.open_writer(KEY, state)
        elsewhere.kill()
        store.open_writer(KEY, state).close()


def test_a_child_that_inherited_the_descriptor_does_not_keep_the_lock(store: LocalStore) -> None:
    state = store.create(KEY)
    writer = store.open_writer(KEY, state)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[writer.descriptor])
    try:
        writer.close()
        store.open_writer(KEY, state).close()
    finally:
        child.communicate()


def test_a_writer_of_a_discarded_object_does_not_write_to_its_successor(store: LocalStore) -> None:
    state = store.create(KEY)
    late = store.open_writer(KEY, state)
    store.discard(KEY, state)
    again = store.create(KEY)
    late.write(0, [b"late"])
    late.close()
    store.complete(KEY, write(store, KEY, again, 0, b"new"), 3)
    assert read(store, KEY) == b"new"


# What survives


def test_completing_truncates_bytes_left_by_a_crash(store: LocalStore, root: Path) -> None:
    state = write(store, KEY, store.create(KEY), 0, b"committed")
    with writer_elsewhere(LocalStore, root, KEY, state) as elsewhere:
        elsewhere.kill()
    assert (root / KEY).read_bytes() == b"never committed"
    state = write(store, KEY, state, 0, b"committed")
    store.complete(KEY, state, 9)
    assert (root / KEY).read_bytes() == b"committed"


def test_a_crash_while_putting_leaves_a_file_for_the_sweep(store: LocalStore, root: Path) -> None:
    store.put(KEY, io.BytesIO(b"first"), 5)
    script = f"""
import os
from pathlib import Path
from windlass.storage.local import LocalStore
class Dies:
    def read(self, size): os._exit(9)
LocalStore(Path({str(root)!r})).put({KEY!r}, Dies(), 5)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert read(store, KEY) == b"first"
    (left,) = keys(store) - {KEY}
    store.delete(left)
    assert keys(store) == {KEY}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes in the order in which they were synced. A power cut cannot be run; the synced inodes would survive it."""
    order: list[int] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name, os.fsync)

        def spy(descriptor: int, real: Callable[[int], None] = real) -> None:
            real(descriptor)
            order.append(os.fstat(descriptor).st_ino)

        monkeypatch.setattr(os, name, spy, raising=False)
    return order


syncs_by_fdatasync = pytest.mark.skipif(sys.platform == "darwin", reason="macOS syncs with fcntl")


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_durable_object_is_synced_with_every_directory_made_for_it(
    store: LocalStore, root: Path, synced: list[int]
) -> None:
    store.create(KEY)
    assert synced == [inode(root), inode(root / "objects"), inode(root / "objects/ab")]


@syncs_by_fdatasync
def test_an_object_created_without_durability_becomes_durable_with_its_first_sync(
    store: LocalStore, root: Path, synced: list[int]
) -> None:
    store.create(OTHER)
    synced.clear()
    state = through_json(store.create(KEY, durable=False))
    assert synced == []
    state = write(store, KEY, state, 0, b"one")
    assert synced == [inode(root / KEY), inode(root / "objects/ab")]
    write(store, KEY, state, 3, b"two")
    assert synced[2:] == [inode(root / KEY)]


@syncs_by_fdatasync
def test_a_sync_without_durability_syncs_nothing(store: LocalStore, root: Path, synced: list[int]) -> None:
    state = through_json(store.create(KEY, durable=False))
    synced.clear()
    writer = store.open_writer(KEY, state)
    state = through_json(writer.sync(durable=False))
    writer.close()
    assert synced == []
    store.complete(KEY, state, 0)
    assert synced == [inode(root / KEY), inode(root / "objects/ab")]


@syncs_by_fdatasync
def test_completing_syncs_unsynced_bytes_if_durable(store: LocalStore, root: Path, synced: list[int]) -> None:
    state = through_json(store.create(KEY, durable=False))
    synced.clear()
    store.complete(KEY, state, 0, durable=False)
    assert synced == []
    store.complete(KEY, state, 0)
    assert synced == [inode(root / KEY), inode(root / "objects/ab")]


@syncs_by_fdatasync
def test_putting_syncs_the_bytes_before_their_name(store: LocalStore, root: Path, synced: list[int]) -> None:
    store.create(OTHER)
    synced.clear()
    store.put(KEY, io.BytesIO(b"x"), 1)
    assert synced == [inode(root / KEY), inode(root / "objects/ab")]


@pytest.fixture
def heal_sync() -> Iterator[Callable[[], None]]:
    """A disk that cannot sync. Gives the way to make it well again."""

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", fails, raising=False)
        yield patch.undo


@syncs_by_fdatasync
def test_a_failed_sync_is_final_for_its_object(store: LocalStore, heal_sync: Callable[[], None]) -> None:
    writer = store.open_writer(KEY, store.create(KEY))
    writer.write(0, [b"lost"])
    with pytest.raises(SyncFailed) as failure:
        writer.sync()
    heal_sync()
    assert not failure.value.transient
    with pytest.raises(SyncFailed):
        writer.sync()
    with pytest.raises(SyncFailed):
        writer.write(0, [b"more"])
    writer.close()


@syncs_by_fdatasync
def test_after_a_failed_sync_nothing_is_completed_or_put(store: LocalStore, heal_sync: Callable[[], None]) -> None:
    state = store.create(KEY)
    with pytest.raises(SyncFailed):
        store.complete(KEY, state, 0)
    with pytest.raises(SyncFailed):
        store.put(OTHER, io.BytesIO(b"x"), 1)
    with pytest.raises(SyncFailed):
        store.check()
    heal_sync()
    assert keys(store) == {KEY}


# Disks that are full, gone or read-only


def test_a_file_size_limit_is_a_full_store(store: LocalStore) -> None:
    """The kernel writes up to the limit and then refuses: a real short write."""
    state = write(store, KEY, store.create(KEY), 0, b"kept")
    writer = store.open_writer(KEY, state)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(StoreFull):
            writer.write(4, [pattern(40_000), pattern(40_000)])
        with pytest.raises(StoreFull):
            store.put(OTHER, io.BytesIO(pattern(80_000)), 80_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.write(4, [b" and continued"])
    store.complete(KEY, writer.sync(), 18)
    writer.close()
    assert read(store, KEY) == b"kept and continued"
    assert keys(store) == {KEY}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with services.disk(tmp_path / "small", "1m") as place:
        if place is None:
            pytest.skip("mounting a small file system is not permitted here")
        yield place


def test_a_full_disk_keeps_its_objects_and_writing_continues_later(small_disk: Path) -> None:
    store = LocalStore(small_disk / "media")
    make(store, KEY, pattern(300_000))
    state = store.create(OTHER)
    writer = store.open_writer(OTHER, state)
    with pytest.raises(StoreFull):
        writer.write(0, [pattern(1_000_000, seed=2)])
    with pytest.raises(StoreFull):
        store.put("renditions/x", io.BytesIO(pattern(500_000)), 500_000)
    with pytest.raises(StoreFull):
        store.check()
    assert read(store, KEY) == pattern(300_000)
    store.delete(KEY)
    data = pattern(900_000, seed=2)
    writer.write(0, [data])
    store.complete(OTHER, writer.sync(), len(data))
    writer.close()
    assert read(store, OTHER) == data
    assert keys(store) == {OTHER}


def test_a_missing_directory_is_unavailable_and_not_empty(store: LocalStore, root: Path) -> None:
    """An unmounted disk must not make the sweep, or a reader, believe that everything was deleted."""
    make(store, KEY, b"x")
    root.rename(root.with_name("elsewhere"))
    for call in ("open", "info", "delete", "create", "open_writer"):
        with pytest.raises(StoreUnavailable):
            CALLS[call](store, KEY)
    with pytest.raises(StoreUnavailable):
        list(store.objects())
    with pytest.raises(StoreUnavailable):
        store.check()


def test_a_root_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        LocalStore(tmp_path / "file" / "media")


# Descriptors and short writes


@pytest.mark.skipif(NO_PROC, reason="this system has no /proc")
def test_no_descriptor_is_left_open(store: LocalStore, root: Path) -> None:
    make(store, KEY, b"x")
    (root / "link").symlink_to(root)
    before = len(os.listdir("/proc/self/fd"))
    busy = store.open_writer(KEY, {})
    for call in CALLS.values():
        for key in ("link", "link/one", "missing", "missing/one", "objects", KEY + "/x"):
            try:
                call(store, key)
            except StoreError:
                continue
            store.delete(key)
    with pytest.raises(WriterBusy):
        store.open_writer(KEY, {})
    next(store.objects())
    store.check()
    busy.close()
    assert len(os.listdir("/proc/self/fd")) == before


@given(
    buffers=st.lists(st.binary(max_size=20), max_size=12),
    limits=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    offset=st.integers(0, 10),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_short_writes_are_continued(tmp_path: Path, buffers: list[bytes], limits: list[int], offset: int) -> None:
    """Whatever the kernel takes of one call, the file holds the buffers in order at the offset, and nothing else."""
    turn = iter(limits * 300)

    def short(descriptor: int, parts: list[memoryview], position: int) -> int:
        return os.pwrite(descriptor, b"".join(parts)[: next(turn)], position)

    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch, path.open("r+b") as file:
        patch.setattr(os, "pwritev", short)
        assert posix_files.write_all(file.fileno(), offset, buffers) == len(b"".join(buffers))
    data = b"".join(buffers)
    assert path.read_bytes() == (b"\0" * offset + data if data else b"")


# Copying


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EOPNOTSUPP])
def test_copying_falls_back_to_reading_and_writing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """Also if the kernel's copy fails in the middle: a file system that shares blocks may run out of references."""
    data = pattern(3 * 1024 * 1024 + 11)
    make(store, OTHER, data)
    calls = []

    def refuse(source: int, start: int, target: int, offset: int, size: int) -> int:
        calls.append(size)
        if len(calls) > 1:
            raise OSError(reason, os.strerror(reason))
        return os.sendfile(target, source, start, 1000) if os.lseek(target, offset, os.SEEK_SET) == offset else 0

    monkeypatch.setattr(posix_files, "_copy_in_kernel", refuse)
    state = store.create(KEY)
    writer = store.open_writer(KEY, state)
    assert writer.copy(0, OTHER, 0, len(data)) == len(data)
    writer.close()
    store.complete(KEY, state, len(data))
    assert read(store, KEY) == data
    assert len(calls) == 2
