"""Small real documents, archives and messages, and hostile ones, made as they are asked for."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache

#: What a picture of writing says.
WRITING = "Haul away, haul away\nTotal 1234 EUR"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
    "<dc:title>The voyage</dc:title><dc:creator>Ada Anchor</dc:creator>"
    "<dcterms:created>2024-05-01T08:00:00Z</dcterms:created></cp:coreProperties>"
)
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_DRAWING = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    ' xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    ' xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"'
)


def zipped(members: Mapping[str, str | bytes], *, compress: bool = True) -> bytes:
    """A zip file; a member ``mimetype`` stands first and is stored, as OpenDocument and EPUB ask for."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as made:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else made.compression
            made.writestr(info, content)
    return out.getvalue()


def _ooxml(kind: str, parts: Mapping[str, str | bytes], app: str = "") -> bytes:
    application = f"<Properties><Application>Windlass Office</Application>{app}</Properties>"
    common = {"docProps/core.xml": _XML + _CORE, "docProps/app.xml": _XML + application}
    return zipped({"[Content_Types].xml": _XML + "<Types/>", "_rels/.rels": _XML + "<R/>", **parts, **common})


@cache
def docx(paragraphs: tuple[str, ...] = ("Haul away.", "The anchor is up."), *, macros: bool = False) -> bytes:
    body = "".join(f"<w:p><w:r><w:t>{each}</w:t></w:r></w:p>" for each in paragraphs)
    parts: dict[str, str | bytes] = {
        "word/document.xml": f"{_XML}<w:document {_WORD}><w:body>{body}</w:body></w:document>"
    }
    if macros:
        parts["word/vbaProject.bin"] = b"\xd0\xcf\x11\xe0macros"
    return _ooxml("word", parts, "<Pages>3</Pages>")


@cache
def xlsx() -> bytes:
    """Two sheets; a text that cells share, a text of its own, and a number."""
    sheets = '<sheets><sheet name="Rope &amp; chain" sheetId="1"/><sheet name="Crew" sheetId="2"/></sheets>'
    cells = (
        '<row><c t="s"><v>1</v></c><c><v>42.5</v></c></row><row><c t="inlineStr"><is><t>in its cell</t></is></c></row>'
    )
    return _ooxml(
        "xl",
        {
            "xl/workbook.xml": f"{_XML}<workbook {_SHEET}>{sheets}</workbook>",
            "xl/sharedStrings.xml": f"{_XML}<sst {_SHEET}><si><t>unused</t></si><si><t>hawser</t></si></sst>",
            "xl/worksheets/sheet1.xml": f"{_XML}<worksheet {_SHEET}><sheetData>{cells}</sheetData></worksheet>",
            "xl/worksheets/sheet2.xml": f"{_XML}<worksheet {_SHEET}><sheetData/></worksheet>",
        },
    )


@cache
def pptx(slides: int = 11) -> bytes:
    """More than nine slides: their order is that of their numbers, not of their names."""
    parts: dict[str, str | bytes] = {"ppt/presentation.xml": f"{_XML}<p:presentation xmlns:p='p'/>"}
    for number in range(1, slides + 1):
        text = f"<a:p><a:r><a:t>Slide {number}</a:t></a:r></a:p>"
        parts[f"ppt/slides/slide{number}.xml"] = f"{_XML}<sld {_DRAWING}>{text}</sld>"
    return _ooxml("ppt", parts)


def _opendocument(kind: str, body: str, statistic: str = "", manifest: str = "") -> bytes:
    meta = (
        f"<office:document-meta {_ODF}><office:meta><dc:title>Log book</dc:title>"
        f"<meta:initial-creator>Bo Bowline</meta:initial-creator>"
        f"<meta:creation-date>2023-02-03T04:05:06</meta:creation-date>"
        f"<meta:generator>Windlass Office</meta:generator>{statistic}</office:meta></office:document-meta>"
    )
    content = f"<office:document-content {_ODF}><office:body>{body}</office:body></office:document-content>"
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": _XML + content,
            "meta.xml": _XML + meta,
            "META-INF/manifest.xml": f"{_XML}<manifest:manifest xmlns:manifest='m'>{manifest}</manifest:manifest>",
        }
    )


