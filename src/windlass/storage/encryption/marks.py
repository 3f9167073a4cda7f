"""Which keys a store's objects were ever encrypted under: an object for each, so that a check finds a key that is gone
without looking at every object."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING

from windlass.storage.contract import ObjectMissing, Store
from windlass.storage.encryption import header

if TYPE_CHECKING:
    from windlass.storage.encryption.keyring import Keyring
    from windlass.storage.encryption.keys import MasterKey

PREFIX = "encryption/"


def leave(store: Store, master: MasterKey) -> None:
    """Raises StoreError. Repeatable."""
    name = PREFIX + master.id.hex()
    try:
        store.info(name)
    except ObjectMissing:
        store.put(name, io.BytesIO(header.new(master, name)), header.LENGTH)


def check(store: Store, ring: Keyring) -> None:
    """Raises KeyMissing where a key is in no setting, Damaged where one of the same id is another."""
    for found in list(store.objects(PREFIX)):
        with closing(store.open(found.key)) as mark:
            header.cipher(mark.read(), found.key, ring)
