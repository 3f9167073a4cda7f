"""The text of a document, for search and for people: a rendition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats import encodings, epub, markup, ole, ooxml, opendocument, pdf, plain, rtf
from windlass.processing.formats.bounds import MB, blocks
from windlass.processing.formats.mime import Mail, Part
from windlass.processing.formats.packed import Packed
from windlass.processing.formats.sink import MAKES, MOST_BYTES, TextSink
from windlass.processing.toolkit.rehearsal import rehearse

#: Of formats that are read in one piece so many bytes are looked at.
_MARKUP, _RTF = 8 * MB, 64 * MB

_ZIPPED = (
    "application/epub+zip",
    "application/vnd.ms-excel.*",
    "application/vnd.ms-powerpoint.*",
    "application/vnd.ms-word.*",
    "application/vnd.oasis.opendocument.*",
    "application/vnd.openxmlformats-officedocument.*",
)
_HTML = ("text/html", "application/xhtml+xml")


class Text:
    """PDF, Office since 2007, OpenDocument, EPUB, HTML, XML, RTF, mail, and any plain text, as UTF-8 with line feeds.
    At most 16 MiB of it, and half a minute; `text_cut` says where that was not all. Without text it makes nothing."""

    about = About(
        name="text",
        stage="describe",
        title="Getting the text",
        order=60,
        isolated=True,
        weight=2,
        wanted_by="text",
        mime_types=(
            "text/*",
            "application/*+json",
            "application/json",
            "application/pdf",
            "application/rtf",
            "application/x-ndjson",
            "application/xhtml+xml",
            "message/rfc822",
            *_ZIPPED,
        ),
        gives={
            "text_characters": "characters of the text that was got out of the file",
            "text_cut": "why that is not all of it",
            "pages_without_text": "pages of a PDF on which there is none: scans, if they are not empty",
        },
        makes=(MAKES,),
        libraries=("pypdfium2", "pyexpat", "zipfile", "lzma", "charset_normalizer"),
    )

    def prepare(self) -> None:
        encodings.prepare()
        rehearse(self, "application/pdf", "text/plain")

    def run(self, context: StepContext) -> StepResult:
        assert context.output is not None  # it was announced to make something
        sink, facts = TextSink(context.output), dict[str, Any]()
        kind = context.facts["mime_type"]
        if kind == "application/pdf":
            facts |= _pdf(context, sink)
        elif context.file.read(2) == b"PK":
            _zipped(context, sink)
        else:
            context.file.seek(0)
            sink.take(_unzipped(context, sink, kind))
        made = sink.finish()
        facts["text_characters"] = sink.characters if made else 0
        if sink.why_cut:
            facts["text_cut"] = sink.why_cut
        said = f"{sink.characters} characters" if made else "There is no text in it."
        return StepResult(facts, (made,) if made else (), detail=said + (f"; {sink.why_cut}" if sink.why_cut else ""))


def _pdf(context: StepContext, sink: TextSink) -> dict[str, Any]:
    with pdf.opened(context.file) as document:
        if document is None:
            return {}
        count, empty = min(len(document), pdf.MOST_PAGES), 0
        for number in range(count):
            found = pdf.page_text(document, number)
            empty += not found.strip()
            context.report(100 * number // count)
            if not sink.write(f"{found}\n\n"):
                break
        if len(document) > count:
            sink.why_cut = sink.why_cut or f"only the first {count} pages were read"
    return {"pages_without_text": empty}


def _zipped(context: StepContext, sink: TextSink) -> None:
    with Packed(context.file) as packed:
        for is_one, text in (
            (opendocument.is_opendocument, opendocument.text),
            (epub.is_epub, epub.text),
            (ooxml.is_ooxml, ooxml.text),
        ):
            if is_one(packed):
                sink.take(text(packed))
                break
        if packed.cut:
            sink.why_cut = sink.why_cut or "its parts unpack to more than is read"


def _unzipped(context: StepContext, sink: TextSink, kind: str) -> Iterator[str]:
    if kind == "message/rfc822":
        return _mail(context)
    head = context.file.read(MB)
    context.file.seek(0)
    if ole.is_ole(head):
        return iter(())
    if kind == "application/rtf":
        return rtf.text(_whole(context, sink, _RTF))
    codec = encodings.detect(head, context.facts.get("encoding"), whole=context.facts["size"] <= MB)
    if kind in _HTML or kind == "text/xml":
        source = encodings.decoder(codec).decode(_whole(context, sink, _MARKUP), True)
        return markup.text(source, structured=kind != "text/xml")
    return plain.decoded(blocks(context.file, 2 * MOST_BYTES), codec)


def _whole(context: StepContext, sink: TextSink, most: int) -> bytes:
    """Bounded; the sink learns that there is more only once the rest has been taken."""
    data = context.file.read(most)
    if context.facts["size"] > most:
        sink.note(f"only the first {most // MB} MiB of the file were read")
    return data


def _mail(context: StepContext) -> Iterator[str]:
    """What the parts for people say: plain text, or where there is none, HTML."""
    for wanted in ("text/plain", "text/html"):
        found = False
        for part in Mail(context.file).parts():
            if part.mime_type == wanted and not part.is_attachment:
                found = True
                yield from _part(part)
                yield "\n\n"
        if found:
            return


def _part(part: Part) -> Iterator[str]:
    if part.mime_type == "text/plain":
        return part.text()
    source, size = [], 0
    for piece in part.text():
        size += len(piece)
        if size <= _MARKUP:
            source.append(piece)
    return markup.text("".join(source))