@cache
def odt() -> bytes:
    text = (
        "<text:tracked-changes><text:p>never said</text:p></text:tracked-changes><text:h>Log</text:h>"
        "<text:p>All<text:s text:c='3'/>well.<text:line-break/>Wind<text:tab/>west.</text:p>"
    )
    return _opendocument("text", f"<office:text>{text}</office:text>", '<meta:document-statistic meta:page-count="7"/>')


@cache
def ods() -> bytes:
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    rows = f"<table:table-row>{cell.format('knots')}{cell.format('12')}</table:table-row>"
    tables = f"<table:table table:name='Speed'>{rows}</table:table><table:table table:name='Depth'/>"
    return _opendocument("spreadsheet", f"<office:spreadsheet>{tables}</office:spreadsheet>")


@cache
def odp() -> bytes:
    pages = "".join(f"<draw:page draw:name='p{n}'><text:p>Page {n}</text:p></draw:page>" for n in (1, 2, 3))
    return _opendocument("presentation", f"<office:presentation>{pages}</office:presentation>")


@cache
def locked_odt() -> bytes:
    entry = (
        "<manifest:file-entry manifest:full-path='content.xml'><manifest:encryption-data/></manifest:file-entry>"
        "<manifest:file-entry manifest:full-path='meta.xml'/>"
    )
    return _opendocument("text", "", manifest=entry)


@cache
def epub() -> bytes:
    package = (
        "<package xmlns='http://www.idpf.org/2007/opf' xmlns:dc='http://purl.org/dc/elements/1.1/'><metadata>"
        "<dc:title>Knots</dc:title><dc:creator>Cleo Cleat</dc:creator><dc:language>en</dc:language></metadata>"
        "<manifest><item id='b' href='two.xhtml'/><item id='a' href='text/one.xhtml'/></manifest>"
        "<spine><itemref idref='a'/><itemref idref='b'/></spine></package>"
    )
    page = "<html><head><title>hidden</title></head><body><p>{}</p></body></html>"
    container = "<container><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>"
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            "OEBPS/two.xhtml": page.format("Chapter two"),
            "OEBPS/text/one.xhtml": page.format("Chapter one"),
        }
    )


