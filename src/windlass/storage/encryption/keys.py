"""What is derived from the keys in the settings. The only module that needs the library."""

from __future__ import annotations

import hmac
from functools import cached_property

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from windlass.storage.encryption.lengths import ID_LENGTH, PROOF_LENGTH

_BLOCK = 16


class MasterKey:
    """One key of the settings. ``id`` names it without telling anything of it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = self._derived(b"windlass: id of a key", ID_LENGTH)

    def cipher(self, nonce: bytes) -> ObjectCipher:
        """Of the object with this random nonce."""
        return ObjectCipher(self._derived(b"windlass: key of an object", 32, nonce))

    def proof(self, data: bytes) -> bytes:
        """By which a header that was made under this key can be told from any other bytes."""
        return hmac.digest(self._proving, data, "sha256")[:PROOF_LENGTH]

    @cached_property
    def _proving(self) -> bytes:
        return self._derived(b"windlass: proof of a header", 32)

    def _derived(self, purpose: bytes, length: int, salt: bytes | None = None) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(self._key)


class ObjectCipher:
    """AES-256 in counter mode, from any byte on. Encrypting and decrypting are the same.

    The key is this object's own, so the counter begins at 0.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def at(self, offset: int) -> CipherContext:
        """What the byte at ``offset`` of the object and those after it go through."""
        block, skipped = divmod(offset, _BLOCK)
        context = Cipher(AES256(self._key), CTR(block.to_bytes(_BLOCK, "big"))).encryptor()
        context.update(bytes(skipped))
        return context
