"""What a store of bytes must do. ``windlass.storage.conformance`` tests any class against this.

All methods block and are called from threads, never from an event loop. Keys are made by Windlass
(``[a-z0-9/._-]``, no empty, ``.`` or ``..`` segment) and never contain anything a client chose.

An object is written where it will stay: ``create``, then ``open_writer`` any number of times, then ``complete``
or ``discard``. ``state`` is the store's own JSON-ready memory of an unfinished object (an S3 upload id and its parts);
the caller keeps it beside the committed offset and hands the last committed one back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

State = dict[str, Any]
Buffer = bytes | bytearray | memoryview


class StoreError(Exception):
    """The store failed. ``transient`` says that the same call may succeed later."""

    transient = False


class StoreUnavailable(StoreError):
    """The store does not answer, or only with failures of its own."""

    transient = True


class StoreFull(StoreError):
    """No space is left. What is stored stays readable."""

    transient = True


class ObjectMissing(StoreError):
    """No object, finished or not, has this key."""


class WriterBusy(StoreError):
    """Another writer, perhaps in another process, has this object open. Its bytes are safe from us and ours from it."""

    transient = True


class SyncFailed(StoreError):
    """Bytes could not be made durable. They must not be acknowledged, and syncing again proves nothing."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do beyond the least, and the sizes it works in (bytes)."""

    random_writes: bool
    """Bytes can be written at any offset in any order, by several writers at once where ``shared=True``; and ``open``
    gives what has been written of an unfinished object too."""
    local_files: bool
    """``local_path`` gives a path that this machine can open."""
    min_chunk_size: int
    max_chunk_size: int
    copies: bool = False
    """Its writers can copy from other objects of the store: each is a CopyingWriter."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified_at: datetime


class Writer(Protocol):
    """Writes one unfinished object from where the caller stands. Not for two threads at once, except ``sync``."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Write the buffers one after the other at ``offset``; returns the bytes written, which is all of them.

        Raises StoreFull, StoreUnavailable. After an error the bytes from ``offset`` on are undefined and
        may be written again.
        """
        ...

    def sync(self, *, durable: bool = True) -> State:
        """Make durable everything written before this call began; returns the state to commit. Raises SyncFailed.

        ``durable=False``: it is enough that the bytes survive the death of this process.
        """
        ...

    def close(self) -> None:
        """Let go of the object without making anything durable. Idempotent."""
        ...


class CopyingWriter(Writer, Protocol):
    """Capability of stores whose ``capabilities.copies`` is true: bytes that are in the store already stay there."""

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """Copy ``size`` bytes from ``start`` of the finished object ``source`` to ``offset``; returns ``size``.

        They need not pass through this process. Raises ObjectMissing, StoreError where the source has fewer bytes,
        and what ``write`` raises; like there, bytes from ``offset`` on are then undefined.
        """
        ...


class Store(Protocol):
    name: str
    capabilities: Capabilities

    def create(self, key: str, *, durable: bool = True) -> State:
        """Begin an object, empty. ``durable``: its existence survives a power cut."""
        ...

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        """Raises ObjectMissing, WriterBusy. ``shared`` writers admit each other; an exclusive one admits none.

        ``region`` (offset, length) is what a shared writer means to write: of two whose regions overlap, the second is
        refused for as long as the first is open, also where its process is merely stopped.
        """
        ...

    def complete(self, key: str, state: State, size: int, *, durable: bool = True) -> None:
        """The object is whole at ``size`` bytes: drop whatever lies beyond. Costs the same for any size. Idempotent.

        Raises StoreError if fewer than ``size`` bytes are there.
        """
        ...

    def discard(self, key: str, state: State) -> int:
        """Delete an unfinished object; returns the bytes freed. Idempotent: a missing object is 0."""
        ...

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Store a small derived object (a thumbnail) at once, durably, replacing what was there."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A finished object, readable and seekable. Local stores give a real file (``fileno`` works). ObjectMissing."""
        ...

    def info(self, key: str) -> ObjectInfo:
        """Raises ObjectMissing."""
        ...

    def delete(self, key: str) -> int:
        """Delete a finished object; returns the bytes freed. Idempotent."""
        ...

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object, finished or not, for the sweep. Order is unspecified."""
        ...

    def check(self) -> None:
        """Prove that the store can be written, read and deleted from. Raises StoreError with the reason."""
        ...


class LocalFiles(Protocol):
    """Capability of stores whose ``capabilities.local_files`` is true."""

    def local_path(self, key: str) -> Path: ...
