"""The contract of a store of bytes. ``windlass.storage.conformance`` tests any class against it.

Subclass ``Store`` and ``Writer``: methods with a body have a default that fits a store of plain files.

All methods block and are called from threads, never from an event loop, unless they say otherwise. Windlass makes the
keys (``[a-z0-9/._-]``, no empty, ``.`` or ``..`` segment); a key never contains anything that a client chose.

An object is written where it will stay: ``create``, then ``open_writer`` any number of times, then ``Writer.finish``,
``Store.complete`` or ``discard``. ``state`` is JSON-ready data of the store about an unfinished object (for example an
S3 upload id). The caller keeps it beside the committed offset and passes the last committed state back. An object whose
chunks arrive in any order has one shared writer for each chunk: the caller keeps the state that each ``sync`` returns
and passes all of them to ``complete``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

State = dict[str, Any]
Buffer = bytes | bytearray | memoryview

_KEY = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")


class StoreError(Exception):
    """The store failed. ``transient``: the same call may succeed later."""

    transient = False


class StoreUnavailable(StoreError):
    """The store cannot be reached, or answers with server errors only.

    ``retry_after``: seconds until it is tried again, if it is left alone until then; else None.
    """

    transient = True
    retry_after: float | None = None


class StoreMisconfigured(StoreUnavailable):
    """The store does not support what the settings ask for. The text names the setting to change."""


class StoreFull(StoreError):
    """No space is left. Stored objects stay readable."""

    transient = True


class ObjectMissing(StoreError):
    """No object, finished or not, has this key."""


class WriterBusy(StoreError):
    """Another writer, perhaps in another process, holds the lock of this object or region."""

    transient = True


class SyncFailed(StoreError):
    """Bytes could not be made durable. They must not be acknowledged; a later sync that succeeds proves nothing."""


def is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None and {".", ".."}.isdisjoint(name.split("/"))


def check_key(key: str) -> str:
    """Return the key. Raises StoreError for a name that can be no key."""
    if not is_key(key):
        raise StoreError(f"{key!r} is no key of this store")
    return key


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The sizes that a store works in (bytes), and the facts about it that callers decide policy by."""

    random_writes: bool
    """Several shared writers may write the chunks announced to ``create`` at once and in any order."""
    local_files: bool
    """Objects are files that this machine can open, so reading one again costs next to nothing."""
    min_chunk_size: int
    max_chunk_size: int
    max_chunks: int = 100_000
    """The number of chunks that one object may be written in."""
    reads_unfinished: bool = True
    """``open`` also opens an unfinished object and reads what has been written of it."""
    locks: bool = True
    """The store refuses a second writer while one is open. A store without locks must refuse to ``complete`` an object
    whose bytes are not those that its states describe."""
    encrypted: bool = False
    """This process encrypts the bytes. A small plain copy of an object should stay off the disk."""
    remote: bool = False
    """The store is reached over a network: each request to it enters the registry's guard, a circuit breaker."""
    presigns: bool = False
    """The store is a PresigningStore: clients can fetch an object from the store itself."""
    direct: bool = False
    """The store is a DirectStore: clients can send an object to the store itself."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified_at: datetime
    tag: str = ""
    """Changes whenever the bytes under the key change. Empty: the store has no tags; use ``modified_at``."""
    unfinished: bool = field(default=False, compare=False)
    """Bytes kept for an unfinished object; a finished one may exist under the same key. Stores whose unfinished objects
    look like finished ones never set it."""


class Writer(Protocol):
    """Writes one unfinished object. Not for two threads at once, except ``sync``, ``start_sync`` and
    ``checkpoint``.

    Bytes come in order; those of a shared writer from the start of its region to its end, and its ``sync`` returns the
    state of that region.
    """

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Write all buffers one after the other at ``offset``; return the number of bytes.

        The caller uses the memory of the buffers again after this returns: what is kept must be copied. Raises
        StoreFull, StoreUnavailable. After an error the bytes from ``offset`` on are undefined and may be written
        again.
        """

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """Copy ``size`` bytes from ``start`` of the finished object ``source`` to ``offset``; return ``size``.

        Raises ObjectMissing, StoreError if the source has fewer bytes, and the errors of ``write``. After an error the
        bytes from ``offset`` on are undefined.
        """

    def truncate(self, size: int) -> bool:
        """Free what was written beyond ``size`` bytes. False: the store frees it only later. Raises StoreError."""
        return False

    def is_longer_than(self, size: int) -> bool:
        """Whether anything is stored beyond ``size`` bytes. Only a store with locks has to know. Raises StoreError."""
        return False

    def sync(self, *, durable: bool = True) -> State:
        """Make durable what was written before this call; return the state to commit. Raises SyncFailed.

        ``durable=False``: the bytes only have to survive the death of this process.
        """

    def checkpoint(self, offset: int, *, max_lag: int = 0, durable: bool = True) -> tuple[State, int]:
        """``sync`` at ``offset``, the end of what was written; return the state and the offset to commit with it.

        The returned offset may be up to ``max_lag`` bytes smaller, so that a store need not wait for requests under
        way, or larger if more was written meanwhile. Raises SyncFailed.
        """
        return self.sync(durable=durable), offset

    def start_sync(self, offset: int, size: int) -> None:
        """Begin to make written bytes durable, so that a later ``sync`` has less to wait for. A hint: never raises."""
        return None

    def committed(self, state: State) -> None:
        """Tell that the caller committed ``state``: what only older states need may be deleted.

        Never blocks; may be called from an event loop.
        """
        return None

    def finish(self, size: int, *, durable: bool = True) -> State:
        """Complete the object: what was written is all of it, ``size`` bytes. Return its last state.

        Equals ``sync`` and ``Store.complete``. Raises SyncFailed, StoreError if the size differs. ``close`` the writer
        afterwards.
        """

    def close(self) -> None:
        """Release the object without making anything durable. Idempotent."""


