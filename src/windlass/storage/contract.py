"""What a store of bytes must do. ``windlass.storage.conformance`` tests any class against this.

All methods block and are called from threads, never from an event loop. Keys are made by Windlass
(``[a-z0-9/._-]``, no empty, ``.`` or ``..`` segment) and never contain anything a client chose.

An object is written where it will stay: ``create``, then ``open_writer`` any number of times, then ``complete``
or ``discard``. ``state`` is the store's own JSON-ready memory of an unfinished object (an S3 upload id and its parts);
the caller keeps it beside the committed offset and hands the last committed one back. Of an object whose chunks come
in any order, each under a shared writer of its own, the caller keeps what each ``sync`` returns beside the chunk, and
hands all of them to ``complete``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


class StoreMisconfigured(StoreUnavailable):
    """The store cannot do what the settings ask of it. The text is for people, and names the setting to change."""


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
    """The chunks that ``create`` was told of can be written in any order, by several shared writers at once, each with
    its region."""
    local_files: bool
    """``local_path`` gives a path that this machine can open. Reading an object again costs next to nothing."""
    min_chunk_size: int
    max_chunk_size: int
    max_chunks: int = 100_000
    """Chunks that one object may be written in."""
    copies: bool = False
    """Its writers can copy from other objects of the store: each is a CopyingWriter."""
    reads_unfinished: bool = True
    """``open`` gives what has been written of an unfinished object too."""
    locks: bool = True
    """While a writer is open, the store itself refuses others. A store that cannot do that still never makes an object
    of anything but what its states name: where a late writer has put other bytes there, ``complete`` refuses."""
    parts: bool = False
    """An object is made of parts sent over a network: its exclusive writers are PartWriters, and a small object is
    stored by ``put`` at less cost."""
    truncates: bool = False
    """Its exclusive writers are TruncatingWriters: what was written and is not to count need not stay."""
    encrypted: bool = False
    """Its bytes are encrypted at rest by this process. Whoever lays a copy of them out keeps it off the disk where it
    is small."""
    presigns: bool = False
    """It is a PresigningStore: clients can fetch an object from the store itself."""
    direct: bool = False
    """It is a DirectStore: clients can send an object to the store itself."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified_at: datetime
    tag: str = ""
    """Another one for other bytes under the same key. Empty: the store has none, and ``modified_at`` must do."""
    unfinished: bool = field(default=False, compare=False)
    """What is kept for an object in the making; a finished one may be there under the same key. Stores whose unfinished
    objects look like any other do not say."""


class Writer(Protocol):
    """Writes one unfinished object from where the caller stands. Not for two threads at once, except ``sync``.

    Bytes come in order; those of a shared writer from the beginning of its region to its end, and its ``sync`` returns
    the state of that region.
    """

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


class TruncatingWriter(Writer, Protocol):
    """Capability of stores whose ``capabilities.truncates`` is true."""

    def truncate(self, size: int) -> None:
        """Free what lies beyond ``size`` bytes of the object, if anything does. Raises StoreError."""
        ...


class PartWriter(Writer, Protocol):
    """Capability of stores whose ``capabilities.parts`` is true."""

    def reach(self, state: State) -> int:
        """The offset to commit with this state, which ``sync`` or ``checkpoint`` returned: it may cover more than was
        written when that was called, after ``checkpoint`` also less."""
        ...

    def checkpoint(self, leave: int) -> State:
        """``sync`` beside further writing: of the newest bytes ``leave`` may be left out, and next time are in it."""
        ...

    def finish(self, size: int) -> None:
        """What is written is the whole object, of ``size`` bytes: ``sync`` and ``Store.complete`` at once, so that the
        last bytes go from memory to where they stay. Raises what these raise."""
        ...

    def committed(self, state: State) -> None:
        """The caller has kept this state of this writer's: what only earlier ones need may go."""
        ...


