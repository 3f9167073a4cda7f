"""A rendition written in place into the step's output, as a seekable file that starts at the output's present end."""

from __future__ import annotations

import os

from windlass.processing.contract import MadeRendition, PermanentError, StepContext


class RenditionWriter:
    """The file that FFmpeg writes; it reads it again to move the index to the front. ``finish`` ends it."""

    def __init__(self, context: StepContext) -> None:
        if context.output is None:
            raise PermanentError("This step was not announced to make renditions.")
        context.output.flush()
        self._output, self._start = context.output, context.output.tell()
        self._file, self._position, self._size = context.output.fileno(), 0, 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, self._start + self._position)
            rest, self._position = rest[written:], self._position + written
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def reader(self) -> RenditionReader:
        return RenditionReader(self._file, self._start)

    def finish(
        self, name: str, mime_type: str, *, width: int | None = None, height: int | None = None
    ) -> MadeRendition:
        """Return what was written as a rendition. The next rendition is written behind it."""
        self._output.seek(self._start + self._size)
        return MadeRendition(name, mime_type, self._start, self._size, width, height)


class RenditionReader:
    """The same bytes for reading, with a position of its own."""

    def __init__(self, file: int, start: int) -> None:
        self._file, self._start, self._position = file, start, 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._file, size, self._start + self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise OSError("only from the beginning")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Leave the descriptor open: it belongs to the output."""
