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


def create(store: Store, key: str) -> State:
    return store.create(key, durable=syncs_whole_files())


def save(writer: Writer) -> State:
    """What is written is as durable as an acknowledgement promises. Raises SyncFailed."""
    return writer.sync(durable=syncs_each_acknowledgement())


def finish(store: Store, key: str, state: State, size: int) -> None:
    store.complete(key, state, size, durable=syncs_whole_files())


def open_leased(store: Store, lease: files.Lease) -> Writer:
    """The only writer of a leased upload's object. Raises WriterBusy, StoreError, LeaseLost.

    The lease is looked at when the object is locked: this process may have been stopped between the two, and another
    one have had the upload meanwhile. From here on the lock keeps everybody else away, however long this one sleeps.
    """
    writer = store.open_writer(lease.store_key, lease.state)
    if now() >= lease.until:
        writer.close()
        raise files.LeaseLost(str(lease.upload_id))
    return writer


def append(
    store: Store,
    writer: Writer,
    key: str,
    offset: int,
    buffers: Sequence[Buffer],
    digest: RunningDigest | None,
    *,
    completes: bool,
) -> State:
    """Bytes that are all here already: written, hashed, made durable, and the writer closed. Raises StoreError."""
    try:
        writer.write(offset, buffers)
        if digest is not None:
            digest.update(buffers)
        if not completes:
            return save(writer)
        saved = writer.sync(durable=False)
        finish(store, key, saved, offset + sum(len(buffer) for buffer in buffers))
        return saved
    finally:
        writer.close()
