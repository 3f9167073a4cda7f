"""The bytes of an upload: a file by its path, or an open file object. Every method may block."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from windlass.client.effects import BLOCK_SIZE
from windlass.client.errors import SourceChanged

Readable = str | os.PathLike[str] | BinaryIO


class Source(ABC):
    """Bytes that can be read again at any offset.

    ``identity`` (path, size, modification time) recognizes the source in a later run; None if that is impossible.
    """

    name: str | None
    size: int
    identity: tuple[str, int, int] | None

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return at most ``length`` bytes; none only at the end."""

    @abstractmethod
    def verify(self) -> None:
        """Raise SourceChanged if the bytes are no longer those that were opened."""

    @abstractmethod
    def close(self) -> None:
        """Close what this object has opened."""

    def sha256(self) -> str:
        digest, offset = hashlib.sha256(), 0
        while block := self.read(offset, 4 * BLOCK_SIZE):
            digest.update(block)
            offset += len(block)
        return digest.hexdigest()


class PathSource(Source):
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
        os.close(self._descriptor)


class ObjectSource(Source):
    """A binary, seekable file object, from its current position to its end. It is left open."""

    identity = None

    def __init__(self, file: BinaryIO) -> None:
        if not isinstance(file.read(0), bytes):
            raise TypeError("The file object returns text; open it in binary mode.")
        self._file = file
        self._start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._start
        name = getattr(file, "name", None)
        self.name = Path(name).name if isinstance(name, str) else None

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(self._start + offset)
        return self._file.read(length)

    def verify(self) -> None:
        if self._file.seek(0, os.SEEK_END) - self._start != self.size:
            raise SourceChanged("The length of the file object changed during the upload.")

    def close(self) -> None:
        pass


def open_source(source: Readable) -> Source:
    """Open a path or wrap a file object. Raises OSError, TypeError or ValueError if it cannot be uploaded."""
    return PathSource(source) if isinstance(source, str | os.PathLike) else ObjectSource(source)


class SourceBody:
    """The bytes of a source from ``offset`` to ``end`` as a request body. ``report`` receives the offset sent."""

    def __init__(self, source: Source, offset: int, end: int, report: Callable[[int], None]) -> None:
        self._source, self._offset, self._report = source, offset, report
        self.length = end - offset
        self.has_sent_bytes = False

    def read(self, done: int) -> bytes:
        block = self._source.read(self._offset + done, min(BLOCK_SIZE, self.length - done))
        if not block:
            raise SourceChanged("The file became shorter during the upload.")
        return block

    def report_sent(self, done: int) -> None:
        """Note that ``done`` bytes of the body have been handed to the connection."""
        self.has_sent_bytes = True
        self._report(self._offset + done)
