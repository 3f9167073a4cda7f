"""Reader of a mail message (RFC 5322, MIME), part by part and line by line. No part is held in memory.

It stops after MOST_PARTS parts or MOST_BYTES; multipart parts nested deeper than DEEPEST are read as plain ones.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser
from email.utils import unquote
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

from windlass.processing.formats.read_limits import MB, READING_SECONDS, Deadline, shorten
from windlass.processing.formats.text import encodings

MOST_PARTS = 2_000
MOST_BYTES = 256 * MB
DEEPEST = 20
_LONGEST_LINE = 64 * 1024
_LONGEST_HEADERS = 256 * 1024
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
#: Encoded words of RFC 2047, with deviations of mail programs: languages (RFC 2231), spaces, no space around words.
_WORD = re.compile(r"=\?([\w.:+-]{1,60})(?:\*[^?]{0,40})?\?([bBqQ])\?([^?\n]*)\?=")
_LONGEST_HEADER = 64 * 1024


class Container(NamedTuple):
    """A multipart part: its number in the message, and its subtype (``mixed``, ``alternative``)."""

    number: int
    kind: str


class Part:
    """A part without parts. Its body can be read once, before the next part is requested.

    ``path``: the multipart parts around it, from the outermost, each with the part's index there.
    """

    def __init__(self, headers: Message, lines: Iterator[bytes], path: Sequence[tuple[Container, int]] = ()) -> None:
        self.headers, self.lines, self.path = headers, lines, tuple(path)

    @property
    def mime_type(self) -> str:
        return self.headers.get_content_type()

    @property
    def filename(self) -> str:
        for header, name in (("content-disposition", "filename"), ("content-type", "name")):
            value = _parsed(self.headers.get_param, name, None, header)
            if isinstance(value, tuple):
                charset, _, text = value
                value = "".join(encodings.decoded([text.encode("latin-1", "replace")], charset or None))
            if isinstance(value, str) and value.strip():
                return shorten(decode_header(unquote(value)), 200)
        return ""

    @property
    def is_attachment(self) -> bool:
        disposition = str(self.headers.get("content-disposition", "")).strip().lower()
        return disposition.startswith("attachment") or bool(self.filename) or not self.mime_type.startswith("text/")

    def text(self) -> Iterator[str]:
        """Yield the decoded text; undecodable bytes are replaced."""
        pieces = _transfer_decoded(self.lines, str(self.headers.get("content-transfer-encoding", "")).strip().lower())
        yield from encodings.decoded(pieces, _parsed(self.headers.get_content_charset))


class MailReader:
    """Reads one message. ``headers`` are the message's own. ``cut``: the message has more than was read."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file, self._left, self._deadline = file, MOST_BYTES, Deadline(READING_SECONDS / 2)
        self._boundaries: list[bytes] = []
        self._path: list[tuple[Container, int]] = []
        self._containers = 0
        self._last_delimiter: tuple[int, bool] | None = None
        self.cut = False
        self.headers = self._read_headers()

    def parts(self) -> Iterator[Part]:
        headers = self.headers
        for _ in range(MOST_PARTS):
            boundary = _boundary(headers) if len(self._boundaries) < DEEPEST else None
            if boundary:
                self._boundaries.append(boundary)
                self._path.append((Container(self._containers, headers.get_content_subtype()), -1))
                self._containers += 1
            lines = self._body()
            if not boundary:
                yield Part(headers, lines, self._path)
            for _line in lines:  # skip what the caller did not read
                pass
            if not self._next_part():
                return
            headers = self._read_headers()
        self.cut = True

    def _next_part(self) -> bool:
        """Skip to the next part, after a delimiter. Returns False at the end of the message."""
        while self._last_delimiter:
            level, closing = self._last_delimiter
            remaining = level if closing else level + 1
            del self._boundaries[remaining:], self._path[remaining:]
            if not closing:
                container, number = self._path[level]
                self._path[level] = (container, number + 1)
                return True
            for _line in self._body():  # between the last part and the delimiter of the parts around it
                pass
        return False

    def _body(self) -> Iterator[bytes]:
        """Yield lines up to a delimiter of any open multipart part; ``_last_delimiter`` is that delimiter."""
        self._last_delimiter, at_line_start = None, True
        while line := self._read_line():
            if at_line_start and line.startswith(b"--") and (delimiter := self._delimiter(line)):
                self._last_delimiter = delimiter
                return
            at_line_start = line.endswith(b"\n")
            yield line

    def _delimiter(self, line: bytes) -> tuple[int, bool] | None:
        text = line[2:].rstrip()
        for level in range(len(self._boundaries) - 1, -1, -1):
            if text == self._boundaries[level]:
                return level, False
            if text == self._boundaries[level] + b"--":
                return level, True
        return None

    def _read_headers(self) -> Message:
        lines, size = [], 0
        while (line := self._read_line()).strip(b"\r\n"):
            size += len(line)
            if size <= _LONGEST_HEADERS:
                lines.append(line)
        raw = b"".join(lines)
        codec = encodings.encoding_of(raw) if not raw.isascii() else "ascii"  # RFC 6532, and what was before it
        return HeaderParser().parsestr(encodings.decoder(codec).decode(raw, True))

    def _read_line(self) -> bytes:
        if self._left <= 0 or self._deadline.has_passed():
            self.cut = True
            return b""
        line = self._file.readline(_LONGEST_LINE)
        self._left -= len(line)
        return line