class Store(Protocol):
    name: str
    """The name that rows store. The registry sets it to the store's name in the settings."""
    capabilities: Capabilities

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        """Create an empty unfinished object. ``durable``: its existence survives a power cut.

        ``at_most``: the largest size that it can reach, if known. ``chunk_size``: shared writers will write it in
        chunks of this size; the last chunk may be smaller.
        """

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        """Open a writer. Raises ObjectMissing, WriterBusy.

        ``shared`` writers may be open at the same time; an exclusive one excludes all others (if the store ``locks``).
        ``region`` (offset, length): what a shared writer will write. A writer whose region overlaps that of an open one
        is refused, even if the process of the open one is stopped.
        """

    def require_no_writer(self, key: str, state: State) -> None:
        """Raise WriterBusy if a writer has the object open; a store that does not ``lock`` does nothing."""
        self.open_writer(key, state).close()

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        """Complete the object at ``size`` bytes; drop what lies beyond. Costs the same for any size. Idempotent.

        ``chunks``: the states of the regions that shared writers wrote. Raises StoreError if there are fewer than
        ``size`` bytes, or bytes that the states do not describe.
        """

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        """Store a new object whose bytes are all in memory; return its state. After an error ``discard`` the key."""
        state = self.create(key, durable=durable)
        with closing(self.open_writer(key, state)) as writer:
            size = writer.write(0, buffers)
            return writer.finish(size, durable=durable)

    def discard(self, key: str, state: State) -> int:
        """Delete an unfinished object, or one that was completed and not recorded; return the bytes freed. Idempotent:
        0 for a missing object."""

    def discardable_size(self, key: str, state: State) -> int:
        """Return the bytes that ``discard`` would free."""
        try:
            return self.info(key).size
        except ObjectMissing:
            return 0

    def clear(self, key: str) -> int:
        """Free what is kept for an unfinished object of this key; a finished object stays. Idempotent.

        Call it only when nobody writes the object any more. Returns the bytes freed.
        """
        return 0

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Store a small derived object (a thumbnail) durably; replace what was there, or on an error keep it."""

    def open(self, key: str) -> BinaryIO:
        """Open a finished object, readable and seekable. Local stores return a real file (``fileno`` works).

        Raises ObjectMissing.
        """

    def info(self, key: str) -> ObjectInfo:
        """Raises ObjectMissing."""

    def delete(self, key: str) -> int:
        """Delete a finished object; return the bytes freed. Idempotent."""

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """List every object, finished or not, in no particular order.

        ``unless``: leave out finished objects for whose key it returns true, before anything else is asked about them.
        """

    def local_path(self, key: str) -> Path | None:
        """Return the path of the object's file; None if objects are not plain files of this machine."""
        return None

    def check(self, *, thorough: bool = False) -> None:
        """Prove that objects can be written, read and deleted, and parts be sent. Raises StoreError with the reason.

        ``thorough``: prove everything that uploads need.
        """

    def close(self) -> None:
        """Close connections; the process ends. Idempotent."""
        return None


