"""The header of an encrypted object, its first 64 bytes: which key reads it, and the nonce of the object's own key.

0   8  WINDLASS
8   1  version, 1
9   7  zero
16  8  id of the key
24  24 nonce
48  16 HMAC-SHA256 under that key, truncated to 16 bytes, over all before it and the object's name

A ``Keyring`` holds the keys that can read a store's objects. The store has a key record for each key ever used, an
object of a header alone, so that a check finds a missing key without reading every object.
"""

from __future__ import annotations

import hmac
import io
import secrets
import struct
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from windlass.storage.contract import ObjectMissing, Store, StoreError, StoreUnavailable
from windlass.storage.encryption import ID_LENGTH

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import MasterKey, ObjectCipher

#: Lengths in bytes: of a header, and within it.
LENGTH = 64
NONCE_LENGTH = 24
#: Prefix of the names of key records.
KEY_RECORDS = "encryption/"

_MAGIC, _VERSION = b"WINDLASS", 1
_FIELDS = struct.Struct(f">8sB7x{ID_LENGTH}s{NONCE_LENGTH}s")


class KeyMissing(StoreUnavailable):
    """No setting has the key of an object. An operator can correct that, and nothing is lost."""

    def __init__(self, name: str, key_id: bytes) -> None:
        super().__init__(
            f"{name}: encrypted under the key {key_id.hex()}, which is not in ENCRYPTION_KEY or ENCRYPTION_OLD_KEYS."
        )


class HeaderDamaged(StoreError):
    """An object's header is not the one that was written."""


class Keyring:
    """The keys of the settings. New objects are encrypted under ``current``; without it they are not encrypted."""

    def __init__(self, current: bytes | None = None, old: Sequence[bytes] = ()) -> None:
        """Raises StoreError if there are keys and the library ``cryptography`` is not installed."""
        keys = [_master_key(key) for key in ([] if current is None else [current]) + list(old)]
        self.current = None if current is None else keys[0]
        self._by_id = {key.id: key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def find(self, key_id: bytes) -> MasterKey | None:
        return self._by_id.get(key_id)


def new(key: MasterKey, name: str) -> bytes:
    """Return the header of a new object of this name."""
    fields = _FIELDS.pack(_MAGIC, _VERSION, key.id, secrets.token_bytes(NONCE_LENGTH))
    return fields + key.mac(fields + name.encode())


def cipher(raw: bytes, name: str, keyring: Keyring) -> ObjectCipher:
    """Return the cipher of the object whose header is ``raw``. Raises KeyMissing, HeaderDamaged."""
    if len(raw) != LENGTH or not raw.startswith(_MAGIC) or raw[len(_MAGIC)] != _VERSION:
        raise HeaderDamaged(f"{name}: it does not start with the header of an encrypted object")
    _, _, key_id, nonce = _FIELDS.unpack_from(raw)
    key = keyring.find(key_id)
    if key is None:
        raise KeyMissing(name, key_id)
    fields, mac = raw[: _FIELDS.size], raw[_FIELDS.size :]
    if not hmac.compare_digest(key.mac(fields + name.encode()), mac):
        raise HeaderDamaged(f"{name}: its header was changed or belongs to another object")
    return key.cipher(nonce)


def record_key(store: Store, key: MasterKey) -> None:
    """Write the key record unless the store has it. Raises StoreError."""
    name = KEY_RECORDS + key.id.hex()
    try:
        store.info(name)
    except ObjectMissing:
        store.put(name, io.BytesIO(new(key, name)), LENGTH)


def check_recorded_keys(store: Store, keyring: Keyring) -> None:
    """Raises KeyMissing if no setting has a recorded key, HeaderDamaged if another key has the same id."""
    for info in list(store.objects(KEY_RECORDS)):
        with closing(store.open(info.key)) as record:
            cipher(record.read(), info.key, keyring)


def _master_key(key: bytes) -> MasterKey:
    try:
        from windlass.storage.encryption.keys import MasterKey
    except ImportError as error:
        raise StoreError("ENCRYPTION_KEY needs the library `cryptography`: install windlass[encryption].") from error
    return MasterKey(key)
