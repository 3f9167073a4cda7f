"""The first 64 bytes of an encrypted object: by which key it is read, and the nonce that makes its own key.

0   8  WINDLASS
8   1  version, 1
9   7  zero
16  8  id of the key
24  24 nonce
48  16 proof, by that key, of all before it and of the object's name
"""

from __future__ import annotations

import hmac
import secrets
import struct
from typing import TYPE_CHECKING

from windlass.storage.contract import StoreError, StoreUnavailable
from windlass.storage.encryption.lengths import ID_LENGTH

if TYPE_CHECKING:
    from windlass.storage.encryption.keyring import Keyring
    from windlass.storage.encryption.keys import MasterKey, ObjectCipher

LENGTH = 64
_NONCE_LENGTH = 24
_MAGIC, _VERSION = b"WINDLASS", 1
_FIELDS = struct.Struct(f">8sB7x{ID_LENGTH}s{_NONCE_LENGTH}s")


class KeyMissing(StoreUnavailable):
    """An object's key is in no setting. Like a store whose password is wrong: an operator puts it right, and nothing
    is lost."""

    def __init__(self, name: str, key_id: bytes) -> None:
        super().__init__(
            f"{name}: encrypted under the key {key_id.hex()}, which neither ENCRYPTION_KEY nor ENCRYPTION_OLD_KEYS is."
        )


class Damaged(StoreError):
    """These are not the bytes that were written as an object's header."""


def new(master: MasterKey, name: str) -> bytes:
    fields = _FIELDS.pack(_MAGIC, _VERSION, master.id, secrets.token_bytes(_NONCE_LENGTH))
    return fields + master.proof(fields + name.encode())


def cipher(raw: bytes, name: str, ring: Keyring) -> ObjectCipher:
    """Of the object that begins with ``raw``. Raises KeyMissing, Damaged."""
    if len(raw) != LENGTH or not raw.startswith(_MAGIC) or raw[len(_MAGIC)] != _VERSION:
        raise Damaged(f"{name}: it does not begin as an encrypted object does")
    _, _, key_id, nonce = _FIELDS.unpack_from(raw)
    master = ring.find(key_id)
    if master is None:
        raise KeyMissing(name, key_id)
    fields, proof = raw[: _FIELDS.size], raw[_FIELDS.size :]
    if not hmac.compare_digest(master.proof(fields + name.encode()), proof):
        raise Damaged(f"{name}: its header was changed, or is another object's")
    return master.cipher(nonce)
