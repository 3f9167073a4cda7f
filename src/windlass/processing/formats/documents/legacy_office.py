"""Facts and text of Word, Excel and PowerPoint files from 97 to 2003 and of Outlook messages (compound files).

The sources are Microsoft's specifications: [MS-DOC], [MS-XLS], [MS-PPT], [MS-OXMSG], [MS-OXRTFCP], [MS-OLEPS] and
[MS-OSHARED].
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from windlass.kernel.charsets import python_codec
from windlass.processing.formats.documents import cell_dates, compound_file, rtf
from windlass.processing.formats.documents.compound_file import LARGEST_STREAM, read_stream
from windlass.processing.formats.read_limits import MB, shorten
from windlass.processing.formats.text import encodings, html_text
from windlass.processing.formats.text.encodings import FALLBACK

#: Bytes of the largest stream of properties, or of a property of its own.
_LARGEST_PROPERTIES = MB
_SUMMARY, _DOCUMENT_SUMMARY = "\x05SummaryInformation", "\x05DocumentSummaryInformation"
_MACROS = (["Macros", "VBA"], ["_VBA_PROJECT_CUR", "VBA"], ["VBA"])
#: Numbers of properties in [MS-OLEPS] and [MS-OSHARED] 2.3.3.2.
_FACT_BY_PROPERTY = {2: "title", 4: "author", 12: "created", 13: "modified", 14: "page_count", 18: "application"}
_CODE_PAGE, _SLIDES = 1, 7
#: Streams of an Outlook message ([MS-OXMSG]): property and type.
_SUBJECT, _SENDER = "__substg1.0_0037", "__substg1.0_0C1A"

#: Records of one stream, and texts that the cells of a workbook share.
_MOST_RECORDS, _MOST_SHARED = 2_000_000, 500_000


def facts(file: BinaryIO) -> dict[str, Any]:
    """Read the facts of a compound file. Raises Unreadable."""
    with compound_file.opened(file) as document:
        facts: dict[str, Any] = {"encrypted": _is_encrypted(document)}
        facts["has_macros"] = any(document.exists(path) for path in _MACROS)
        summary = _properties(document, _SUMMARY)
        code_page = summary.get(_CODE_PAGE, 0)
        for number, name in _FACT_BY_PROPERTY.items():
            if value := _property_value(summary.get(number), code_page):
                facts[name] = value
        slides = _properties(document, _DOCUMENT_SUMMARY).get(_SLIDES)
        if document.exists("PowerPoint Document") and isinstance(slides, int):
            facts |= {"slides": slides, "page_count": slides}
        for name, stream in (("title", _SUBJECT), ("author", _SENDER)):
            if text := _message_text(document, stream):
                facts[name] = text
        return facts


def _properties(document: Any, name: str) -> dict[int, Any]:
    if not document.exists(name) or document.get_size(name) > _LARGEST_PROPERTIES:
        return {}
    properties: dict[int, Any] = document.getproperties(name, convert_time=True)
    return properties


def _property_value(value: Any, code_page: Any) -> Any:
    """Return a text, a positive number, or a time as text; None for any other value. Code pages are signed 16-bit."""
    if isinstance(value, bytes):
        page = int(code_page) & 0xFFFF if isinstance(code_page, int) else 0
        codec = "utf-8" if page == 65001 else python_codec(f"cp{page}") or FALLBACK
        return shorten(value[:4000].rstrip(b"\0").decode(codec, "replace"))
    if isinstance(value, str):
        return shorten(value.rstrip("\0"))
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='seconds')}Z" if value.year > 1601 else None
    return value if type(value) is int and 0 < value < 2**31 else None


def _is_encrypted(document: Any) -> bool:
    """Whether a password is needed: of files up to 2003, and of later ones, which are a stream of a compound file."""
    if document.exists("EncryptedPackage") or document.exists("EncryptedSummary"):
        return True
    if document.exists("WordDocument"):
        head = read_stream(document, "WordDocument", 12)
        return len(head) == 12 and bool(struct.unpack_from("<H", head, 10)[0] & 0x0100)
    for name in ("Workbook", "Book"):
        if document.exists(name):
            # FilePass is among the first records ([MS-XLS] 2.4.117); records before it are not encrypted.
            return any(kind == 0x2F for kind, _ in _records(read_stream(document, name, 4096)))
    return False


def _message_text(document: Any, stream: str) -> str:
    for suffix, codec in (("001F", "utf-16-le"), ("001E", FALLBACK)):
        name = stream + suffix
        if document.exists(name) and document.get_size(name) <= _LARGEST_PROPERTIES:
            return shorten(read_stream(document, name, 4000).decode(codec, "replace").rstrip("\0"))
    return ""


def text(file: BinaryIO) -> Iterator[str]:
    """Yield the text; nothing for a document that needs a password, or of another kind. Raises Unreadable."""
    with compound_file.opened(file) as document:
        if _is_encrypted(document):
            return
        for stream, reader in (
            ("WordDocument", _word),
            ("Workbook", _WorkbookReader().read),
            ("PowerPoint Document", _presentation),
            ("__properties_version1.0", _message),
        ):
            if document.exists(stream):
                yield from reader(document)
                return


# Word ([MS-DOC] 2.4.1): pieces of the main stream, in the order of a table in another one

_FIELD = re.compile("\x13[^\x13\x14\x15]*\x14|[\x13\x14\x15]")
_WORD_SIGNS = str.maketrans({"\x07": "\t", "\x0b": "\n", "\x0c": "\n", "\r": "\n", "\x1e": "-", "\x1f": ""})


def _word(document: Any) -> Iterator[str]:
    main = read_stream(document, "WordDocument")
    if len(main) < 0x1AA:
        return
    (flags,) = struct.unpack_from("<H", main, 0x0A)
    start, length = struct.unpack_from("<II", main, 0x1A2)
    table = read_stream(document, "1Table" if flags & 0x0200 else "0Table")[start : start + length]
    for begins, ends, where in _pieces(table):
        if where & 0x40000000:  # a byte for each character
            offset = (where & 0x3FFFFFFF) // 2
            text = main[offset : offset + ends - begins].decode(FALLBACK, "replace")
        else:
            text = main[where : where + 2 * (ends - begins)].decode("utf-16-le", "replace")
        yield _FIELD.sub("", text).translate(_WORD_SIGNS)


def _pieces(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield first and last character of each piece, and its offset with the encoding flag ([MS-DOC] 2.9.38)."""
    position = 0
    while table[position : position + 1] == b"\x01":
        position += 3 + struct.unpack_from("<H", table, position + 1)[0]
    if table[position : position + 1] != b"\x02":
        return
    (length,) = struct.unpack_from("<I", table, position + 1)
    piece_table = table[position + 5 : position + 5 + length]
    count = (len(piece_table) - 4) // 12
    ends = struct.unpack_from(f"<{count + 1}I", piece_table)
    for number in range(count):
        (offset,) = struct.unpack_from("<I", piece_table, 4 * (count + 1) + 8 * number + 2)
        if ends[number] < ends[number + 1] <= LARGEST_STREAM:
            yield ends[number], ends[number + 1], offset