@cache
def ole(streams: tuple[tuple[str, bytes], ...]) -> bytes:
    """A compound file with these streams in its root, each of 4096 bytes at least, as [MS-CFB] lays it out."""
    sector, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    padded = [(name, data.ljust(4096, b"\0")) for name, data in streams]
    padded = [(name, data + bytes(-len(data) % sector)) for name, data in padded]
    entries_per = sector // 128
    directory_sectors = -(-(1 + len(padded)) // entries_per)
    fat, entries, first = [0xFFFFFFFD], [], 1
    fat += [*range(2, directory_sectors + 1), end]
    first += directory_sectors
    body = b""
    for number, (name, data) in enumerate(padded, 1):
        count = len(data) // sector
        right = number + 1 if number < len(padded) else free
        entries.append(_ole_entry(name, 2, free, right, free, first, len(data)))
        fat += [*range(first + 1, first + count), end]
        first += count
        body += data
    root = _ole_entry("Root Entry", 5, free, free, 1 if padded else free, end, 0)
    directory = b"".join([root, *entries]).ljust(directory_sectors * sector, b"\0")
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(sector, b"\xff")
    head = struct.pack("<8s16s6H", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, 0)
    head += struct.pack("<I9I", 0, 0, 1, 1, 0, 4096, end, 0, end, 0) + struct.pack("<I", 0) + b"\xff" * 4 * 108
    assert len(fat) <= sector // 4
    return head + table + directory + body


def _ole_entry(name: str, kind: int, left: int, right: int, child: int, first: int, size: int) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    return struct.pack(
        "<64sHBB3I16sI8s8sIQ",
        text,
        len(text),
        kind,
        1,
        left,
        right,
        child,
        bytes(16),
        0,
        bytes(8),
        bytes(8),
        first,
        size,
    )


def _properties(**texts: str) -> bytes:
    numbers = {"title": 2, "author": 4, "application": 18}
    values = [(1, struct.pack("<Ihh", 2, 1252, 0))]
    for name, said in texts.items():
        data = said.encode("cp1252") + b"\0"
        values.append((numbers[name], struct.pack("<II", 30, len(data)) + data + bytes(-len(data) % 4)))
    values.append((14, struct.pack("<Ii", 3, 5)))
    place, table, body = 8 + 8 * len(values), b"", b""
    for number, value in values:
        table += struct.pack("<II", number, place + len(body))
        body += value
    section = struct.pack("<II", 8 + len(table) + len(body), len(values)) + table + body
    identity = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
    return struct.pack("<HHI16sI", 0xFFFE, 0, 2, bytes(16), 1) + identity + struct.pack("<I", 48) + section


@cache
def doc(*, locked: bool = False) -> bytes:
    word = struct.pack("<HHIHH", 0xA5EC, 0xC1, 0, 0, 0x0100 if locked else 0)
    summary = _properties(title="Größe", author="Dana Davit", application="Windlass Office")
    return ole((("\x05SummaryInformation", summary), ("WordDocument", word)))


@cache
def locked_docx() -> bytes:
    return ole((("EncryptedPackage", b"secret"), ("EncryptionInfo", b"how")))


@cache
def msg() -> bytes:
    return ole(
        (
            ("__properties_version1.0", b""),
            ("__substg1.0_0037001F", "Set sail".encode("utf-16-le")),
            ("__substg1.0_0C1A001F", "Ed Ebb".encode("utf-16-le")),
        )
    )


@cache
def text_pdf(*pages: str) -> bytes:
    """A page for each text; an empty text is an empty page. Written by hand."""
    texts = pages or ("Haul away.",)
    objects = ["<</Type/Catalog/Pages 2 0 R>>", ""]
    objects.append("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    kids = []
    for text in texts:
        stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET" if text else ""
        kids.append(f"{len(objects) + 1} 0 R")
        page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"{page}/Contents {len(objects) + 2} 0 R>>")
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
    objects[1] = f"<</Type/Pages/Count {len(texts)}/Kids[{' '.join(kids)}]>>"
    return _pdf_of([each.encode() for each in objects])


@cache
def scanned_pdf(*, first_page: str = "", words: str = WRITING) -> bytes:
    """A picture of writing, as a scanner makes it, on its last page."""
    jpeg, width, height = picture_of_text("jpeg", words), 1200, 300
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    contents = [f"BT /F1 24 Tf 72 700 Td ({first_page}) Tj ET"] if first_page else []
    for content in [*contents, "q 500 0 0 125 40 600 cm /Im0 Do Q"]:
        kids.append(f"{len(objects) + 1} 0 R")
        resources = "<</Font<</F1 3 0 R>>/XObject<</Im0 IMAGE 0 R>>>>"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources{resources}/Contents {len(objects) + 2} 0 R>>"
        objects.append(page.encode())
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream".encode())
    head = f"<</Type/XObject/Subtype/Image/Width {width}/Height {height}/ColorSpace/DeviceRGB/BitsPerComponent 8"
    objects.append(f"{head}/Filter/DCTDecode/Length {len(jpeg)}>>stream\n".encode() + jpeg + b"\nendstream")
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>".encode()
    return _pdf_of([each.replace(b"IMAGE", str(len(objects)).encode()) for each in objects])


def _pdf_of(objects: list[bytes]) -> bytes:
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj" % number + content + b"endobj\n"
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer<</Size {size}/Root 1 0 R>>\n"
    return body + f"{tail}startxref\n{len(body)}\n%%EOF\n".encode()


@cache
def picture_of_text(kind: str = "png", words: str = WRITING) -> bytes:
    """Dark writing on white, 1200 by 300."""
    import pyvips

    ink = pyvips.Image.text(words, dpi=200)
    page = ink.invert().embed(40, 40, 1200, 300, extend="white").copy(interpretation="b-w").colourspace("srgb")
    return bytes(page.pngsave_buffer() if kind == "png" else page.jpegsave_buffer(Q=90))


@cache
def tar(kind: str = "w") -> bytes:
    """A file, a directory, a name of 200 characters, and three entries that would leave the directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=kind) as made:
        for name, content in (("a.txt", b"abc"), ("long/" + "n" * 195, b"1234"), ("in.zip", b"12"), ("../up", b"5")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        for name, of_kind, target in (
            ("folder", tarfile.DIRTYPE, ""),
            ("passwd", tarfile.SYMTYPE, "/etc/passwd"),
            ("near", tarfile.SYMTYPE, "a.txt"),
            ("null", tarfile.CHRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = of_kind, target
            made.addfile(info)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    from backports import zstd as library

    return bytes(library.compress(data))


@cache
def sevenzip(*, locked: bool = False, packed_header: bool = True) -> bytes:
    """Two files, a.txt of 3 bytes and b.txt of 5, a directory and a link that goes up; stored, as 7zFormat.txt says."""
    data = b"abc12345"
    coder = b"\x24\x06\xf1\x07\x01\x01\x00" if locked else b"\x01\x00"
    names = "a.txt\0b.txt\0folder\0../up.zip\0".encode("utf-16-le")
    streams = b"\x04\x06" + b"\x00\x01\x09" + bytes([len(data)]) + b"\x00"
    streams += b"\x07\x0b\x01\x00\x01" + coder + b"\x0c" + bytes([len(data)]) + b"\x00"
    streams += b"\x08\x0d\x02\x09\x03\x00\x00"
    files = b"\x05\x04\x0e\x01\x30\x0f\x01\x40\x11" + bytes([len(names) + 1]) + b"\x00" + names + b"\x00"
    header = b"\x01" + streams + files + b"\x00"
    body = data
    if packed_header:
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
        packed = lzma.compress(header, lzma.FORMAT_RAW, filters=chain)
        body = data + packed
        properties = bytes([3 + 9 * (0 + 5 * 2)]) + struct.pack("<I", 1 << 16)
        header = b"\x17\x06" + bytes([len(data)]) + b"\x01\x09" + bytes([0x80, len(packed)]) + b"\x00"
        header += (
            b"\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05" + properties + b"\x0c" + _seven_number(len_of(chain, packed))
        )
        header += b"\x00\x00"
    start = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + body + header


def len_of(chain: list[dict[str, int]], packed: bytes) -> int:
    return len(lzma.decompress(packed, lzma.FORMAT_RAW, filters=chain))


def _seven_number(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([0x80 | value >> 8, value & 0xFF])


@cache
def rar5(*, locked: bool = False) -> bytes:
    """A stored file of 3 bytes, a directory, and a link to /etc."""

    def vint(number: int) -> bytes:
        out = b""
        while number > 0x7F:
            out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
        return out + bytes([number])

    def block(kind: int, body: bytes, *, data: bytes = b"", extra: bytes = b"") -> bytes:
        flags = bool(extra) | 2 * bool(data)
        header = vint(kind) + vint(flags) + (vint(len(extra)) if extra else b"") + (vint(len(data)) if data else b"")
        header += body + extra
        sized = vint(len(header)) + header
        return struct.pack("<I", zlib.crc32(sized)) + sized + data

    def entry(name: bytes, size: int, flags: int = 0, data: bytes = b"", extra: bytes = b"") -> bytes:
        body = vint(flags) + vint(size) + vint(0o100644) + vint(0) + vint(1) + vint(len(name)) + name
        return block(2, body, data=data, extra=extra)

    link = vint(1) + vint(0) + vint(4) + b"/etc"
    lock = vint(1) + vint(0) + vint(0)
    out = b"Rar!\x1a\x07\x01\x00" + block(1, vint(0))
    out += entry(b"a.txt", 3, data=b"abc", extra=vint(len(lock)) + lock if locked else b"")
    out += entry(b"folder", 0, flags=1) + entry(b"etc", 0, extra=vint(len(vint(5) + link)) + vint(5) + link)
    return out + block(5, vint(0))


@cache
def rar4() -> bytes:
    """A stored file of 3 bytes."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        header = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header + data

    name = b"a.txt"
    file = struct.pack("<2IB2I2BHI", 3, 3, 3, zlib.crc32(b"abc"), 0, 20, 0x30, len(name), 0o100644) + name
    return b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6)) + block(0x74, 0x8000, file, b"abc") + block(0x7B, 0, b"")


