"""Keys and ciphers derived from the keys in the settings. The only module that imports ``cryptography``."""

from __future__ import annotations

import hmac
from functools import cached_property

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from windlass.storage.encryption import ID_LENGTH, MAC_LENGTH

_BLOCK = 16


class MasterKey:
    """One key of the settings. ``id`` is derived from the key and reveals nothing about it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = self._derive(b"windlass: id of a key", ID_LENGTH)

    def cipher(self, nonce: bytes) -> ObjectCipher:
        """Return the cipher of the object with this random nonce."""
        return ObjectCipher(self._derive(b"windlass: key of an object", 32, nonce))

    def mac(self, data: bytes) -> bytes:
        """Return the authentication code of a header made under this key."""
        return hmac.digest(self._mac_key, data, "sha256")[:MAC_LENGTH]

    @cached_property
    def _mac_key(self) -> bytes:
        return self._derive(b"windlass: proof of a header", 32)

    def _derive(self, purpose: bytes, length: int, salt: bytes | None = None) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(self._key)


class ObjectCipher:
    """AES-256 in counter mode, from any byte on; it encrypts and decrypts alike.

    Each object has a key of its own, so the counter starts at 0.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def at(self, offset: int) -> CipherContext:
        """Return a cipher context for the bytes of the object from ``offset`` on."""
        block, within = divmod(offset, _BLOCK)
        context = Cipher(AES256(self._key), CTR(block.to_bytes(_BLOCK, "big"))).encryptor()
        context.update(bytes(within))
        return context
