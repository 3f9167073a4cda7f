"""Whether the storage does what uploads need of it, tried out."""

from __future__ import annotations

import io
import secrets
from contextlib import suppress

from windlass.storage.contract import ObjectMissing, Store, StoreError
from windlass.storage.django_storage import names


def check(store: Store, *, thorough: bool) -> None:
    """Raises StoreError with the reason."""
    key = f"{names.CHECK}{secrets.token_hex(8)}"
    try:
        _must_keep(store, key, secrets.token_bytes(64))
        if thorough:
            _must_keep(store, key, secrets.token_bytes(32))  # in the place of the first
            _must_be_gone(store, key)
    except StoreError as error:
        raise type(error)(_with_cause(error)) from error
    finally:
        with suppress(StoreError):
            store.delete(key)


def _must_keep(store: Store, key: str, data: bytes) -> None:
    store.put(key, io.BytesIO(data), len(data))
    with store.open(key) as stored:
        if stored.read() != data:
            raise StoreError("The storage does not give back what was saved in it.")


def _must_be_gone(store: Store, key: str) -> None:
    store.delete(key)
    with suppress(ObjectMissing):
        store.info(key)
        raise StoreError("The storage still has what was deleted.")


def _with_cause(error: StoreError) -> str:
    """Who checks may read what the library said."""
    cause = error.__cause__
    return str(error) if cause is None else " ".join(f"{error}: {cause}".split())[:300]