def decode_header(header: object) -> str:
    """Return a header's text with its encoded words decoded (RFC 2047). Adjacent words of one encoding are decoded
    together, because mail programs split them within a character."""
    source, end, pieces = str(header)[:_LONGEST_HEADER], 0, list[tuple[str, str | bytes]]()
    for word in _WORD.finditer(source):
        between = source[end : word.start()]
        if between and not (pieces and pieces[-1][0] and between.isspace()):
            pieces.append(("", between))
        pieces.append((word[1].lower(), _encoded_word_bytes(word[2], word[3])))
        end = word.end()
    pieces.append(("", source[end:]))
    text = ""
    for charset, group in groupby(pieces, key=lambda piece: piece[0]):
        group_pieces = [piece for _, piece in group]
        raw = [piece for piece in group_pieces if isinstance(piece, bytes)]
        text += "".join(encodings.decoded(raw, charset)) if raw else "".join(map(str, group_pieces))
    return text


def _encoded_word_bytes(encoding: str, word: str) -> bytes:
    raw = word.encode("latin-1", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b"_", b" "), header=True)
    return b"".join(_from_base64(iter((raw,))))


def _parsed(read: Callable[..., Any], *arguments: object) -> Any:
    """Return what a parser of headers returns; None for parameters that RFC 2231 does not allow."""
    try:
        return read(*arguments)
    except (ValueError, LookupError, TypeError):
        return None


def displayed_parts(parts: Iterator[Part]) -> Iterator[tuple[int, Part]]:
    """Yield the parts that mail programs display, each with its index among all parts.

    Every alternative is among them; attachments are not, nor parts that serve another, such as inline pictures.
    """
    for number, part in enumerate(parts):
        positions = (position for container, position in part.path if container.kind in _FIRST_ONLY)
        if not part.is_attachment and not any(positions):
            yield number, part


#: Subtypes whose first part is the message; the other parts serve it.
_FIRST_ONLY = frozenset({"related", "signed", "encrypted"})


def _boundary(headers: Message) -> bytes | None:
    boundary = _parsed(headers.get_boundary) if headers.get_content_maintype() == "multipart" else None
    return str(boundary or "").encode("ascii", "replace")[:200] or None


def _transfer_decoded(lines: Iterator[bytes], encoding: str) -> Iterator[bytes]:
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
