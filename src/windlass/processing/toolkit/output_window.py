"""A rendition written in place: the step's output from its present end on, as a file of its own that can seek."""

from __future__ import annotations

import os

from windlass.processing.contract import MadeRendition, PermanentError, StepContext


class OutputWindow:
    """What FFmpeg writes to, and reads again where it moves the index to the front. ``made`` ends it."""

    def __init__(self, context: StepContext) -> None:
        if context.output is None:
            raise PermanentError("This step was not announced to make renditions.")
        context.output.flush()
        self._output, self._begin = context.output, context.output.tell()
        self._file, self._at, self._size = context.output.fileno(), 0, 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, self._begin + self._at)
            rest, self._at = rest[written:], self._at + written
        self._size = max(self._size, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def reader(self) -> WindowReader:
        return WindowReader(self._file, self._begin)

    def made(self, name: str, mime_type: str, *, width: int | None = None, height: int | None = None) -> MadeRendition:
        """What was written, as a rendition; the next one is written behind it."""
        self._output.seek(self._begin + self._size)
        return MadeRendition(name, mime_type, self._begin, self._size, width, height)


class WindowReader:
    """The same bytes for reading, at a place of its own."""

    def __init__(self, file: int, begin: int) -> None:
        self._file, self._begin, self._at = file, begin, 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._file, size, self._begin + self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise OSError("only from the beginning")
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """The descriptor is the output's."""
