"""Encrypts what goes into one unfinished object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from windlass.storage.contract import Buffer, State, Writer
from windlass.storage.copying import ThroughHere
from windlass.storage.encryption import header

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import ObjectCipher

#: Encrypted bytes that are held until they are written.
_BATCH = 1024 * 1024


class EncryptingWriter(ThroughHere):
    """Any offset will do: each byte's place says what encrypts it. What it copies is decrypted first."""

    def __init__(
        self,
        inner: Writer,
        cipher: ObjectCipher,
        seal: Callable[[State], State],
        open_source: Callable[[str], BinaryIO],
    ) -> None:
        """``seal``: what ``sync`` returns, of what the inner writer's does."""
        super().__init__(inner, open_source)
        self._cipher = cipher
        self._seal = seal

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        context, done = self._cipher.at(offset), 0
        for batch in _batches(buffers):
            encrypted = [context.update(piece) for piece in batch]
            done += super().write(header.LENGTH + offset + done, encrypted)
        return done

    def truncate(self, size: int) -> None:
        super().truncate(header.LENGTH + size)

    def sync(self, *, durable: bool = True) -> State:
        return self._seal(super().sync(durable=durable))


def _batches(buffers: Sequence[Buffer]) -> Iterator[list[memoryview]]:
    """The same bytes in lists of pieces of about a batch each, so that large buffers are not doubled in memory."""
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
