"""What is derived from the keys in the settings. The only module that needs ``cryptography``."""

from __future__ import annotations

import hmac
from functools import cached_property

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from windlass.storage.encryption.header import ID_LENGTH, MAC_LENGTH

_BLOCK = 16


class MasterKey:
    """One key of the settings. ``id`` is derived from it and reveals nothing of it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = self._derive(b"windlass: id of a key", ID_LENGTH)

    def cipher(self, nonce: bytes) -> ObjectCipher:
        """The cipher of the object with this random nonce."""
        return ObjectCipher(self._derive(b"windlass: key of an object", 32, nonce))

    def mac(self, data: bytes) -> bytes:
        """The authentication code of a header that was made under this key."""
        return hmac.digest(self._mac_key, data, "sha256")[:MAC_LENGTH]

    @cached_property
    def _mac_key(self) -> bytes:
        return self._derive(b"windlass: proof of a header", 32)

    def _derive(self, purpose: bytes, length: int, salt: bytes | None = None) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(self._key)


class ObjectCipher:
    """AES-256 in counter mode, from any byte on. Encrypting and decrypting are the same.

    The key is this object's own, so the counter begins at 0.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def at(self, offset: int) -> CipherContext:
        """A cipher context for the byte at ``offset`` of the object and those after it."""
        block, within = divmod(offset, _BLOCK)
        context = Cipher(AES256(self._key), CTR(block.to_bytes(_BLOCK, "big"))).encryptor()
        context.update(bytes(within))
        return context
