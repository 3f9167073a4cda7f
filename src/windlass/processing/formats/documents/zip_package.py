"""Members of a zip file, read with bounds: on the directory, on what is unpacked, and on how much comes out of how
little. For documents that are zip files; the survey of any zip file is in ``zips``."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.read_limits import BLOCK, MB, Clock

#: Bytes unpacked from one file, in all.
MOST_UNPACKED = 128 * MB
#: From here on a member must not unpack to more than so many times its size. XML seldom reaches a tenth of that.
LOOKED_AT_FROM, LARGEST_RATIO = 16 * MB, 400
#: A document's directory; the parts of large ones number in the thousands.
LARGEST_DIRECTORY = 4 * MB


class Packed:
    """A zip file that is a document. Use as a context manager; raises Unreadable throughout."""

    def __init__(self, file: BinaryIO) -> None:
        found = zip_directory.directory(file)
        if found is None:
            raise Unreadable("The document has no table of contents: its end is missing.")
        if found.end - found.start > LARGEST_DIRECTORY:
            raise Unreadable(
                f"The document has too many parts: more than {LARGEST_DIRECTORY // MB} MiB of their names."
            )
        file.seek(0)
        with _damaged():
            self._zip = zipfile.ZipFile(file)
        self.names = frozenset(self._zip.namelist())
        #: Set by readers that passed over a part that is not well-formed.
        self.damaged = False
        self.cut = False
        self._left, self._clock = MOST_UNPACKED, Clock()

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()

    def blocks(self, name: str, most: int = MOST_UNPACKED) -> Iterator[bytes]:
        """The member's bytes; nothing for one that is not there. Where a bound is met it ends, and ``cut`` is set."""
        if name not in self.names:
            return
        with _damaged():
            info = self._zip.getinfo(name)
            with self._zip.open(info) as member:
                came = 0
                while block := member.read(BLOCK):
                    came += len(block)
                    self._left -= len(block)
                    if came > LOOKED_AT_FROM and came > LARGEST_RATIO * max(info.compress_size, 1):
                        raise Unreadable(f"A part of {info.compress_size} bytes unpacks to {came} bytes and more.")
                    if came > most or self._left < 0 or self._clock.over():
                        self.cut = True
                        return
                    yield block

    def read(self, name: str, most: int = 4 * MB) -> bytes:
        """A small member whole; what is past ``most`` bytes is left out."""
        return b"".join(self.blocks(name, most))


@contextmanager
def _damaged() -> Iterator[None]:
    errors = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, ValueError)
    try:
        yield
    except (*errors, RuntimeError) as error:  # RuntimeError: a member that needs a password
        raise Unreadable("The document cannot be unpacked: it is damaged, or a part of it is locked.") from error
