"""Copy objects between stores and local files, with their SHA-256 compared while they pass. Memory: one block."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from windlass.operations.backup.errors import BackupError
from windlass.storage.contract import ObjectMissing, Store, StoreError

BLOCK = 1024 * 1024

#: Called with the size of each block; may wait, and may raise.
OnBlock = Callable[[int], None]


class SourceDamaged(Exception):
    """The bytes that were read are not those that were recorded, are missing, or cannot be read."""


class SourceUnavailable(BackupError):
    """The store that is read does not answer, or its settings are incomplete."""


class VerifiedReader(io.RawIOBase):
    """Reads ``size`` bytes with this SHA-256. The read that reaches the end raises SourceDamaged if they differ, so the
    store that is being written keeps nothing of them."""

    def __init__(self, source: BinaryIO, size: int, sha256: str, on_block: OnBlock) -> None:
        super().__init__()
        self._source, self._left, self._sha256, self._on_block = source, size, sha256, on_block
        self._digest = hashlib.sha256()
        if size == 0:
            self._require_end()

    def read(self, size: int = -1, /) -> bytes:
        """Raises SourceDamaged, SourceUnavailable, and what ``on_block`` raises."""
        if not self._left or not size:
            return b""
        block = read_block(self._source, min(self._left, BLOCK if size < 0 else size))
        if not block:
            raise SourceDamaged(f"it ends {self._left} bytes too early")
        self._digest.update(block)
        self._left -= len(block)
        if not self._left:
            self._require_end()
        self._on_block(len(block))
        return block

    def _require_end(self) -> None:
        if read_block(self._source, 1):
            raise SourceDamaged("it is longer than its record says")
        found = self._digest.hexdigest()
        if found != self._sha256:
            raise SourceDamaged(f"its SHA-256 is {found}; it was {self._sha256}")


@contextmanager
def opened(source: Store, key: str) -> Iterator[BinaryIO]:
    """Open an object for reading. Raises SourceDamaged, SourceUnavailable."""
    with _source_errors(source):
        file = source.open(key)
    try:
        yield file
    finally:
        file.close()


def read_block(source: BinaryIO, size: int) -> bytes:
    """Raises SourceDamaged, SourceUnavailable: errors of what is read, never of what is written."""
    with _source_errors(None):
        return source.read(size)


@contextmanager
def _source_errors(store: Store | None) -> Iterator[None]:
    name = f"the store {store.name!r}" if store is not None else "the store"
    try:
        yield
    except ObjectMissing as error:
        raise SourceDamaged(f"{name} has no such object") from error
    except StoreError as error:
        if error.transient:
            raise SourceUnavailable(f"{name} cannot be read: {error}") from error
        raise SourceDamaged(str(error)) from error
    except OSError as error:
        raise SourceDamaged(f"it cannot be read: {error.strerror or error}") from error


def sha256_of(source: BinaryIO, on_block: OnBlock) -> tuple[str, int]:
    """Read everything; return the SHA-256 and the size. Raises as ``read_block`` and ``on_block`` do."""
    digest, size = hashlib.sha256(), 0
    while block := read_block(source, BLOCK):
        digest.update(block)
        size += len(block)
        on_block(len(block))
    return digest.hexdigest(), size


def put_verified(
    target: Store, key: str, source: BinaryIO, size: int, sha256: str, on_block: OnBlock = lambda size: None
) -> None:
    """Store exactly these bytes durably under the key, or nothing.

    Raises SourceDamaged, SourceUnavailable, and StoreError of the target.
    """
    reader = VerifiedReader(source, size, sha256, on_block)
    target.put(key, cast(BinaryIO, reader), size)


def put_file(target: Store, key: str, path: Path, on_block: OnBlock = lambda size: None) -> tuple[int, str]:
    """Store a local file; return its size and SHA-256. Raises StoreError."""
    with path.open("rb") as file:
        sha256, size = sha256_of(file, lambda size: None)
        file.seek(0)
        put_verified(target, key, file, size, sha256, on_block)
    return size, sha256


def fetch_file(
    source: Store, key: str, path: Path, size: int, sha256: str, on_block: OnBlock = lambda size: None
) -> None:
    """Copy an object to a new local file, mode 0600, durably. Raises SourceDamaged, SourceUnavailable, OSError."""
    with opened(source, key) as stored, open(path, "wb", opener=_private) as file:
        reader = VerifiedReader(stored, size, sha256, on_block)
        while block := reader.read(BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
