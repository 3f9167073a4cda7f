"""A mail message (RFC 5322, MIME) part by part, read forward line by line. No part is held.

It stops after MOST_PARTS parts or MOST_BYTES; parts nested deeper than DEEPEST are read as plain ones.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from typing import BinaryIO

from windlass.processing.formats.bounds import MB, PATIENCE, Clock, shorten
from windlass.processing.formats.encodings import decoder, known

MOST_PARTS = 2_000
MOST_BYTES = 256 * MB
DEEPEST = 20
_LONGEST_LINE = 64 * 1024
_LONGEST_HEADERS = 256 * 1024
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


class Part:
    """A part that has no parts. Its body can be read once, before the next part is asked for."""

    def __init__(self, headers: Message, lines: Iterator[bytes]) -> None:
        self.headers, self.lines = headers, lines

    @property
    def mime_type(self) -> str:
        return self.headers.get_content_type()

    @property
    def filename(self) -> str:
        try:
            return shorten(words(self.headers.get_filename("")), 200)
        except (ValueError, LookupError, TypeError):  # names that RFC 2231 would not write
            return ""

    @property
    def is_attachment(self) -> bool:
        said = str(self.headers.get("content-disposition", "")).strip().lower()
        return said.startswith("attachment") or bool(self.filename) or not self.mime_type.startswith("text/")

    def text(self) -> Iterator[str]:
        """Decoded; what cannot be is replaced."""
        told = self.headers.get_content_charset()
        codec = decoder(told if known(told) else "utf-8" if told is None else None)
        for piece in _undone(self.lines, str(self.headers.get("content-transfer-encoding", "")).strip().lower()):
            yield codec.decode(piece)
        yield codec.decode(b"", True)


class Mail:
    """``headers`` are the message's own, once ``parts`` has begun. ``cut``: it has more than was looked at."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file, self._left, self._clock = file, MOST_BYTES, Clock(PATIENCE / 2)
        self._boundaries: list[bytes] = []
        self._met: tuple[int, bool] | None = None
        self.cut = False
        self.headers = self._read_headers()

    def parts(self) -> Iterator[Part]:
        headers = self.headers
        for _ in range(MOST_PARTS):
            boundary = _boundary(headers) if len(self._boundaries) < DEEPEST else None
            if boundary:
                self._boundaries.append(boundary)
                lines = self._body()
            else:
                lines = self._body()
                yield Part(headers, lines)
            for _line in lines:  # what nobody wanted
                pass
            if not self._next_part():
                return
            headers = self._read_headers()
        self.cut = True

    def _next_part(self) -> bool:
        """After a delimiter: whether another part begins."""
        while self._met:
            place, closing = self._met
            del self._boundaries[place if closing else place + 1 :]
            if not closing:
                return True
            for _line in self._body():  # between the last part and the delimiter of the parts around it
                pass
        return False

    def _body(self) -> Iterator[bytes]:
        """Up to a delimiter of any of the parts we are in, which is then ``_met``."""
        self._met, fresh = None, True
        while line := self._line():
            if fresh and line.startswith(b"--") and (met := self._delimiter(line)):
                self._met = met
                return
            fresh = line.endswith(b"\n")
            yield line

    def _delimiter(self, line: bytes) -> tuple[int, bool] | None:
        said = line[2:].rstrip()
        for place in range(len(self._boundaries) - 1, -1, -1):
            if said == self._boundaries[place]:
                return place, False
            if said == self._boundaries[place] + b"--":
                return place, True
        return None

    def _read_headers(self) -> Message:
        lines, size = [], 0
        while (line := self._line()).strip(b"\r\n"):
            size += len(line)
            if size <= _LONGEST_HEADERS:
                lines.append(line)
        return BytesHeaderParser().parsebytes(b"".join(lines))

    def _line(self) -> bytes:
        if self._left <= 0 or self._clock.over():
            self.cut = True
            return b""
        line = self._file.readline(_LONGEST_LINE)
        self._left -= len(line)
        return line


def words(header: object) -> str:
    """A header's text with its encoded words decoded (RFC 2047)."""
    try:
        pieces = decode_header(str(header)[:16384])
    except (ValueError, LookupError, binascii.Error, HeaderParseError):
        return str(header)
    return "".join(
        piece if isinstance(piece, str) else decoder(charset if known(charset) else "utf-8").decode(piece, True)
        for piece, charset in pieces
    )


def _boundary(headers: Message) -> bytes | None:
    if headers.get_content_maintype() != "multipart":
        return None
    try:
        said = headers.get_boundary("")
    except (ValueError, LookupError, TypeError):
        return None
    return said.encode("ascii", "replace")[:200] or None


def _undone(lines: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "base64":
        return _from_base64(lines)
    if encoding == "quoted-printable":
        return (binascii.a2b_qp(line) for line in lines)
    return lines


def _from_base64(lines: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for line in lines:
        rest += _NOT_BASE64.sub(b"", line)
        whole = len(rest) // 4 * 4
        yield binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]
    if len(rest) > 1:
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))