# PowerPoint ([MS-PPT] 2.3): records within records; their texts are atoms

_MASTER, _TEXT_CHARS, _TEXT_BYTES = 0x03F8, 0x0FA0, 0x0FA8


def _presentation(document: Any) -> Iterator[str]:
    source, position = read_stream(document, "PowerPoint Document"), 0
    for _ in range(_MOST_RECORDS):
        if position + 8 > len(source):
            return
        version, kind, length = struct.unpack_from("<HHI", source, position)
        position += 8
        if kind in (_TEXT_CHARS, _TEXT_BYTES):
            data = source[position : position + length]
            text = data.decode("utf-16-le", "replace") if kind == _TEXT_CHARS else data.decode("latin-1")
            yield text.replace("\r", "\n").replace("\x0b", "\n") + "\n"
        if version & 0x0F != 0x0F or kind == _MASTER:  # atoms, and the texts of templates
            position += length


# Excel ([MS-XLS] 2.1.4): records, of which large ones go on in others


_CONTINUE, _LABEL, _LABEL_SST, _NUMBER, _RK, _MULRK, _FORMULA = 0x3C, 0x0204, 0xFD, 0x0203, 0x027E, 0xBD, 0x06


class _WorkbookReader:
    """Reads the cells of all sheets, one row a line."""

    def __init__(self) -> None:
        self._shared: list[str] = []
        self._formats: dict[int, str] = {}
        self._cell_formats: list[int] = []
        self._since_1904 = False
        self._row = -1

    def read(self, document: Any) -> Iterator[str]:
        for kind, parts in _records(read_stream(document, "Workbook")):
            yield self._record(kind, parts)
        yield "\n"

    def _record(self, kind: int, parts: list[bytes]) -> str:
        data = parts[0]
        match kind:
            case 0x0809:  # BOF: a sheet begins
                self._row = -1
                return "\n"
            case 0xFC:  # SST
                self._shared = list(_shared_strings(parts))
            case 0x22:  # Date1904
                self._since_1904 = data[:1] == b"\x01"
            case 0x041E:  # Format
                self._formats[struct.unpack_from("<H", data)[0]] = _StringReader([data[2:]]).next()
            case 0xE0:  # XF
                self._cell_formats.append(struct.unpack_from("<H", data, 2)[0])
            case 0x01B6 if len(parts) > 1:  # TxO
                return self._textbox(data, parts[1])
            case _ if kind in (_LABEL_SST, _LABEL, _NUMBER, _RK, _MULRK, _FORMULA):
                return self._cells(kind, data)
            case 0x0207:  # String: the result of the formula before it
                return f"{_StringReader(parts).next()}\t"
        return ""

    def _cells(self, kind: int, data: bytes) -> str:
        row, _, style = struct.unpack_from("<3H", data)
        before = "" if row == self._row or self._row < 0 else "\n"
        self._row = row
        if kind == _LABEL_SST:
            (index,) = struct.unpack_from("<I", data, 6)
            text = self._shared[index] if index < len(self._shared) else ""
        elif kind == _LABEL:
            text = _StringReader([data[6:]]).next()
        elif kind == _RK:
            text = self._number(_rk_number(data[6:10]), style)
        elif kind == _MULRK:
            offsets = range(4, len(data) - 6, 6)
            each = ((struct.unpack_from("<H", data, at)[0], data[at + 2 : at + 6]) for at in offsets)
            text = "\t".join(self._number(_rk_number(number), style) for style, number in each)
        elif kind == _FORMULA and data[12:14] == b"\xff\xff":
            return before  # a text, which follows, or none
        else:
            text = self._number(struct.unpack_from("<d", data, 6)[0], style)
        return f"{before}{text}\t"

    def _number(self, value: float, style: int) -> str:
        number = self._cell_formats[style] if style < len(self._cell_formats) else 0
        shown = cell_dates.date_format(number, self._formats.get(number))
        text = f"{value:.15g}"
        return cell_dates.format_value(text, shown, since_1904=self._since_1904) if shown else text

    @staticmethod
    def _textbox(head: bytes, data: bytes) -> str:
        """Text of a text box or a comment: its length is in the record, the text in the record that continues it."""
        (length,) = struct.unpack_from("<H", head, 10)
        wide = data[:1] == b"\x01"
        raw = data[1 : 1 + length * (2 if wide else 1)]
        return raw.decode("utf-16-le" if wide else "latin-1", "replace") + "\n"


