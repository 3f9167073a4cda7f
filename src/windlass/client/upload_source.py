"""The bytes of an upload: a file by its path, an open file object, or a stream. Every method may block."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from windlass.client.effects import BLOCK_SIZE
from windlass.client.errors import SourceChanged


class BinaryFile(Protocol):
    """What is needed of a file object: one that is open for reading in binary mode, or a pipe."""

    def read(self, size: int, /) -> bytes | None: ...

    def seekable(self) -> bool: ...

    def seek(self, offset: int, whence: int, /) -> int: ...

    def tell(self) -> int: ...


Readable = str | os.PathLike[str] | BinaryFile

#: Bytes of a stream that one request sends. They are kept until the server has acknowledged them.
STREAM_CHUNK_SIZE = 8 * 1024 * 1024


class Source(ABC):
    """The bytes of one upload. ``size`` is None until the end of a stream is known.

    ``identity`` (path, size, modification time) recognizes the source in a later run; None if that is impossible.
    """

    name: str | None
    size: int | None
    identity: tuple[str, int, int] | None = None

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return at most ``length`` bytes; none only at the end."""

    @abstractmethod
    def verify(self) -> None:
        """Raise SourceChanged if the bytes are no longer those that were opened."""

    @abstractmethod
    def close(self) -> None:
        """Close what this object has opened."""

    def prepare(self, offset: int, limit: int | None) -> int:
        """Return the end of the bytes that the next request sends from ``offset``, at most ``limit`` of them."""
        assert self.size is not None
        return self.size if limit is None else min(offset + limit, self.size)


class SeekableSource(Source):
    """A source of known length, whose parts can be read at the same time."""

    size: int

    @abstractmethod
    def open_part(self, start: int, end: int) -> Source:
        """Return a part of the bytes as a source of its own, which is used by another thread, and closed."""


class PathSource(SeekableSource):
    """A regular file. It stays open, so that a file put in its place does not mix with it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        if not stat.S_ISREG(os.stat(self._path).st_mode):
            raise ValueError(f"{self._path} is not a regular file.")
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        self.name, self.size = self._path.name, status.st_size
        self.identity = (str(self._path), status.st_size, status.st_mtime_ns)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def verify(self) -> None:
        status = os.fstat(self._descriptor)
        if self.identity != (str(self._path), status.st_size, status.st_mtime_ns):
            raise SourceChanged(f"{self._path} was changed during the upload.")

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def open_part(self, start: int, end: int) -> Source:
        return _PathPart(os.dup(self._descriptor), start, end)


class _PathPart(Source):
    """A part of a file with a descriptor of its own: the file may be closed while a thread still reads the part."""

    name = None
    size: int

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor, self._start, self.size = descriptor, start, end - start
        self._opened = self._status()

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, min(length, self.size - offset), self._start + offset)

    def verify(self) -> None:
        if self._status() != self._opened:
            raise SourceChanged("The file was changed during the upload.")

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _status(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns


class ObjectSource(SeekableSource):
    """A binary, seekable file object, from its current position to its end. It is left open."""

    def __init__(self, file: BinaryFile) -> None:
        self._file, self._lock = file, threading.Lock()
        self._start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._start
        self.name = _name_of(file)

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(self._start + offset, os.SEEK_SET)
            return self._file.read(length) or b""

    def verify(self) -> None:
        with self._lock:
            if self._file.seek(0, os.SEEK_END) - self._start != self.size:
                raise SourceChanged("The length of the file object changed during the upload.")

    def close(self) -> None:
        pass

    def open_part(self, start: int, end: int) -> Source:
        return _ObjectPart(self, start, end)


class _ObjectPart(Source):
    """A part of a file object, which is read by one thread at a time."""

    name = None
    size: int

    def __init__(self, whole: ObjectSource, start: int, end: int) -> None:
        self._whole, self._start, self.size = whole, start, end - start

    def read(self, offset: int, length: int) -> bytes:
        return self._whole.read(self._start + offset, min(length, self.size - offset))

    def verify(self) -> None:
        self._whole.verify()

    def close(self) -> None:
        pass


class StreamSource(Source):
    """A binary file object that cannot seek, such as a pipe. Bytes can be read again until the server has them."""

    def __init__(self, file: BinaryFile) -> None:
        self._file = file
        self._start, self._window = 0, bytearray()
        self.size = None
        self.name = _name_of(file)

    def prepare(self, offset: int, limit: int | None) -> int:
        """Forget the bytes before ``offset``, and read until there is a chunk or the end of the stream."""
        self._require(offset)
        del self._window[: offset - self._start]
        self._start = offset
        limit = limit or STREAM_CHUNK_SIZE
        # One byte more than is sent: without it the last chunk would not be known to be the last.
        while self.size is None and len(self._window) <= limit:
            block = self._file.read(limit + 1 - len(self._window))
            if block is None:
                raise ValueError("The stream is in non-blocking mode; only a blocking one can be uploaded.")
            if block:
                self._window += block
            else:
                self.size = self._start + len(self._window)
        return offset + min(limit, len(self._window))

    def read(self, offset: int, length: int) -> bytes:
        self._require(offset)
        return bytes(self._window[offset - self._start : offset - self._start + length])

    def verify(self) -> None:
        """A stream's bytes are read once."""

    def close(self) -> None:
        pass

    def _require(self, offset: int) -> None:
        if offset < self._start:
            raise SourceChanged(
                f"The server needs the bytes from {offset} again, and a stream cannot be read again. Upload it from a "
                "file."
            )


