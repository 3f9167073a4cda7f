"""Parse a multipart/form-data body (RFC 7578) into a stream of events. Accepts pieces of any size; copies no bytes of
files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from windlass.kernel import filenames
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, UnsupportedMediaType
from windlass.protocols import header_parameters, media_types
from windlass.protocols.intents import Head
from windlass.protocols.request_heads import refuse_content_encoding

MAX_PARTS = 1000
MAX_PART_HEADERS = 16
#: Of a part: all of its headers, and one of them (bytes).
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADER_LINE = 4096
#: Spaces and tabs after a boundary (RFC 2046, 5.1.1); with more it is not a boundary.
MAX_PADDING = 64

_PLAIN_ENCODINGS = {"", "7bit", "8bit", "binary"}
_REST_OF_DELIMITER = rb"(--|[ \t]{0,%d}\r\n)" % MAX_PADDING
_EMPTY_LINES = re.compile(rb"[\r\n]*")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00\r\n]*)")
# RFC 2046, 5.1.1 allows fewer characters, and 70 of them; some clients use more. Never a CR: the search needs that.
_BOUNDARY = re.compile(r"[ -~]{0,199}[!-~]")


@dataclass(frozen=True, slots=True)
class PartBegan:
    """``filename`` as the client sent it, with directories; None for an ordinary field.

    ``content_type``: the Content-Type of the part, None if it has none. A part of a type that no field has (an image)
    is a file even without a filename.
    """

    name: str
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the current part: a view into the fed data, never empty."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The current part is complete."""


FormEvent = PartBegan | PartData | PartEnded


