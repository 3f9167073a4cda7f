"""The blocking side of receiving: what one thread does to the store in one go, and how durable it leaves it."""

from __future__ import annotations

from collections.abc import Sequence

from windlass import conf
from windlass.files import api as files
from windlass.kernel.clock import now
from windlass.receiving.digest import RunningDigest
from windlass.storage.contract import Buffer, State, Store, Writer


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


def finish_written(writer: Writer, size: int) -> State:
    """Complete the object, of which everything was written; return its last state. Raises SyncFailed, StoreError."""
    return writer.finish(size, durable=syncs_whole_files())


def save_up_to(writer: Writer, offset: int, *, max_lag: int = 0) -> tuple[State, int]:
    """See ``Writer.checkpoint``, as durable as an acknowledgement promises."""
    return writer.checkpoint(offset, max_lag=max_lag, durable=syncs_each_acknowledgement())


def checkpoint(writer: Writer, offset: int) -> tuple[State, int]:
    """``save_up_to`` while more comes in: parts that are on their way to a store need not be waited for."""
    return save_up_to(writer, offset, max_lag=conf.get().checkpoint_bytes // 2)


def must_hash(store: Store) -> bool:
    """Whether the digest is worked out while receiving at any price: reading the object again would cost more."""
    return not store.capabilities.local_files


def store_whole(store: Store, key: str, buffers: Sequence[Buffer], digest: RunningDigest | None) -> State:
    """Store and hash a new object whose bytes are all in memory. After an error discard the key."""
    state = store.put_whole(key, buffers, durable=syncs_whole_files())
    if digest is not None:
        digest.update(buffers)
    return state


def open_leased(store: Store, lease: files.Lease) -> Writer:
    """The only writer of a leased upload's object. Raises WriterBusy, StoreError, LeaseLost.

    The lease is looked at when the object is locked: this process may have been stopped between the two, and another
    one have had the upload meanwhile. From here on the lock keeps everybody else away, however long this one sleeps.
    """
    writer = store.open_writer(lease.store_key, lease.state)
    if now() >= lease.until:
        writer.close()
        raise files.LeaseLost(str(lease.upload_id))
    writer.truncate(lease.offset)  # a process that died may have written more than it committed
    return writer


def append(
    writer: Writer,
    offset: int,
    buffers: Sequence[Buffer],
    digest: RunningDigest | None,
    *,
    completes: bool,
) -> State:
    """Write, hash and make durable bytes that are all in memory; close the writer. Raises StoreError."""
    try:
        writer.write(offset, buffers)
        if digest is not None:
            digest.update(buffers)
        if not completes:
            return save(writer)
        return finish_written(writer, offset + sum(len(buffer) for buffer in buffers))
    finally:
        writer.close()
