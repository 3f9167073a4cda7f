"""The text of a document, for search and for people: a rendition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from windlass.kernel.media_types import is_xml
from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats.documents import (
    compound_file,
    email_message,
    epub,
    legacy_office,
    ooxml,
    opendocument,
    pdf,
    rtf,
)
from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.read_limits import MB, blocks
from windlass.processing.formats.text import encodings, html_text, plain_text
from windlass.processing.formats.text.text_rendition import (
    GIVES,
    MAKES,
    MOST_BYTES,
    TextRendition,
    page_of_text,
)
from windlass.processing.toolkit.warm_up import warm_up

#: Bytes that are read of formats that are read in one piece.
_MARKUP, _RTF = 8 * MB, 64 * MB

_ZIPPED = (
    "application/epub+zip",
    "application/vnd.ms-excel.*",
    "application/vnd.ms-powerpoint.*",
    "application/vnd.ms-word.*",
    "application/vnd.oasis.opendocument.*",
    "application/vnd.openxmlformats-officedocument.*",
)
#: Files from before 2007, and encrypted later ones.
_COMPOUND = (
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-outlook",
    "application/vnd.ms-powerpoint",
)
_HTML = ("text/html", "application/xhtml+xml")
#: Rank of the alternatives of a message: plain text before HTML before others.
_RANKS = {"text/plain": 3, "text/html": 2}


class Text:
    """PDF, Word, Excel and PowerPoint since 97, Outlook messages, OpenDocument, EPUB, HTML, XML, RTF, mail, and any
    plain text, as UTF-8 with line feeds. At most 16 MiB, extracted in half a minute; `text_cut` is set if the text is
    incomplete. A file without text has no such rendition."""

    about = About(
        name="text",
        stage="describe",
        title="Getting the text",
        order=60,
        isolated=True,
        weight=2,
        wanted_by="text",
        mime_types=("text/*", "application/pdf", "application/rtf", "message/rfc822", *_COMPOUND, *_ZIPPED),
        gives=GIVES | {"pages_without_text": "pages of a PDF without text: scans, unless they are empty"},
        makes=(MAKES,),
        libraries=("pypdfium2", "olefile", "pyexpat", "zlib_ng", "bz2", "lzma", "charset_normalizer"),
    )

    def prepare(self) -> None:
        encodings.prepare()
        warm_up(self, "application/pdf", "text/plain")

    def run(self, context: StepContext) -> StepResult:
        assert context.output is not None  # it was announced to make something
        sink, further_facts = TextRendition(context.output), dict[str, int]()
        kind = context.facts["mime_type"]
        if kind == "application/pdf":
            further_facts = _write_pdf(context, sink)
        elif context.file.read(2) == b"PK":
            _write_package(context, sink)
        else:
            context.file.seek(0)
            sink.take(_texts(context, sink, kind))
        result = sink.finish("There is no text in it.", **further_facts)
        return replace(result, detail=f"{result.detail}; {sink.why_cut}") if sink.why_cut else result


def _write_pdf(context: StepContext, sink: TextRendition) -> dict[str, int]:
    with pdf.opened(context.file) as document:
        if document is None:
            return {}
        pdf.prepare_fields(document)
        count, empty = min(len(document), pdf.MOST_PAGES), 0
        for number in range(count):
            page_text = pdf.page_text(document, number)
            empty += not page_text.strip()
            context.report(100 * number // count)
            if not sink.write(page_of_text(number, page_text)):
                break
            sink.take(pdf.annotation_texts(document, number))
        if len(document) > count:
            sink.why_cut = sink.why_cut or f"only the first {count} pages were read"
    return {"pages_without_text": empty}


def _write_package(context: StepContext, sink: TextRendition) -> None:
    package = ZipPackage(context.file)
    for is_of_family, text in (
        (opendocument.is_opendocument, opendocument.text),
        (epub.is_epub, epub.text),
        (ooxml.is_ooxml, ooxml.text),
    ):
        if is_of_family(package):
            sink.take(text(package))
            break
    if package.damaged:
        sink.why_cut = sink.why_cut or "a part of it is damaged"
    if package.cut:
        sink.why_cut = sink.why_cut or "its parts unpack to more than is read"


def _texts(context: StepContext, sink: TextRendition, kind: str) -> Iterator[str]:
    if kind == "message/rfc822":
        return _mail_text(context)
    if context.file.read(8).startswith(compound_file.SIGNATURE):
        return legacy_office.text(context.file)
    context.file.seek(0)
    if kind == "application/rtf":
        return rtf.text(_read_whole(context, sink, _RTF))
    hint = context.facts.get("encoding")
    if kind in _HTML or is_xml(kind):
        data = _read_whole(context, sink, _MARKUP)
        return html_text.visible_text(html_text.decode_page(data, hint), structured=kind in _HTML)
    codec = encodings.detect(blocks(context.file, 2 * MOST_BYTES, MB)).codec(hint=hint)
    context.file.seek(0)
    if plain_text.is_binary(context.file.read(MB), kind, codec):
        return iter(())
    context.file.seek(0)
    return encodings.decode_pieces(blocks(context.file, 2 * MOST_BYTES), codec)


def _read_whole(context: StepContext, sink: TextRendition, most: int) -> bytes:
    """Read at most ``most`` bytes, and note in the rendition where the file has more."""
    data = context.file.read(most)
    if context.facts["size"] > most:
        sink.note(f"only the first {most // MB} MiB of the file were read")
    return data


def _mail_text(context: StepContext) -> Iterator[str]:
    """Yield the displayed parts in order; of alternatives the plain text, if it has any."""
    chosen = _chosen_parts(context)
    for number, part in email_message.displayed_parts(email_message.MailReader(context.file).parts()):
        if number in chosen:
            yield from _part_text(part)
            yield "\n\n"


def _chosen_parts(context: StepContext) -> set[int]:
    """Return the numbers of the parts to read: of each set of alternatives those of the best one."""
    alternatives: dict[int, list[tuple[int, int]]] = {}
    best: dict[int, tuple[int, int]] = {}
    for number, part in email_message.displayed_parts(email_message.MailReader(context.file).parts()):
        has_text = any(map(str.strip, _part_text(part)))
        rank = _RANKS.get(part.mime_type, 1) if has_text else 0
        alternatives[number] = [(each.number, position) for each, position in part.path if each.kind == "alternative"]
        for container, position in alternatives[number]:
            best[container] = max(best.get(container, (-1, 0)), (rank, -position))
    return {
        number
        for number, positions in alternatives.items()
        if all(best[container][1] == -position for container, position in positions)
    }


def _part_text(part: email_message.Part) -> Iterator[str]:
    if part.mime_type != "text/html":
        return part.text()
    source, size = [], 0
    for piece in part.text():
        size += len(piece)
        if size <= _MARKUP:
            source.append(piece)
    return html_text.visible_text("".join(source))