def open_source(source: Readable) -> Source:
    """Open a path or wrap a file object. Raises OSError, TypeError or ValueError if it cannot be uploaded."""
    if isinstance(source, str | os.PathLike):
        return PathSource(source)
    if not callable(getattr(source, "read", None)):
        raise TypeError(f"An upload is a path or a file object, such as io.BytesIO(data), not {type(source).__name__}.")
    if not isinstance(source.read(0), bytes):
        raise TypeError("The file object returns text; open it in binary mode.")
    return ObjectSource(source) if source.seekable() else StreamSource(source)


def _name_of(file: BinaryFile) -> str | None:
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and not name.startswith("<") else None


class SourceDigest:
    """The SHA-256 of a source, computed from the blocks that are read for sending as far as they come in order."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest, self._done = hashlib.sha256(), 0

    def feed(self, offset: int, block: bytes) -> None:
        """Note a block that was read. Blocks that were read before, or leave a gap, count for nothing."""
        if offset <= self._done < offset + len(block):
            self._digest.update(block[self._done - offset :])
            self._done = offset + len(block)

    def complete(self) -> str:
        """Read what is missing, and return the digest in hexadecimal."""
        while block := self._source.read(self._done, 4 * BLOCK_SIZE):
            self.feed(self._done, block)
        return self._digest.hexdigest()


class SourceBody:
    """The bytes of a source from ``offset`` to ``end`` as a request body.

    ``on_block`` receives each block with its offset, ``report`` the offset sent.
    """

    def __init__(
        self,
        source: Source,
        offset: int,
        end: int,
        report: Callable[[int], None],
        on_block: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._source, self._offset, self._report, self._on_block = source, offset, report, on_block
        self.length = end - offset
        self.has_sent_bytes = False

    def read(self, done: int) -> bytes:
        offset = self._offset + done
        block = self._source.read(offset, min(BLOCK_SIZE, self.length - done))
        if not block:
            raise SourceChanged("The file became shorter during the upload.")
        if self._on_block:
            self._on_block(offset, block)
        return block

    def report_sent(self, done: int) -> None:
        """Note that ``done`` bytes of the body have been handed to the connection."""
        self.has_sent_bytes = True
        self._report(self._offset + done)