def _records(source: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each record's kind, and its data with that of the records that continue it."""
    kind, parts, position = -1, list[bytes](), 0
    for _ in range(_MOST_RECORDS):
        if position + 4 > len(source):
            break
        record_kind, length = struct.unpack_from("<HH", source, position)
        data = source[position + 4 : position + 4 + length]
        position += 4 + length
        if record_kind == _CONTINUE and parts:
            parts.append(data)
            continue
        if parts:
            yield kind, parts
        kind, parts = record_kind, [data]
    if parts:
        yield kind, parts


class _StringReader:
    """Reads strings that may continue in a further part, which begins with a flag for one or two bytes a character
    ([MS-XLS] 2.5.293)."""

    def __init__(self, parts: list[bytes], position: int = 0) -> None:
        self._parts, self._part_index, self._position = parts, 0, position

    @property
    def at_end(self) -> bool:
        return self._part_index >= len(self._parts) or (
            self._part_index == len(self._parts) - 1 and self._position >= len(self._parts[-1])
        )

    def next(self) -> str:
        length, flags = struct.unpack("<HB", self._read(3))
        runs = struct.unpack("<H", self._read(2))[0] if flags & 8 else 0
        extra = struct.unpack("<I", self._read(4))[0] if flags & 4 else 0
        text = self._characters(length, wide=bool(flags & 1))
        self._read(4 * runs + min(extra, LARGEST_STREAM))
        return text

    def _characters(self, length: int, *, wide: bool) -> str:
        pieces = []
        while length > 0 and self._part_index < len(self._parts):
            width = 2 if wide else 1
            rest = self._parts[self._part_index][self._position :]
            data = rest[: length * width]
            pieces.append(data.decode("utf-16-le" if wide else "latin-1", "replace"))
            length -= len(data) // width
            self._position += len(data)
            if length > 0:
                self._part_index, self._position = self._part_index + 1, 1
                wide = self._part_index < len(self._parts) and self._parts[self._part_index][:1] == b"\x01"
        return "".join(pieces)

    def _read(self, size: int) -> bytes:
        data = b""
        while size > len(data) and self._part_index < len(self._parts):
            piece = self._parts[self._part_index][self._position : self._position + size - len(data)]
            data += piece
            self._position += len(piece)
            if self._position >= len(self._parts[self._part_index]) and size > len(data):
                self._part_index, self._position = self._part_index + 1, 0
        return data


def _shared_strings(parts: list[bytes]) -> Iterator[str]:
    strings = _StringReader(parts, 8)
    for _ in range(_MOST_SHARED):
        if strings.at_end:
            return
        yield strings.next()


def _rk_number(data: bytes) -> float:
    """Decode a number of 30 bits: an integer, or the high half of a float, possibly multiplied by a hundred."""
    (raw,) = struct.unpack("<i", data)
    value = float(raw >> 2) if raw & 2 else struct.unpack("<d", b"\0\0\0\0" + struct.pack("<i", raw & ~3))[0]
    return value / 100 if raw & 1 else value


# Outlook ([MS-OXMSG] 2.1): properties of the message in streams of their own

_BODY, _HTML, _RTF = "__substg1.0_1000", "__substg1.0_1013", "__substg1.0_1009"
#: Initial content of the dictionary of compressed RTF ([MS-OXRTFCP] 2.1.3.1.1).
_RTF_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans "
    rb"SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par "
    rb"\pard\plain\f0\fs20\b\i\u\tab\tx"
)


