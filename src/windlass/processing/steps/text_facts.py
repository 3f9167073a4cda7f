"""Facts of a text: encoding and counts of any, and further facts of tables, JSON and HTML."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from windlass.kernel.filenames import extension
from windlass.kernel.media_types import is_xml
from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats.read_limits import BLOCK, MB, READING_SECONDS, Deadline, blocks, shorten
from windlass.processing.formats.text import csv_tables, encodings, html_text, json_outline, plain_text
from windlass.processing.toolkit.warm_up import warm_up

#: Bytes that are read.
MOST_BYTES = 64 * MB
_HEAD = MB

_TABLES = {"text/csv", "text/tab-separated-values"}
_HTML = {"text/html", "application/xhtml+xml"}
_JSON = {"application/json", "application/x-ndjson"}
#: Types by name of what libmagic takes for plain text: invalid or large JSON, tables with semicolons.
_BY_NAME = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "geojson": "application/json",
    "ndjson": "application/x-ndjson",
    "jsonl": "application/x-ndjson",
}


class TextFacts:
    """Reads the first 64 MB, for half a minute at most; `counted_bytes` is set if the text is longer."""

    about = About(
        name="text_facts",
        stage="describe",
        title="Reading the text's facts",
        order=10,
        isolated=True,
        mime_types=("text/*",),
        gives={
            "encoding": "character encoding",
            "bom": "whether it begins with a byte order mark",
            "newline": "line ends: `LF`, `CRLF`, `CR` or `mixed`",
            "lines": "lines, including an unterminated last one",
            "words": "runs without spaces that contain a letter or digit; each Han or kana character counts as one",
            "characters": "characters, including line ends",
            "longest_line": "characters of the longest line",
            "counted_bytes": "bytes that were counted, if the file is longer",
            "delimiter": "delimiter of a table's columns",
            "columns": "columns of a table",
            "rows": "rows of a table, without its header",
            "header": "first 100 column names, if the first row looks like names",
            "consistent": "whether all rows of a table are valid and have the same number of columns",
            "json_valid": "whether it is valid JSON; absent for texts of more than 16 Mi characters",
            "json_error": "line, column and detail of the first JSON error",
            "json_kind": "`object`, `array`, `lines` (one JSON value per line) or a single value",
            "json_keys": "first 100 member names of an object",
            "json_items": "number of members of an object, items of an array, or values in lines",
            "json_depth": "nesting depth",
            "title": "title of an HTML page",
            "language": "language declared by an HTML page",
        },
        libraries=("charset_normalizer", "csv", "json"),
    )

    def prepare(self) -> None:
        encodings.prepare()
        warm_up(self, "text/plain")

    def run(self, context: StepContext) -> StepResult:
        kind, size = _kind(context), context.facts["size"]
        head, codec = _head_and_codec(context, kind)
        if plain_text.is_binary(head, kind, codec):
            return StepResult(detail="It is not in text form.")
        facts: dict[str, Any] = {
            "encoding": codec.removesuffix("-sig").replace("ascii", "us-ascii"),
            "bom": encodings.byte_order_mark(head) is not None,
        }
        reader = _TextReader(context, codec)
        facts |= _kind_facts(kind, reader)
        facts |= reader.counts()
        if kind in _HTML:
            title, language = html_text.title_and_language(encodings.decoder(codec).decode(head))
            facts |= {name: shorten(text) for name, text in (("title", title), ("language", language)) if text}
        if reader.count < size:
            facts["counted_bytes"] = reader.count
        return StepResult(facts, detail=f"{facts['lines']} lines, {facts['encoding']}")


def _head_and_codec(context: StepContext, kind: str) -> tuple[bytes, str]:
    """Return the first bytes, and the encoding of all of the text: the first non-ASCII letter may come late."""
    head = context.file.read(_HEAD)
    context.file.seek(0)
    deadline = Deadline(READING_SECONDS / 3)
    pieces = takewhile(lambda _: not deadline.has_passed(), blocks(context.file, MOST_BYTES, MB))
    declared = html_text.declared_charset(head) if kind in _HTML or is_xml(kind) else None
    return head, encodings.detect(pieces).codec(declared, context.facts.get("encoding"))


class _TextReader:
    """Yields the text of the file and counts it on the way."""

    def __init__(self, context: StepContext, codec: str) -> None:
        self._context, self._codec, self._deadline = context, codec, Deadline()
        self._counting = plain_text.TextCounter()
        self.count = 0

    @property
    def whole(self) -> bool:
        return self.count >= int(self._context.facts["size"])

    def texts(self) -> Iterator[str]:
        for text in encodings.decode_pieces(self._blocks(), self._codec):
            self._counting.add(text)
            yield text

    def counts(self) -> dict[str, Any]:
        """Return the counts; reads the text if nobody has."""
        if not self.count:
            deque(self.texts(), maxlen=0)
        self._counting.add("", final=True)
        return self._counting.facts()

    def _blocks(self) -> Iterator[bytes]:
        self._context.file.seek(0)
        for block in blocks(self._context.file, MOST_BYTES, 4 * BLOCK):
            if self._deadline.has_passed():
                return
            self.count += len(block)
            self._context.report(100 * self.count // max(self._context.facts["size"], 1))
            yield block


def _kind(context: StepContext) -> str:
    mime_type: str = context.facts["mime_type"]
    if mime_type in ("text/plain", "application/json"):
        return _BY_NAME.get(extension(context.facts["filename"]), mime_type)
    if mime_type == "text/csv" and extension(context.facts["filename"]) not in ("", *_BY_NAME):
        return "text/plain"  # prose with the same number of commas in each line
    return mime_type


def _kind_facts(kind: str, reader: _TextReader) -> dict[str, Any]:
    if kind in _JSON or kind.endswith("+json"):
        return _json(reader, many=kind == "application/x-ndjson")
    if kind not in _TABLES:
        return {}
    table, texts = csv_tables.Table(), reader.texts()
    table.read(plain_text.unified(texts))
    deque(texts, maxlen=0)  # count the rest after an unreadable row
    return table.facts()


def _json(reader: _TextReader, *, many: bool) -> dict[str, Any]:
    pieces, length = list[str](), 0
    for text in reader.texts():
        length += len(text)
        if length <= json_outline.LARGEST:
            pieces.append(text)
    if length > json_outline.LARGEST or not reader.whole:
        return {}
    return json_outline.facts("".join(pieces), many=many)