class FormParser:
    """Turns the pieces of one body into events, in linear time for any content.

    A part with an empty filename and no bytes makes no event: a browser sends it when no file was chosen.
    """

    def __init__(self, content_type: str) -> None:
        """``content_type`` is the request's header. Raises UnsupportedMediaType, BadRequest."""
        self._delimiter = b"\r\n--" + _boundary(content_type)
        literal = re.escape(self._delimiter)
        self._complete_delimiter = re.compile(literal + _REST_OF_DELIMITER)
        self._cut_delimiter = re.compile(literal + rb"(?:-|[ \t]{0,%d}\r?)" % MAX_PADDING)
        self._first_delimiter = re.compile(literal.removeprefix(re.escape(b"\r\n")) + _REST_OF_DELIMITER)
        self._step = self._read_start
        self._unparsed = b""
        self._events: list[FormEvent] = []
        self._unconfirmed: PartBegan | None = None
        self._parts = 0
        self._ended = False

    def feed(self, data: bytes) -> list[FormEvent]:
        """Return the events of ``data``. Raises BadRequest for a malformed body, BodyTooLarge for too many parts.

        After either error, do not use the parser any more.
        """
        self._events = []
        if self._unparsed:
            data, self._unparsed = self._unparsed + data, b""
        at = 0
        while at < len(data) and not self._ended:
            at = self._step(data, at)
        return self._events

    def finish(self) -> None:
        """Check that the form ended with the body. Raises BadRequest."""
        if not self._ended:
            raise BadRequest("The multipart body breaks off: its closing boundary is missing.")

    def _read_start(self, data: bytes, at: int) -> int:
        """Skip empty lines and read the first delimiter."""
        at = _EMPTY_LINES.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing too
        delimiter = self._first_delimiter.match(data, at)
        if delimiter:
            return self._end_of_delimiter(delimiter)
        if self._may_become_delimiter(b"\r\n" + data[at : at + len(self._delimiter) + MAX_PADDING + 2]):
            return self._keep_rest(data, at)
        raise _malformed("it does not begin with the boundary that Content-Type names")

    def _read_head(self, data: bytes, at: int) -> int:
        end = at - 2 if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at)
        if (len(data) if end < 0 else end) - at > MAX_HEAD_BYTES:
            raise BadRequest(
                f"The headers of part {self._parts} of the form have more than {MAX_HEAD_BYTES} bytes, the limit."
            )
        if end < 0:
            return self._keep_rest(data, at)
        self._begin_part(data[at:end].split(b"\r\n") if end > at else [])
        self._step = self._read_data
        return end + 4

    def _read_data(self, data: bytes, at: int) -> int:
        delimiter = self._find_delimiter(data, at)
        if delimiter:
            self._add(data, at, delimiter.start())
            if not self._unconfirmed:
                self._events.append(PartEnded())
            self._unconfirmed = None
            return self._end_of_delimiter(delimiter)
        rest = self._start_of_cut_delimiter(data, at)
        self._add(data, at, rest)
        return self._keep_rest(data, rest)

    def _find_delimiter(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """``find`` is fastest where nothing looks like a delimiter, the expression where much does."""
        near = data.find(self._delimiter, at)
        return None if near < 0 else self._complete_delimiter.search(data, near)

    def _start_of_cut_delimiter(self, data: bytes, at: int) -> int:
        """Return where a delimiter starts that ``data`` cuts off; the length of ``data`` if there is none."""
        longest = len(self._delimiter) + MAX_PADDING + 2
        start = data.find(b"\r", max(at, len(data) - longest))
        while start >= 0 and not self._may_become_delimiter(data[start:]):
            start = data.find(b"\r", start + 1)
        return len(data) if start < 0 else start

    def _may_become_delimiter(self, data: bytes) -> bool:
        return self._delimiter.startswith(data) or self._cut_delimiter.fullmatch(data) is not None

    def _end_of_delimiter(self, delimiter: re.Match[bytes]) -> int:
        if delimiter[1] == b"--":
            self._ended = True
            return delimiter.end()
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BodyTooLarge(f"The form has more than {MAX_PARTS} parts.", limit=MAX_PARTS)
        self._step = self._read_head
        return delimiter.end()

    def _begin_part(self, lines: list[bytes]) -> None:
        if len(lines) > MAX_PART_HEADERS:
            raise _malformed(f"part {self._parts} has too many headers; {MAX_PART_HEADERS} are allowed")
        headers: dict[str, str] = {}
        for line in lines:
            if len(line) > MAX_HEADER_LINE:
                raise _malformed(
                    f"part {self._parts} has a header that is too long; {MAX_HEADER_LINE} bytes are allowed"
                )
            header = _HEADER.fullmatch(line)
            if not header:
                raise _malformed(f"part {self._parts} has a header that is malformed")
            headers.setdefault(header[1].decode("latin-1").lower(), header[2].decode("latin-1").strip())
        name, filename = self._disposition(headers)
        content_type = headers.get("content-type")
        if filename is None and not media_types.is_field_type(content_type):
            filename = filenames.UNNAMED
        beginning = PartBegan(name, filename, content_type)
        if filename == "":
            self._unconfirmed = beginning
        else:
            self._events.append(beginning)

    def _disposition(self, headers: Mapping[str, str]) -> tuple[str, str | None]:
        """Return the field's name, and the filename or None. Raises BadRequest for a part that is not a form field, and
        for an encoded part (deprecated by RFC 7578, 4.7), which would be stored encoded."""
        encoding = headers.get("content-transfer-encoding", "").lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise BadRequest(
                f"Part {self._parts} of the form has Content-Transfer-Encoding {encoding[:40]!r}. "
                "Send its bytes as they are."
            )
        _, parameters = header_parameters.parse(headers.get("content-disposition", ""))
        name = header_parameters.text_of_form(parameters, "name")
        filename = header_parameters.text_of_form(parameters, "filename")
        if name is None and filename is None:
            raise BadRequest(
                f"Part {self._parts} of the form has no name: each part needs "
                'Content-Disposition: form-data; name="...", and a file\'s part a filename too.'
            )
        return name or "", filename

    def _add(self, data: bytes, start: int, end: int) -> None:
        if start == end:
            return
        if self._unconfirmed:
            self._events.append(self._unconfirmed)
            self._unconfirmed = None
        self._events.append(PartData(memoryview(data)[start:end]))

    def _keep_rest(self, data: bytes, at: int) -> int:
        """Keep the rest for the next piece, with which it can be parsed."""
        self._unparsed = data[at:]
        return len(data)


def parser_of(head: Head) -> FormParser:
    """Return a parser for the body of this request. Raises BadRequest, UnsupportedMediaType."""
    refuse_content_encoding(head)
    return FormParser(head.headers.get("content-type", ""))


def _malformed(why: str) -> BadRequest:
    return BadRequest(f"The multipart body is malformed: {why}.")


def _boundary(content_type: str) -> bytes:
    kind, parameters = header_parameters.parse(content_type)
    if kind != media_types.FORM:
        raise UnsupportedMediaType(f"A form is sent as {media_types.FORM}, not as {kind[:60]!r}.")
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest(
            "The Content-Type of a multipart form needs a boundary of 1 to 200 printable ASCII characters."
        )
    return boundary.encode("ascii")