def _message(document: Any) -> Iterator[str]:
    """Yield the plain text; without one the text of the HTML, or of the RTF."""
    narrow = read_stream(document, f"{_BODY}001E")
    if plain := read_stream(document, f"{_BODY}001F").decode("utf-16-le", "replace"):
        yield plain
    elif narrow:
        yield encodings.decoder(encodings.encoding_of(narrow)).decode(narrow, True)
    elif page := read_stream(document, f"{_HTML}0102") or read_stream(document, f"{_HTML}001E"):
        yield from html_text.visible_text(html_text.decode_page(page))
    elif page := read_stream(document, f"{_HTML}001F"):
        yield from html_text.visible_text(page.decode("utf-16-le", "replace"))
    else:
        yield from rtf.text(_decompress_rtf(read_stream(document, f"{_RTF}0102")))


def _decompress_rtf(data: bytes) -> bytes:
    """Decompress RTF of Outlook ([MS-OXRTFCP] 2.2): references of at most 17 bytes into the last 4,096 bytes."""
    if len(data) < 16:
        return b""
    kind = data[8:12]
    if kind == b"MELA":
        return data[16:]
    if kind != b"LZFu":
        return b""
    output, position = bytearray(4096) + _RTF_DICTIONARY, 16
    start = len(output)
    while position < len(data):
        control, position = data[position], position + 1
        for bit in range(8):
            if not control >> bit & 1:
                output += data[position : position + 1]
                position += 1
                continue
            pair = data[position : position + 2]
            position += 2
            distance = (len(output) - (pair[0] << 4 | pair[1] >> 4)) % 4096 if len(pair) == 2 else 0
            if not distance:  # the end
                return bytes(output[start:])
            for _ in range((pair[1] & 0x0F) + 2):  # byte by byte: source and target may overlap
                output.append(output[-distance])
    return bytes(output[start:])