class Store(Protocol):
    name: str
    """As rows keep it. The registry gives a store the name that it has in the settings."""
    capabilities: Capabilities

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        """Begin an object, empty. ``durable``: its existence survives a power cut.

        ``at_most``: the bytes it can come to have, where that is known. ``chunk_size``: it will be written by shared
        writers, in chunks of this size but for the last.
        """
        ...

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        """Raises ObjectMissing, WriterBusy. ``shared`` writers admit each other; an exclusive one admits none (both as
        far as the store ``locks``).

        ``region`` (offset, length) is what a shared writer means to write: of two whose regions overlap, the second is
        refused for as long as the first is open, also where its process is merely stopped.
        """
        ...

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        """The object is whole at ``size`` bytes: drop whatever lies beyond. Costs the same for any size. Idempotent.

        ``chunks``: the states of the regions, where shared writers wrote it. Raises StoreError if fewer than ``size``
        bytes are there, or others than the states name.
        """
        ...

    def discard(self, key: str, state: State) -> int:
        """Delete an unfinished object, or one completed a moment ago that is not to be; returns the bytes freed.
        Idempotent: a missing object is 0."""
        ...

    def clear(self, key: str) -> int:
        """Nobody makes an object under this key any more: free what is kept for that. A finished object stays.
        Idempotent; returns the bytes freed."""
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

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """Every object, finished or not, for the sweep. Order is unspecified.

        ``unless``: finished objects are left out where it says so of their key, before more is asked of them than that.
        """
        ...

    def check(self, *, thorough: bool = False) -> None:
        """Prove that the store can be written, read and deleted from. Raises StoreError with the reason.

        ``thorough``: everything that uploads will need of it.
        """
        ...

    def close(self) -> None:
        """This process ends: let go of connections. Idempotent."""
        ...


class LocalFiles(Protocol):
    """Capability of stores whose ``capabilities.local_files`` is true."""

    def local_path(self, key: str) -> Path: ...


class PresigningStore(Protocol):
    """Capability of stores whose ``capabilities.presigns`` is true."""

    is_public: bool
    """Whether clients can reach it, as far as its settings tell."""

    def presign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        """A URL under which anybody can GET the object for so long. The store answers with the ``Content-Type`` and
        ``Content-Disposition`` and ``Cache-Control`` of ``headers``."""
        ...


@dataclass(frozen=True, slots=True)
class Invitation:
    """One request that anybody may send to the store itself, once or more, until its time is over.

    ``headers`` go with it as they are. With ``fields`` it is a form: these first, and last the bytes as ``file``.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What lies at the store of an upload that clients send there: a part of it, or all of it (number 1)."""

    number: int
    tag: str
    size: int


class DirectStore(Protocol):
    """Capability of stores whose ``capabilities.direct`` is true. An object is begun here, sent by clients to the store
    itself, in parts or whole, and becomes an object under its key only when it is taken here. What clients can still
    send after that changes nothing. ``discard``, ``clear`` and ``objects`` treat it like any unfinished object.
    """

    bucket: str
    """Where objects lie, as clients are told."""
    least_part: int
    """Every part but the last has so many bytes at least."""
    most_parts: int
    largest_whole: int
    """The bytes that can be sent in one request."""
    takes_forms: bool
    """``invite_form`` may be asked for."""

    def keeps_out(self, origins: Sequence[str]) -> str:
        """What pages of these origins lack to send to the store, in words; empty where nothing does."""
        ...

    def told(self, key: str, state: State) -> str:
        """The name under which clients send it."""
        ...

    def begin_parts(self, key: str) -> State:
        """Begin an object that is sent in parts."""
        ...

    def invite_part(self, key: str, state: State, number: int, *, seconds: int, size: int | None = None) -> Invitation:
        """Part ``number`` (from 1) may be sent; of exactly ``size`` bytes, where that is known."""
        ...

    def sent_parts(self, key: str, state: State) -> list[Sent]:
        """What was sent so far, by number. Raises ObjectMissing where the object was taken, or given up."""
        ...

    def take_parts(self, key: str, state: State, parts: Sequence[Sent]) -> int:
        """Make the object of exactly these parts, in order, or find it made of them before; returns its size.

        Raises ObjectMissing where it was given up, StoreError where the store has others in their place.
        """
        ...

    def taken(self, key: str, state: State) -> int | None:
        """The size of the object, if it was made of what was begun with this state."""
        ...

    def begin_whole(self, key: str) -> State:
        """Begin an object that is sent in one request. Asks the store nothing."""
        ...

    def invite_form(
        self, key: str, state: State, *, seconds: int, sizes: tuple[int, int], sha256: str | None = None
    ) -> Invitation:
        """It may be sent in a form: of a size within these bounds, with this SHA-256 (hex)."""
        ...

    def invite_put(self, key: str, state: State, *, seconds: int, size: int, sha256: str | None = None) -> Invitation:
        """It may be sent as the body of a request: of exactly this size, with this SHA-256 (hex)."""
        ...

    def sent_whole(self, key: str, state: State) -> Sent | None:
        """What was sent last, if anything."""
        ...

    def take_whole(self, key: str, state: State, sent: Sent) -> int | None:
        """Make the object of what was sent; returns its size, or None where something else or nothing lies there by
        now. Repeatable until ``clear``."""
        ...
