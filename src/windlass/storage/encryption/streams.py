"""Encryption and decryption of byte streams: a reader, a source for ``Store.put``, and a writer."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from windlass.storage.contract import Buffer, State, Writer
from windlass.storage.copying import WrappingWriter
from windlass.storage.encryption import header

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import ObjectCipher

_READ_BUFFER = 64 * 1024
#: Encrypted bytes that are held until they are written.
_BATCH = 1024 * 1024


def decrypted(inner: BinaryIO, cipher: ObjectCipher) -> BinaryIO:
    """A reader of the plain bytes. It owns ``inner``, which is the object with its header."""
    return io.BufferedReader(_DecryptingReader(inner, cipher), _READ_BUFFER)


class _DecryptingReader(io.RawIOBase):
    """It has no ``fileno``, so that nobody sends the encrypted file. ``stored`` is that file, for its statistics."""

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


class EncryptingWriter(WrappingWriter):
    """Encrypts what is written to one unfinished object, at any offset. What it copies is decrypted first."""

    def __init__(
        self,
        inner: Writer,
        cipher: ObjectCipher,
        seal: Callable[[State], State],
        open_source: Callable[[str], BinaryIO],
    ) -> None:
        """``seal`` makes the state that ``sync`` returns from the inner writer's state."""
        super().__init__(inner, open_source)
        self._cipher = cipher
        self._seal = seal

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        context, done = self._cipher.at(offset), 0
        for batch in _batches(buffers):
            encrypted = [context.update(piece) for piece in batch]
            done += super().write(header.LENGTH + offset + done, encrypted)
        return done

    def truncate(self, size: int) -> bool:
        return super().truncate(header.LENGTH + size)

    def sync(self, *, durable: bool = True) -> State:
        return self._seal(super().sync(durable=durable))

    def finish(self, size: int, *, durable: bool = True) -> State:
        return self._seal(super().finish(header.LENGTH + size, durable=durable))


def _batches(buffers: Sequence[Buffer]) -> Iterator[list[memoryview]]:
    """The same bytes in lists of about one batch each, so that large buffers are not doubled in memory."""
    batch: list[memoryview] = []
    size = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        for start in range(0, len(view), _BATCH):
            batch.append(view[start : start + _BATCH])
            size += len(batch[-1])
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