@cache
def email(*, html_only: bool = False) -> bytes:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"] = "Fay Fathom <fay@example.org>"
    message["To"] = "a@example.org, B <b@example.org>"
    message["Cc"] = "c@example.org"
    message["Subject"] = "Größe und Tiefe \N{ANCHOR}"
    message["Date"] = "Mon, 06 May 2024 10:00:00 +0200"
    if html_only:
        message.set_content("<p>Only <b>markup</b>.</p><script>no()</script>", subtype="html")
    else:
        message.set_content("The sea is déép.\n", charset="iso-8859-1", cte="quoted-printable")
        message.add_alternative("<p>never shown</p>", subtype="html")
        message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Größe.pdf")
        message.add_attachment("noted", filename="note.txt")
        message.set_boundary("================anchor==")
        for number, part in enumerate(part for part in message.iter_parts() if part.is_multipart()):
            part.set_boundary(f"================inner{number}==")
    return message.as_bytes()


RTF = (
    rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}}{\*\generator Nobody;}{\info{\title Hidden}}"
    rb"\pard Gr\'f6\'dfe \{braces\}\par \u9875?\u-10179?\u-8704? end{\pict\bin4 }}}}}\tab x\par}"
)

# Hostile files.


@cache
def docx_bomb(mebibytes: int = 600) -> bytes:
    """Its text unpacks to a thousand times its size. Of no date, so that it is the same each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(zipfile.ZipInfo("[Content_Types].xml"), "<Types/>")
        made.writestr(zipfile.ZipInfo("_rels/.rels"), "<R/>")
        text = zipfile.ZipInfo("word/document.xml")
        text.compress_type = zipfile.ZIP_DEFLATED
        with made.open(text, "w", force_zip64=True) as part:
            part.write(f"<w:document {_WORD}><w:body><w:p><w:r><w:t>".encode())
            for _ in range(mebibytes):
                part.write(b" " * 1024 * 1024)
    return out.getvalue()


@cache
def laughing_xlsx() -> bytes:
    """Entities that hold entities that hold entities."""
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    strings = f"<!DOCTYPE sst [{entities}]><sst><si><t>&j;</t></si></sst>"
    sheet = '<worksheet><sheetData><row><c t="s"><v>0</v></c></row></sheetData></worksheet>'
    return _ooxml(
        "xl",
        {
            "xl/workbook.xml": "<workbook><sheets><sheet name='S'/></sheets></workbook>",
            "xl/sharedStrings.xml": strings,
            "xl/worksheets/sheet1.xml": sheet,
        },
    )


@cache
def overlapping_zip(entries: int = 250) -> bytes:
    """Every entry of the table of contents names the same stretch of bytes, which unpacks to 1 MB."""
    once = zipped({"a": bytes(1024 * 1024)})
    end = once.rindex(b"PK\x05\x06")
    start = once.index(b"PK\x01\x02")
    record = once[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, entries, entries, entries * len(record), start, 0)
    return once[:start] + record * entries + tail


def gzip_bomb(mebibytes: int = 64) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as made:
        for _ in range(mebibytes):
            made.write(bytes(1024 * 1024))
    return out.getvalue()


@cache
def crowded_email(parts: int = 100_000) -> bytes:
    head = b"From: a@example.org\r\nSubject: many\r\nMIME-Version: 1.0\r\n"
    head += b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = b"--b\r\nContent-Disposition: attachment; filename=x\r\n\r\n\r\n"
    return head + part * parts + b"--b--\r\n"


def compressed(kind: str, data: bytes) -> bytes:
    made = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}[kind]
    return bytes(made(data))  # type: ignore[operator]
