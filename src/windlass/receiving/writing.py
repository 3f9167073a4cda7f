"""The blocking side of receiving: what one thread does to the store in one go, and how durable it leaves it."""

from __future__ import annotations

from collections.abc import Sequence

from windlass import conf
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


def append(
    store: Store,
    key: str,
    state: State,
    offset: int,
    buffers: Sequence[Buffer],
    digest: RunningDigest | None,
    *,
    completes: bool,
) -> State:
    """Bytes that are all here already: written, hashed and made durable by one call. Raises StoreError."""
    writer = store.open_writer(key, state)
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
