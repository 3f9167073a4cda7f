"""The blocking side of receiving: what one thread does to the store in one go, and how durable it leaves it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import cast

from windlass import conf
from windlass.files import api as files
from windlass.kernel.clock import now
from windlass.receiving.digest import RunningDigest
from windlass.storage.contract import Buffer, PartWriter, State, Store, TruncatingWriter, Writer


def syncs_each_acknowledgement() -> bool:
    return conf.get().durability == "strict"


def syncs_whole_files() -> bool:
    return conf.get().durability != "os"


def create(store: Store, key: str, *, at_most: int | None = None, chunk_size: int | None = None) -> State:
    return store.create(key, durable=syncs_whole_files(), at_most=at_most, chunk_size=chunk_size)


def save(writer: Writer) -> State:
    """What is written is as durable as an acknowledgement promises. Raises SyncFailed."""
    return writer.sync(durable=syncs_each_acknowledgement())


def finish(store: Store, key: str, state: State, size: int, chunks: Sequence[State] = ()) -> None:
    store.complete(key, state, size, durable=syncs_whole_files(), chunks=chunks)


def finish_written(store: Store, writer: Writer, key: str, state: State, size: int) -> State:
    """What the writer wrote is whole, and ``state`` the last that was committed; returns the one to go on with."""
    if store.capabilities.parts:
        cast(PartWriter, writer).finish(size)
        return state
    saved = writer.sync(durable=False)
    finish(store, key, saved, size)
    return saved


def save_up_to(store: Store, writer: Writer, offset: int) -> tuple[State, int]:
    """``save``, and the offset to commit with it: ``offset``, or more where more was written meanwhile."""
    state = save(writer)
    return state, cast(PartWriter, writer).reach(state) if store.capabilities.parts else offset


def checkpoint(store: Store, writer: Writer, offset: int) -> tuple[State, int]:
    """``save_up_to`` while more comes in: parts that are on their way to a store need not be waited for."""
    if not store.capabilities.parts:
        return save_up_to(store, writer, offset)
    state = cast(PartWriter, writer).checkpoint(conf.get().checkpoint_bytes // 2)
    return state, cast(PartWriter, writer).reach(state)


def commits(store: Store, writer: Writer, state: State) -> None:
    """``state`` was committed, and the writer goes on."""
    if store.capabilities.parts:
        cast(PartWriter, writer).committed(state)


def must_hash(store: Store) -> bool:
    """Whether the digest is worked out while receiving at any price: reading the object again would cost more."""
    return not store.capabilities.local_files


def store_whole(
    store: Store, key: str, buffers: Sequence[Buffer], digest: RunningDigest | None, created: Callable[[State], None]
) -> State:
    """A whole object of bytes that are all here. ``created``: told as soon as there is something to discard."""
    if store.capabilities.parts:
        data = b"".join(buffers)
        created({})
        store.put(key, io.BytesIO(data), len(data))
        if digest is not None:
            digest.update([data])
        return {}
    state = create(store, key)
    created(state)
    return append(store, store.open_writer(key, state), key, state, 0, buffers, digest, completes=True)


def open_leased(store: Store, lease: files.Lease) -> Writer:
    """The only writer of a leased upload's object. Raises WriterBusy, StoreError, LeaseLost.

    The lease is looked at when the object is locked: this process may have been stopped between the two, and another
    one have had the upload meanwhile. From here on the lock keeps everybody else away, however long this one sleeps.
    """
    writer = store.open_writer(lease.store_key, lease.state)
    if now() >= lease.until:
        writer.close()
        raise files.LeaseLost(str(lease.upload_id))
    truncate(store, writer, lease.offset)  # a process that died may have written more than it committed
    return writer


def truncate(store: Store, writer: Writer, offset: int) -> bool:
    """Free what was written beyond ``offset`` and never committed. False where the store cannot do that."""
    if store.capabilities.truncates:
        cast(TruncatingWriter, writer).truncate(offset)
    return store.capabilities.truncates


def append(
    store: Store,
    writer: Writer,
    key: str,
    state: State,
    offset: int,
    buffers: Sequence[Buffer],
    digest: RunningDigest | None,
    *,
    completes: bool,
) -> State:
    """Bytes that are all here already: written, hashed, made durable, and the writer closed. Raises StoreError.

    ``state`` is what the writer was opened with.
    """
    try:
        writer.write(offset, buffers)
        if digest is not None:
            digest.update(buffers)
        if not completes:
            return save(writer)
        return finish_written(store, writer, key, state, offset + sum(len(buffer) for buffer in buffers))
    finally:
        writer.close()
