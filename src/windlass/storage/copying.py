"""Copy from finished objects into one that is being written, in blocks through this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import BinaryIO

from windlass.storage.contract import Buffer, State, Store, StoreError, Writer

_BLOCK = 1024 * 1024


class Copier:
    """Copies, and keeps the last source open: an object is often copied range by range, and opening it may cost as much
    as reading all of it."""

    def __init__(self, open_source: Callable[[str], BinaryIO], write: Callable[[int, Sequence[Buffer]], int]) -> None:
        self._open_source = open_source
        self._write = write
        self._key = ""
        self._source: BinaryIO | None = None

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """See ``contract.Writer.copy``."""
        file, done = self._open(source), 0
        file.seek(start)
        while done < size:
            block = file.read(min(_BLOCK, size - done))
            if not block:
                raise StoreError(f"{source}: it ends {size - done} bytes too early")
            done += self._write(offset + done, [block])
        return done

    def close(self) -> None:
        """Idempotent."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _open(self, key: str) -> BinaryIO:
        if self._source is None or self._key != key:
            self.close()
            self._source, self._key = self._open_source(key), key
        return self._source


def copy_between(target: Store, writer: Writer, offset: int, source: Store, key: str, start: int, size: int) -> None:
    """Copy ``size`` bytes from ``start`` of an object of ``source`` to ``offset`` of the object that ``writer`` writes.

    A store copies among its own objects; from another store the bytes pass through this process. Raises ObjectMissing,
    StoreError.
    """
    if source.name == target.name:
        writer.copy(offset, key, start, size)
        return
    with closing(Copier(source.open, writer.write)) as copier:
        copier.copy(offset, key, start, size)


class WrappingWriter(Writer):
    """A writer over the writer of another store; bytes that it copies pass through this process."""

    def __init__(self, inner: Writer, open_source: Callable[[str], BinaryIO]) -> None:
        self._inner = inner
        self._copier = Copier(open_source, self.write)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        return self._inner.write(offset, buffers)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        return self._copier.copy(offset, source, start, size)

    def truncate(self, size: int) -> bool:
        return self._inner.truncate(size)

    def is_longer_than(self, size: int) -> bool:
        return self._inner.is_longer_than(size)

    def sync(self, *, durable: bool = True) -> State:
        return self._inner.sync(durable=durable)

    def finish(self, size: int, *, durable: bool = True) -> State:
        return self._inner.finish(size, durable=durable)

    def close(self) -> None:
        self._copier.close()
        self._inner.close()
