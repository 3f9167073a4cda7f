"""Counts of a rate limiter in a table that the processes of this machine share: a file that each maps into its memory.

The table is a storage of the library ``limits``, for its sliding window counter. It is a fixed number of slots in
buckets; a key belongs to the bucket that its hash names. Each access holds ``flock`` on the file, so the counts are
exact over all processes, and a process that is killed holds nothing up. A slot whose two windows have passed is free;
where a bucket has no free slot, the one that began first is given up. Times are of the system's monotonic clock, which
all processes share and nobody sets.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import structlog
from limits.errors import ConfigurationError
from limits.storage import storage_from_string
from limits.storage.base import SlidingWindowCounterSupport, Storage

from windlass.kernel.clock import monotonic

log = structlog.get_logger(__name__)

#: Key, start of the current window (seconds), calls of the previous window and of the current one.
_SLOT = struct.Struct("=QdQQ")
_SLOTS_PER_BUCKET = 16
#: 65,536 slots of 32 bytes: 2 MiB.
BUCKETS = 4096


class SharedTable(Storage, SlidingWindowCounterSupport):
    """The table in a file, or without a ``path`` in the memory of this process. Thread-safe."""

    STORAGE_SCHEME = None

    def __init__(
        self, path: Path | None = None, *, clock: Callable[[], float] = monotonic, buckets: int = BUCKETS
    ) -> None:
        """Raises OSError."""
        super().__init__()
        self._clock, self._buckets = clock, buckets
        self._lock = threading.Lock()
        size = buckets * _SLOTS_PER_BUCKET * _SLOT.size
        self._descriptor = None if path is None else _open(path, size)
        self._memory = mmap.mmap(-1 if self._descriptor is None else self._descriptor, size)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        with self._locked():
            slot, number, start, previous, current = self._load(key, expiry)
            now = self._clock()
            if int(previous * (start + expiry - now) / expiry) + current + amount > limit:
                return False
            _SLOT.pack_into(self._memory, slot, number, start, previous, current + amount)
            return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        with self._locked():
            _, _, start, previous, current = self._load(key, expiry)
            left = start + expiry - self._clock()
        return previous, left if previous else 0.0, current, left + expiry if current else 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        with self._locked():
            slot, *_ = self._load(key, expiry)
            self._memory[slot : slot + _SLOT.size] = bytes(_SLOT.size)

    def reset(self) -> int | None:
        with self._locked():
            self._memory[:] = bytes(len(self._memory))
        return None

    def check(self) -> bool:
        return True

    # The other strategies of the library, which nothing here uses
    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("this storage is for the sliding window counter")

    def get(self, key: str) -> int:
        raise NotImplementedError("this storage is for the sliding window counter")

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError("this storage is for the sliding window counter")

    def clear(self, key: str) -> None:
        raise NotImplementedError("this storage is for the sliding window counter")

    def _load(self, key: str, expiry: int) -> tuple[int, int, float, int, int]:
        """The offset of the key's slot and its content as of now. A new key has a window that begins now."""
        number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) or 1
        now = self._clock()
        first = number % self._buckets * _SLOTS_PER_BUCKET * _SLOT.size
        slots = [first + index * _SLOT.size for index in range(_SLOTS_PER_BUCKET)]
        contents = [_SLOT.unpack_from(self._memory, slot) for slot in slots]
        for slot, (other, start, previous, current) in zip(slots, contents, strict=True):
            if other == number:
                return slot, number, *_as_of(now, expiry, start, previous, current)
        # A free slot is all zeros, and one of a boot before begins in the future: neither is anybody's any more.
        starts = [start if start <= now else 0.0 for _, start, _, _ in contents]
        return slots[starts.index(min(starts))], number, now, 0, 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._descriptor is None:
                yield
                return
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _as_of(now: float, expiry: int, start: float, previous: int, current: int) -> tuple[float, int, int]:
    """The windows of a slot at ``now``: the current one becomes the previous one when it ends."""
    if not start <= now < start + 2 * expiry:
        return now, 0, 0
    if now >= start + expiry:
        return start + expiry, current, 0
    return start, previous, current


def _open(path: Path, size: int) -> int:
    """Open the file and write its bytes, if it is new: a page without blocks on a full disk would be a SIGBUS later."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        missing = size - os.fstat(descriptor).st_size
        while missing > 0:
            missing -= os.pwrite(descriptor, bytes(min(missing, 2**20)), size - missing)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_table(directory: str, name: str) -> SharedTable:
    """The table in this file; where it cannot be written, one that this process has alone."""
    try:
        return SharedTable(Path(directory) / name)
    except OSError as error:
        log.warning("rate_limits.not_shared", directory=directory, reason=error.strerror)
        return SharedTable()


def redis_storage(url: str, timeout: float) -> Any:
    """The library's own storage in a Redis, which connects at its first use; None without the extra ``redis``."""
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    try:
        return storage_from_string(url, key_prefix="windlass:rate", **options)
    except ConfigurationError as error:
        log.error("rate_limits.no_redis_client", reason=str(error), hint="pip install 'windlass[redis]'")
        return None
