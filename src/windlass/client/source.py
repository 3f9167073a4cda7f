"""What is being uploaded: a file by its path, or an open file object. Everything here blocks."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from windlass.client.commands import PIECE
from windlass.client.errors import SourceChanged

Readable = str | os.PathLike[str] | BinaryIO


class Source(ABC):
    """Bytes that can be read again from any place. ``identity`` names them between two runs; None: it cannot."""

    name: str | None
    size: int
    identity: tuple[str, int, int] | None

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes; none only past the end."""

    @abstractmethod
    def verify(self) -> None:
        """Raises SourceChanged where these are no longer the bytes that were opened."""

    @abstractmethod
    def close(self) -> None:
        """Give back what was opened here."""

    def sha256(self) -> str:
        digest, at = hashlib.sha256(), 0
        while piece := self.read(at, 4 * PIECE):
            digest.update(piece)
            at += len(piece)
        return digest.hexdigest()


class PathSource(Source):
    """A regular file. It stays open, so that another file put in its place does not mix with it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        if not stat.S_ISREG(os.stat(self._path).st_mode):
            raise ValueError(f"{self._path} is not a regular file.")
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self.name, self.size = self._path.name, found.st_size
        self.identity = (str(self._path), found.st_size, found.st_mtime_ns)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def verify(self) -> None:
        found = os.fstat(self._descriptor)
        if self.identity != (str(self._path), found.st_size, found.st_mtime_ns):
            raise SourceChanged(f"{self._path} was changed while it was being sent.")

    def close(self) -> None:
        os.close(self._descriptor)


class ObjectSource(Source):
    """A binary, seekable file object, from where it stands to its end. It is left open."""

    identity = None

    def __init__(self, file: BinaryIO) -> None:
        if not isinstance(file.read(0), bytes):
            raise TypeError("The file object gives text; open it in binary mode.")
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
            raise SourceChanged("The file object has another length than when it was given.")

    def close(self) -> None:
        pass


def open_source(given: Readable) -> Source:
    """Raises OSError or ValueError for what cannot be uploaded."""
    return PathSource(given) if isinstance(given, str | os.PathLike) else ObjectSource(given)


class FileBody:
    """The bytes of a source from ``offset`` to ``end`` as a request's body, counted as they go out."""

    def __init__(self, source: Source, offset: int, end: int, report: Callable[[int], None]) -> None:
        self._source, self._offset, self._report = source, offset, report
        self.length = end - offset
        self.moved = False

    def read(self, done: int) -> bytes:
        piece = self._source.read(self._offset + done, min(PIECE, self.length - done))
        if not piece:
            raise SourceChanged("The file became shorter while it was being sent.")
        return piece

    def sent(self, done: int) -> None:
        self.moved = True
        self._report(self._offset + done)