class PresigningStore(Protocol):
    """A store with ``capabilities.presigns``; see ``presigning_store``."""

    is_public: bool
    """Whether clients can reach the store, as far as its settings tell."""

    def presign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        """Return a URL under which anybody can GET the object for ``seconds``.

        The store replies with the ``Content-Type``, ``Content-Disposition`` and ``Cache-Control`` of ``headers``.
        """


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that anybody may send to the store itself, once or more, until its signature expires.

    ``headers`` must be sent unchanged. If there are ``fields``, the body is a form: these fields first, the bytes last
    as ``file``.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part of a direct upload that the store has; ``number`` 1 if the object was sent in one request."""

    number: int
    tag: str
    size: int


class DirectStore(Protocol):
    """A store with ``capabilities.direct``; see ``direct_store``.

    Windlass creates an object, clients send it to the store itself, in parts or in one request, and it becomes an
    object under its key only when it is completed here. What clients send after that changes nothing. ``discard``,
    ``clear`` and ``objects`` treat it like any unfinished object.
    """

    bucket: str
    """The bucket name that clients are told."""
    min_part_size: int
    """The minimum size of every part but the last (bytes)."""
    max_parts: int
    max_single_size: int
    """The maximum size of an object that is sent in one request (bytes)."""
    supports_forms: bool
    """Whether ``sign_form`` may be called."""

    def cors_problems(self, origins: Sequence[str]) -> str:
        """Describe why pages of these origins cannot send to the store; empty if they can."""

    def client_key(self, key: str, state: State) -> str:
        """Return the name under which clients send the object."""

    def create_multipart(self, key: str) -> State:
        """Create an object that is sent in parts."""

    def sign_part(self, key: str, state: State, number: int, *, seconds: int, size: int | None = None) -> SignedRequest:
        """Sign the request for part ``number`` (from 1), of exactly ``size`` bytes if given."""

    def uploaded_parts(self, key: str, state: State) -> list[UploadedPart]:
        """List the parts that the store has, by number. Raises ObjectMissing if the upload was completed or aborted."""

    def complete_multipart(self, key: str, state: State, parts: Sequence[UploadedPart]) -> int:
        """Make the object of exactly these parts, in order, unless that was done before; return its size.

        Raises ObjectMissing if the upload was aborted, SyncFailed if the store has other parts.
        """

    def completed_size(self, key: str, state: State) -> int | None:
        """Return the size of the object if it was made of the upload with this state."""

    def create_single(self, key: str) -> State:
        """Create an object that is sent in one request. Sends no request to the store."""

    def sign_form(
        self, key: str, state: State, *, seconds: int, sizes: tuple[int, int], sha256: str | None = None
    ) -> SignedRequest:
        """Sign a form upload: of a size between the two of ``sizes``, with this SHA-256 (hex)."""

    def sign_put(self, key: str, state: State, *, seconds: int, size: int, sha256: str | None = None) -> SignedRequest:
        """Sign a PUT: of exactly this size, with this SHA-256 (hex)."""

    def uploaded_single(self, key: str, state: State) -> UploadedPart | None:
        """Return what was sent last, if anything."""

    def complete_single(self, key: str, state: State, uploaded: UploadedPart) -> int | None:
        """Make the object of what was sent; return its size, or None if it was replaced or deleted meanwhile.

        Repeatable until ``clear``.
        """


def presigning_store(store: Store) -> PresigningStore | None:
    """Return the store as a PresigningStore; None if it is none."""
    return cast(PresigningStore, store) if store.capabilities.presigns else None


def direct_store(store: Store) -> DirectStore | None:
    """Return the store as a DirectStore; None if it is none."""
    return cast(DirectStore, store) if store.capabilities.direct else None
