"""Encryption and decryption of byte streams: a reader, a source for ``Store.put``, and a writer."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from windlass.kernel.seekable_reader import SeekableReader
from windlass.storage.contract import Buffer, State, Writer
from windlass.storage.copying import WrappingWriter
from windlass.storage.encryption import header

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import ObjectCipher

#: Bytes that are encrypted before they are written.
_BATCH = 1024 * 1024


class DecryptingReader(SeekableReader):
    """Reads the plain bytes of ``stored``, an encrypted object with its header, and owns it.

    It has no ``fileno``, so that nobody sends the encrypted file.
    """

    def __init__(self, stored: BinaryIO, cipher: ObjectCipher) -> None:
        super().__init__()
        self.stored = stored
        self._cipher = cipher
        self._context_at = -1

    def close(self) -> None:
        if not self.closed:
            self.stored.close()
        super().close()

    def _size(self) -> int:
        return self.stored.seek(0, os.SEEK_END) - header.LENGTH

    def _read_into(self, target: memoryview) -> int:
        if self._context_at != self._position:
            self.stored.seek(header.LENGTH + self._position)
            self._context = self._cipher.at(self._position)
        count = cast(io.BufferedIOBase, self.stored).readinto(target)
        read = target[:count]
        self._context.update_into(read, read)
        self._context_at = self._position + count
        return count


class EncryptedSource:
    """Reads as the header followed by ``source``, encrypted. For ``Store.put``."""

    def __init__(self, source: BinaryIO, raw_header: bytes, cipher: ObjectCipher) -> None:
        self._source = source
        self._header = raw_header
        self._context = cipher.at(0)

    def read(self, size: int = -1, /) -> bytes:
        if self._header:
            cut = len(self._header) if size < 0 else size
            first, self._header = self._header[:cut], self._header[cut:]
            return first
        return self._context.update(self._source.read(size))


class EncryptingWriter(WrappingWriter):
    """Encrypts what is written to one unfinished object, at any offset. It decrypts what it copies."""

    def __init__(
        self,
        inner: Writer,
        cipher: ObjectCipher,
        seal: Callable[[State], State],
        open_source: Callable[[str], BinaryIO],
    ) -> None:
        """``seal`` adds the header to the inner writer's state."""
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

    def is_longer_than(self, size: int) -> bool:
        return super().is_longer_than(header.LENGTH + size)

    def sync(self, *, durable: bool = True) -> State:
        return self._seal(super().sync(durable=durable))

    def finish(self, size: int, *, durable: bool = True) -> State:
        return self._seal(super().finish(header.LENGTH + size, durable=durable))


def _batches(buffers: Sequence[Buffer]) -> Iterator[list[memoryview]]:
    """Split the buffers into lists of about one batch, so that large buffers are not doubled in memory."""
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
