"""Encrypted objects as plain files to read, and plain sources as encrypted ones."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from windlass.storage.encryption import header

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import ObjectCipher

_BUFFER = 64 * 1024


def decrypted(inner: BinaryIO, cipher: ObjectCipher) -> BinaryIO:
    """``inner`` is the object with its header, and the reader's from now on."""
    return io.BufferedReader(_Reader(inner, cipher), _BUFFER)


class _Reader(io.RawIOBase):
    """It has no ``fileno``: nobody may send the file past it. ``stored``: that file, for who only asks how it lies."""

    def __init__(self, inner: BinaryIO, cipher: ObjectCipher) -> None:
        super().__init__()
        self.stored = inner
        self._inner = cast(io.BufferedIOBase, inner)
        self._position = 0
        self._cipher = cipher
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = header.LENGTH if whence == os.SEEK_SET else 0
        at = self._inner.seek(base + offset, whence) - header.LENGTH
        if at < 0:
            raise ValueError("negative seek position")
        self._position = at
        self._context = self._cipher.at(at)
        return at

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        count = self._inner.readinto(target)
        read = target[:count]
        self._context.update_into(read, read)
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class EncryptedSource:
    """Reads as the header and then ``source``, encrypted. For ``Store.put``."""

    def __init__(self, source: BinaryIO, raw_header: bytes, cipher: ObjectCipher) -> None:
        self._source = source
        self._header = raw_header
        self._context = cipher.at(0)

    def read(self, size: int = -1, /) -> bytes:
        if self._header:
            cut = len(self._header) if size < 0 else size
            found, self._header = self._header[:cut], self._header[cut:]
            return found
        return self._context.update(self._source.read(size))
