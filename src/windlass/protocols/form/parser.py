"""A multipart body as a stream of events, as it comes, in pieces of any size. Nothing of a file is held or copied."""

from __future__ import annotations

import re
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from windlass.kernel import filenames
from windlass.kernel.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from windlass.protocols import media_types, parameters
from windlass.protocols.form.part_head import PartHead

MAX_PARTS = 1000
MAX_PART_HEADERS = 16

# RFC 2046, 5.1.1 allows 70 characters of fewer kinds; some clients take more. Never a CR: the search relies on it.
_BOUNDARY = re.compile(r"[ -~]{0,199}[!-~]")


@dataclass(frozen=True, slots=True)
class PartBegan:
    """``filename`` as the client sent it, directories and all; None: an ordinary field.

    ``content_type`` is the part's own header, None if it has none. A part whose type no field has, such as a picture's,
    is a file even if the client gives it no name.
    """

    name: str
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the part that began last: a view into what was fed, never empty."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part that began last is whole."""


FormEvent = PartBegan | PartData | PartEnded


class FormParser:
    """Turns the pieces of one body into events.

    A part with an empty file name and no bytes is how a browser says that no file was chosen: it makes no event.
    """

    def __init__(self, content_type: str) -> None:
        """``content_type`` is the request's header. Raises UnsupportedMediaType, BadRequest."""
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._part_began,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ended,
                "on_headers_finished": self._head_ended,
                "on_part_data": self._data,
                "on_part_end": self._part_ended,
                "on_end": self._ended,
            },
            max_header_count=MAX_PART_HEADERS,
        )
        self._events: list[FormEvent] = []
        self._withheld: PartBegan | None = None
        self._head = PartHead(0)
        self._started = self._whole = False

    def feed(self, data: bytes) -> list[FormEvent]:
        """What ``data`` adds. Raises BadRequest for a malformed body, BodyTooLarge for too many parts.

        After either, the parser is of no more use.
        """
        if not self._started:
            # The library looks for the first boundary differently when the newlines before it come alone.
            data = data.lstrip(b"\r\n")
            self._started = bool(data)
        self._events = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest(f"The multipart body is malformed: {self._reason()}.") from error
        return self._events

    def finish(self) -> None:
        """The body has ended. Raises BadRequest if the form has not."""
        if not self._whole:
            raise BadRequest("The multipart body breaks off: its closing boundary is missing.")

    def _reason(self) -> str:
        if self._head.index == 0:
            return "it does not begin with the boundary that Content-Type names"
        part = f"part {self._head.index}"
        return f"{part} has a header or boundary that is malformed, or headers that are too many or too long"

    def _part_began(self) -> None:
        count = self._head.index + 1
        if count > MAX_PARTS:
            raise BodyTooLarge(f"The form has more than {MAX_PARTS} parts.", limit=MAX_PARTS)
        self._head = PartHead(count)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._head.add_to_name(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._head.add_to_value(data[start:end])

    def _header_ended(self) -> None:
        self._head.end_header()

    def _head_ended(self) -> None:
        name, filename = self._head.disposition()
        content_type = self._head.content_type()
        if filename is None and not media_types.may_be_of_a_field(content_type):
            filename = filenames.UNNAMED
        began = PartBegan(name, filename, content_type)
        if began.filename == "":
            self._withheld = began
        else:
            self._events.append(began)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._withheld:
            self._events.append(self._withheld)
            self._withheld = None
        self._events.append(PartData(memoryview(data)[start:end]))

    def _part_ended(self) -> None:
        if not self._withheld:
            self._events.append(PartEnded())
        self._withheld = None

    def _ended(self) -> None:
        self._whole = True


def _boundary(content_type: str) -> bytes:
    kind, found = parameters.parse(content_type)
    if kind != media_types.FORM:
        raise UnsupportedMediaType(f"A form is sent as {media_types.FORM}, not as {kind[:60]!r}.")
    boundary = found.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest(
            "The Content-Type of a multipart form needs a boundary of 1 to 200 printable ASCII characters."
        )
    return boundary.encode("ascii")
