"""Text and facts of documents, mail and markup: the steps over files in memory, without sandbox and records."""

# ruff: noqa: RUF001  letters of other scripts are among what is read

from __future__ import annotations

import base64
import contextlib
import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests import document_samples as samples
from tests.document_samples import zipped
from tests.hostile.files.documents import CATALOGUE, PAGES, page, pdf, stream
from windlass.processing.contract import Step, StepContext, StepResult, Unreadable
from windlass.processing.formats.documents import cell_dates, rtf
from windlass.processing.step_result import checked_result, to_json
from windlass.processing.steps.email_facts import EmailFacts
from windlass.processing.steps.office_facts import OfficeFacts
from windlass.processing.steps.pdf_facts import PdfFacts
from windlass.processing.steps.text import Text
from windlass.processing.steps.text_facts import TextFacts

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ODT = "application/vnd.oasis.opendocument.text"
EPUB = "application/epub+zip"


def done(step: Step, data: bytes, mime_type: str, filename: str = "a", **facts: object) -> tuple[StepResult, str]:
    known = {"filename": filename, "size": len(data), "metadata": {}, "mime_type": mime_type, **facts}
    output = io.BytesIO()
    result = step.run(StepContext(io.BytesIO(data), known, {}, output))
    return checked_result(step.about, to_json(result), len(output.getvalue())), output.getvalue().decode()


def text_of(data: bytes, mime_type: str) -> str:
    return done(Text(), data, mime_type)[1]


def facts_of(step: Step, data: bytes, mime_type: str, filename: str = "a") -> Mapping[str, Any]:
    return done(step, data, mime_type, filename)[0].facts


# Mail


def mail(*lines: str, charset: str = "utf-8") -> bytes:
    return "\n".join(["From: a@example.org", "MIME-Version: 1.0", *lines]).encode(charset)


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    inside = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\n\n{inside}--{boundary}--"


HTML, PLAIN = "Content-Type: text/html\n\n<p>Letter</p>", "Content-Type: text/plain\n\n"
ATTACHED = "Content-Type: text/plain\nContent-Disposition: attachment; filename=n.txt\n\nattached"
PICTURE = "Content-Type: image/png\n\nxx"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (multipart("mixed", HTML, f"{PLAIN}footer"), "Letter\n\nfooter\n\n"),
        (multipart("mixed", f"{PLAIN}one", HTML, ATTACHED, f"{PLAIN}two"), "one\n\nLetter\n\ntwo\n\n"),
        (multipart("alternative", f"{PLAIN}plain", HTML), "plain\n\n"),
        (multipart("alternative", f"{PLAIN} \n", HTML), "Letter\n\n"),
        (multipart("alternative", HTML, f"{PLAIN}plain"), "plain\n\n"),
        (
            multipart(
                "mixed",
                multipart(
                    "alternative", f"{PLAIN}plain", multipart("related", HTML, PICTURE, boundary="d"), boundary="c"
                ),
                f"{PLAIN}list footer",
            ),
            "plain\n\nlist footer\n\n",
        ),
        (
            multipart("alternative", multipart("mixed", f"{PLAIN}one", f"{PLAIN}two", boundary="c"), HTML),
            "one\n\ntwo\n\n",
        ),
        (multipart("related", HTML, "Content-Type: text/css\n\np {}"), "Letter\n\n"),
        (multipart("signed", f"{PLAIN}said", "Content-Type: application/pgp-signature\n\nxx"), "said\n\n"),
        (multipart("mixed", "Content-Type: text/markdown\n\n# Said"), "# Said\n\n"),
        (multipart("mixed", ATTACHED), ""),
    ],
)
def test_the_displayed_parts_of_a_message_are_its_text(body: str, text: str) -> None:
    assert text_of(mail(body), "message/rfc822") == text


def word(text: str, codec: str, label: str) -> str:
    return f"=?{label}?B?{base64.b64encode(text.encode(codec)).decode()}?="


HALVES = [base64.b64encode("日本語".encode()[a:b]).decode() for a, b in ((0, 4), (4, 9))]


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (mail("Subject: Grüße an José", ""), "Grüße an José"),
        (mail("Subject: Grüße", "", charset="latin-1"), "Grüße"),
        (mail("Subject: Привет, мир, как дела", "", charset="koi8-r"), "Привет, мир, как дела"),
        (mail(f"Subject: {word('①②', 'cp932', 'x-sjis')} a", ""), "①② a"),
        (mail(f"Subject: {word('朱镕基', 'gb18030', 'gb2312')}", ""), "朱镕基"),
        (mail(f"Subject: {word('สวัสดี', 'cp874', 'windows-874')}", ""), "สวัสดี"),
        (mail(f"Subject: =?utf-8?B?{HALVES[0]}?=", f" =?utf-8?B?{HALVES[1]}?=", ""), "日本語"),
        (mail("Subject: Re: =?iso-8859-1?Q?a_b=20c?= d", ""), "Re: a b c d"),
        (mail("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", ""), "Grüße"),
        (mail("Subject: =?us-ascii?q?Gr=C3=BC=C3=9Fe?=", ""), "Grüße"),
        (mail("Subject: =?utf-8?b?QQA=?= b", ""), "A b"),
    ],
)
def test_message_headers_in_any_encoding_are_decoded(raw: bytes, title: str) -> None:
    assert facts_of(EmailFacts(), raw, "message/rfc822")["title"] == title


def test_attachment_names_in_any_encoding_are_decoded() -> None:
    heads = (
        "Content-Disposition: attachment; filename*=gb2312''%D6%EC%E9F.pdf",
        'Content-Type: application/pdf; name="=?utf-8?Q?Gr=C3=BC=C3=9Fe.pdf?="',
        'Content-Type: application/pdf; name="Größe.pdf"',
    )
    raw = mail(multipart("mixed", *(f"{head}\n\nx" for head in heads)))
    assert facts_of(EmailFacts(), raw, "message/rfc822")["attachment_names"] == ["朱镕.pdf", "Grüße.pdf", "Größe.pdf"]


@pytest.mark.parametrize(
    ("label", "codec", "said"),
    [
        ("us-ascii", "utf-8", "Grüße über alles"),
        ("us-ascii", "latin-1", "Grüße über alles"),
        ("utf-8", "latin-1", "Grüße über alles"),
        ("x-sjis", "cp932", "①②です"),
        ("x-gbk", "gb18030", "朱镕基"),
        ("gb2312", "gb18030", "朱镕基"),
        ("windows-874", "cp874", "สวัสดี"),
        ("ks_c_5601-1987", "cp949", "똠방각하"),
        ("iso-8859-8-i", "iso8859-8", "שלום"),
        ("unicode-1-1-utf-7", "utf-7", "Grüße"),
        ("unknown-8bit", "utf-8", "Grüße"),
    ],
)
def test_a_message_is_decoded_by_its_declared_or_detected_encoding(label: str, codec: str, said: str) -> None:
    raw = mail(f"Content-Type: text/plain; charset={label}", "", "").rstrip(b" ") + said.encode(codec)
    assert text_of(raw, "message/rfc822") == f"{said}\n\n"


# Books and markup


def epub(pages: Mapping[str, bytes], kinds: Mapping[str, str], more: str = "") -> bytes:
    items = "".join(f"<item id='{name}' href='{name}' media-type='{kinds[name]}'/>" for name in pages)
    spine = "".join(f"<itemref idref='{name}'/>" for name in pages)
    opf = f"<package><metadata/><manifest>{items}{more}</manifest><spine>{spine}</spine></package>"
    place = "<container><rootfiles><rootfile full-path='b.opf'/></rootfiles></container>"
    return zipped({"mimetype": EPUB, "META-INF/container.xml": place, "b.opf": opf, **pages})


XHTML = "<?xml version='1.0' encoding='{}'?><html><head><title>no</title></head><body><p>{}</p></body></html>"


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4000, "image/jpeg", ""),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400, "application/xhtml+xml", ""),
        (b"<svg xmlns='x'><style>a</style><text>One</text><text>Two</text></svg>", "image/svg+xml", "One\n\nTwo\n\n"),
        (XHTML.format("utf-16", "Größe").encode("utf-16"), "application/xhtml+xml", "Größe\n\n"),
        (XHTML.format("utf-16", "Größe").encode("utf-16-be"), "application/xhtml+xml", "Größe\n\n"),
        (XHTML.format("iso-8859-2", "źródło").encode("iso8859-2"), "application/xhtml+xml", "źródło\n\n"),
        (b"<html><body><svg><text>Map</text></svg></body></html>", "application/xhtml+xml", "Map\n\n"),
        (b"<html><body>Plain HTML</body></html>", "text/html", "Plain HTML\n"),
    ],
)
def test_pages_of_an_epub_are_read_and_pictures_are_not(content: bytes, kind: str, text: str) -> None:
    assert text_of(epub({"p": content}, {"p": kind}), EPUB) == text


def test_the_fallback_page_of_an_epub_picture_is_read() -> None:
    page_ = b"<html><body>Described</body></html>"
    manifest = (
        "<item id='x' href='x.jpg' media-type='image/jpeg' fallback='p'/><item id='p' href='p' media-type='a/b'/>"
    )
    opf = f"<package><manifest>{manifest}</manifest><spine><itemref idref='x'/></spine></package>"
    place = "<container><rootfiles><rootfile full-path='b.opf'/></rootfiles></container>"
    book = zipped({"mimetype": EPUB, "META-INF/container.xml": place, "b.opf": opf, "x.jpg": b"\xff\xd8", "p": page_})
    assert text_of(book, EPUB) == "Described\n"


@pytest.mark.parametrize(
    ("data", "mime_type", "text"),
    [
        ("<meta charset=gb2312><p>朱镕基</p>".encode("gb18030"), "text/html", "朱镕基\n"),
        ("<meta http-equiv=a content='text/html; charset=x-sjis'>①".encode("cp932"), "text/html", "①"),
        ("<meta charset=iso-8859-1><p>Größe</p>".encode(), "text/html", "Größe\n"),
        ("<p>Größe</p>".encode("utf-16"), "text/html", "Größe\n"),
        ("<?xml version='1.0' encoding='euc-kr'?><a>한국</a>".encode("cp949"), "text/xml", "한국\n"),
        (b"<feed><title>Atom</title></feed>", "application/atom+xml", "Atom\n\n"),
        (b"key: value\n", "application/yaml", "key: value\n"),
        (b"SELECT 1;\n", "application/sql", "SELECT 1;\n"),
        (b'{"asset": {}}', "model/gltf+json", '{"asset": {}}'),
        (b"solid a\x00\xff" + bytes(200), "model/stl", ""),
    ],
)
def test_texts_are_decoded_by_their_declared_encoding(data: bytes, mime_type: str, text: str) -> None:
    assert text_of(data, mime_type) == text


@pytest.mark.parametrize(
    ("data", "filename", "mime_type", "facts"),
    [
        (b"x" * (3 << 20) + "ü".encode(), "a.txt", "text/plain", {"encoding": "utf-8"}),
        (b"plain\n" * 8000 + "Größe, schöne Straße\n".encode("latin-1"), "a.txt", "text/plain", {"encoding": "cp1252"}),
        ("名,値\n東京,①\n".encode("cp932") * 20, "a.csv", "text/csv", {"encoding": "cp932", "columns": 2}),
        ("a,b\n1,ü\n".encode("utf-16-le"), "a.csv", "text/csv", {"encoding": "utf-16-le", "columns": 2, "rows": 1}),
        (b'{"asset": {"version": "2.0"}}', "a.gltf", "model/gltf+json", {"json_valid": True, "json_kind": "object"}),
        (b"a: 1\n", "a.yaml", "application/yaml", {"lines": 1, "encoding": "us-ascii"}),
        (
            b"<meta charset=big5><title>\xb8\xea</title>",
            "a.html",
            "text/html",
            {"encoding": "big5hkscs", "title": "資"},
        ),
        (b'{"a": ' + b"9" * 5000 + b"}", "a.json", "application/json", {"json_valid": False}),
        (b'{"a\\u0000b": 1, "\\ud800": 2}', "a.json", "application/json", {"json_keys": ["ab", ""]}),
    ],
)
def test_texts_have_facts(data: bytes, filename: str, mime_type: str, facts: dict[str, Any]) -> None:
    found = facts_of(TextFacts(), data, mime_type, filename)
    assert {name: found.get(name) for name in facts} == facts


# RTF


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset204 A;}}\f0 \'d3\'e2\'e0\'e6}", "Уваж"),
        (
            rb"{\rtf1\ansi\deff2{\fonttbl{\f1\fcharset128 M;}{\f2\fcharset161{\*\panose 02}T;}}\'e1{\f1\'93\'fa}\'e1}",
            "α日α",
        ),
        (rb"{\rtf1\ansi{\fonttbl{\f0\cpg1251 A;}}\f0\'d3}", "У"),
        (rb"{\rtf1 a{\v hidden}b\v no\v0 c\deleted gone\deleted0 d{\v x\plain y}}", "abcdy"),
        (rb"{\rtf1\uc2\u26085\'93\'fa\u26412\'96\'7bx\uc1\u8364 ?y\uc0\u8364z}", "日本x€y€z"),
        (rb"{\rtf1\u-10179?\u-8704?}", "\N{GRINNING FACE}"),
        (rb"{\rtf1\ansicpg932 \'83\'5c\'83e}", "ソテ"),
        (rb"{\rtf1\mac \'8a}", "ä"),
        (rb"{\rtf1 a{\pict\bin4 }}}}}b{\pict\wmetafile8 0102}c{\*\unknown no}", "abc"),
        (
            rb"{\rtf1 a{\*\annotation note}{\footnote foot}{\shp{\*\shpinst{\sn x}{\shptxt box}}{\shprslt no}}}",
            "anotefootbox",
        ),
        (rb"{\rtf1{\info{\title no}}{\header head\par}{\field{\*\fldinst no}{\fldrslt yes}}}", "head\nyes"),
    ],
)
def test_rtf_is_read_as_text(source: bytes, text: str) -> None:
    assert "".join(rtf.text(source)) == text


# Office


def office(parts: Mapping[str, str | bytes]) -> bytes:
    return zipped({"[Content_Types].xml": "<Types/>", **parts})


def relations(*pairs: tuple[str, str]) -> str:
    each = "".join(f"<Relationship Id='r{n}' Type='x/{kind}' Target='{to}'/>" for n, (kind, to) in enumerate(pairs))
    return f"<Relationships>{each}</Relationships>"


def paragraph(text: str) -> str:
    return f"<w:p xmlns:w='w'><w:r><w:t>{text}</w:t></w:r></w:p>"


BOX = (
    "<w:p xmlns:w='w' xmlns:mc='m'><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r>"
    "</w:p></w:txbxContent></mc:Choice><mc:Fallback><w:t>box</w:t></mc:Fallback></mc:AlternateContent></w:r>"
    "<w:r><w:rPr><w:vanish/></w:rPr><w:t>no</w:t></w:r><w:del><w:r><w:delText>no</w:delText></w:r></w:del></w:p>"
)


def test_text_of_a_word_document_has_boxes_notes_comments_headings_and_drawings() -> None:
    parts = ("footnotes", "comments", "header", "diagramData")
    related = relations(*((kind, f"{kind}.xml") for kind in parts))
    text = text_of(
        office(
            {
                "_rels/.rels": relations(("officeDocument", "word/Document2.xml")),
                "word/document2.xml": f"<document><tabs><tab/></tabs>{BOX}{paragraph('body')}</document>",
                "word/_rels/document2.xml.rels": related,
                **{f"word/{kind}.xml": f"<a>{paragraph(kind)}</a>" for kind in parts},
                "word/diagrams/data9.xml": f"<a>{paragraph('by its name')}</a>",
            }
        ),
        DOCX,
    )
    assert text.split() == ["box", "body", "footnotes", "diagramData", "comments", "header", "by", "its", "name"]


def test_text_of_a_presentation_has_notes_and_drawings_with_their_slides() -> None:
    slides = "<sldIdLst xmlns:r='r'><sldId id='256' r:id='r1'/><sldId r:id='r0' id='257'/></sldIdLst>"
    number = "<a:fld xmlns:a='a' type='slidenum'><a:t>7</a:t></a:fld>"
    text = text_of(
        office(
            {
                "ppt/presentation.xml": f"<presentation>{slides}</presentation>",
                "ppt/_rels/presentation.xml.rels": relations(("slide", "slides/b.xml"), ("slide", "/ppt/slides/a.xml")),
                "ppt/slides/a.xml": f"<sld>{paragraph('first')}{number}</sld>",
                "ppt/slides/b.xml": f"<sld>{paragraph('second')}</sld>",
                "ppt/slides/_rels/a.xml.rels": relations(
                    ("notesSlide", "../notesSlides/n.xml"), ("diagramData", "../d.xml"), ("slide", "b.xml")
                ),
                "ppt/notesSlides/n.xml": f"<notes>{paragraph('notes')}</notes>",
                "ppt/d.xml": f"<dataModel>{paragraph('drawn')}</dataModel>",
                "ppt/comments/comment1.xml": "<cmLst><cm><text>comment</text></cm></cmLst>",
            }
        ),
        PPTX,
    )
    assert text.split() == ["first", "drawn", "notes", "second", "comment"]


STYLES = (
    "<styleSheet><numFmts><numFmt numFmtId='164' formatCode='yyyy\\-mm\\-dd\\ hh:mm'/>"
    "<numFmt numFmtId='165' formatCode='[h]:mm:ss'/>"
    "<numFmt numFmtId='166' formatCode='0.0&quot; days&quot;'/></numFmts>"
    "<cellXfs><xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='164'/><xf numFmtId='165'/><xf numFmtId='166'/>"
    "</cellXfs>"
    "</styleSheet>"
)


def workbook(cells: str, attributes: str = "", more: Mapping[str, str] | None = None) -> bytes:
    return office(
        {
            "xl/workbook.xml": f"<workbook><workbookPr {attributes}/><sheets><sheet name='S'/></sheets></workbook>",
            "xl/styles.xml": STYLES,
            "xl/worksheets/sheet1.xml": f"<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>",
            **(more or {}),
        }
    )


@pytest.mark.parametrize(
    ("cells", "attributes", "text"),
    [
        ("<c s='1'><v>45413</v></c><c s='2'><v>45413.354166667</v></c>", "", "2024-05-01\t2024-05-01 08:30\n\n"),
        ("<c s='3'><v>1.25</v></c><c s='4'><v>1.25</v></c><c><v>45413</v></c>", "", "30:00:00\t1.25\t45413\n\n"),
        ("<c s='1'><v>43951</v></c>", "date1904='1'", "2024-05-01\n\n"),
        ("<c s='1' t='s'><v>0</v></c><c t='b'><v>1</v></c><c t='str' s='1'><v>7</v></c>", "", "TRUE\t7\n\n"),
    ],
)
def test_date_cells_are_shown_as_dates(cells: str, attributes: str, text: str) -> None:
    assert text_of(workbook(cells, attributes), XLSX) == text


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("1", "d.m.yyyy", "1900-01-01"),
        ("60", "yyyy", "1900-02-29"),
        ("61", "yyyy", "1900-03-01"),
        ("0.5", "h:mm AM/PM", "12:00"),
        ("0.999999999", "mm:ss", "00:00"),
        ("45413.0000116", "yyyy-mm-dd hh:mm:ss", "2024-05-01 00:00:01"),
        ("45413", "[$-409]mmmm d, yyyy;@", "2024-05-01"),
        ("45413", '"year" 0', None),
        ("45413", "[Red]#,##0", None),
        ("45413", "General", None),
        ("45413", "0.00E+00", None),
        ("-1", "yyyy", "-1"),
        ("1e300", "yyyy", "1e300"),
        ("nan", "yyyy", "nan"),
        ("x", "yyyy", "x"),
    ],
)
def test_numbers_with_a_date_format_are_shown_as_dates(value: str, code: str, shown: str | None) -> None:
    kind = cell_dates.date_format(200, code)
    assert (cell_dates.format_value(value, kind, since_1904=False) if kind else None) == shown


def test_text_of_a_workbook_has_comments_boxes_and_headings() -> None:
    text = text_of(
        workbook(
            "<c><v>1</v></c>",
            more={
                "xl/worksheets/_rels/sheet1.xml.rels": relations(
                    ("comments", "../comments1.xml"), ("drawing", "../d.xml")
                ),
                "xl/comments1.xml": "<comments><comment><text><r><t>said</t></r></text></comment></comments>",
                "xl/d.xml": f"<wsDr>{paragraph('box')}</wsDr>",
                "xl/threadedComments/t.xml": "<a><threadedComment><text>answered</text></threadedComment></a>",
            },
        ),
        XLSX,
    )
    assert text.split() == ["1", "box", "said", "answered"]


def test_text_of_an_opendocument_has_comments_and_headings() -> None:
    body = "<body><p>a<annotation><creator>no</creator><p>said</p></annotation></p></body>"
    styles = "<styles><style><p>no</p></style><header><p>head</p></header></styles>"
    text = text_of(zipped({"mimetype": ODT, "content.xml": body, "styles.xml": styles}), ODT)
    assert text.split() == ["a", "said", "head"]


@pytest.mark.parametrize("wrong", ["&#xFFFE;", "&#0;", "&#x1F;", "&#xD800;", "&nbsp;", "&nosuch;", "\x01", "\ufffe"])
def test_one_invalid_character_loses_nothing_else(wrong: str) -> None:
    core = f"<core><title>Ti{wrong}tle</title><creator>Ada</creator></core>"
    parts = {"docProps/core.xml": core, "word/document.xml": f"<document>{paragraph(f'Haul{wrong}away')}</document>"}
    facts = facts_of(OfficeFacts(), office(parts), DOCX)
    assert (facts["title"][:2], facts["title"][-3:], facts["author"]) == ("Ti", "tle", "Ada")
    text = text_of(office(parts), DOCX)
    assert text.startswith("Haul")
    assert text.rstrip().endswith("away")


@pytest.mark.parametrize("core", ["<core><title>T</title><creator>", "<core>", "", "no XML", "<core><a></b></core>"])
def test_a_damaged_part_does_not_lose_the_others(core: str) -> None:
    app = "<Properties><Application>A</Application></Properties>"
    data = office({"docProps/core.xml": core, "docProps/app.xml": app, "word/document.xml": paragraph("body")})
    facts = facts_of(OfficeFacts(), data, DOCX)
    assert (facts["application"], facts["has_macros"]) == ("A", False)
    damaged = office({"word/document.xml": paragraph("body"), "word/footnotes.xml": f"<a>{paragraph('foot')}</b>"})
    result, text = done(Text(), damaged, DOCX)
    assert (text.split(), result.facts["text_cut"]) == (["body", "foot"], "a part of it is damaged")


# Office files from before 2007, and Outlook's messages


def word_97(pieces: list[tuple[str, bool]], *, locked: bool = False) -> bytes:
    """A document whose text lies in pieces, each narrow or wide ([MS-DOC] 2.4.1)."""
    data, places, ends = b"", [], [0]
    for text, wide in pieces:
        place = 0x400 + len(data)
        places.append(place if wide else 2 * place | 0x40000000)
        data += text.encode("utf-16-le" if wide else "cp1252")
        ends.append(ends[-1] + len(text))
    plan = struct.pack(f"<{len(ends)}I", *ends) + b"".join(struct.pack("<HIH", 0, place, 0) for place in places)
    table = b"\x01" + struct.pack("<H", 3) + b"abc" + b"\x02" + struct.pack("<I", len(plan)) + plan
    head = bytearray(0x400)
    struct.pack_into("<HH", head, 0, 0xA5EC, 0xC1)
    struct.pack_into("<H", head, 0x0A, 0x0200 | (0x0100 if locked else 0))
    struct.pack_into("<II", head, 0x1A2, 0, len(table))
    return samples.ole((("1Table", table), ("WordDocument", bytes(head) + data)))


def record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def biff(text: str) -> bytes:
    return struct.pack("<HB", len(text), 0) + text.encode("latin-1")


def excel_97() -> bytes:
    first, rest = biff("hawser")[:6], b"\x01" + "ser".encode("utf-16-le")
    shared = record(0xFC, struct.pack("<II", 2, 2) + biff("rope") + first) + record(0x3C, rest)
    formats = record(0x041E, struct.pack("<H", 200) + biff("yyyy-mm-dd hh:mm"))
    cells = [
        record(0xFD, struct.pack("<3HI", 0, 0, 0, 1)),
        record(0x0203, struct.pack("<3Hd", 0, 1, 1, 45413.0)),
        record(0x0203, struct.pack("<3Hd", 0, 2, 2, 45413.354166667)),
        record(0x027E, struct.pack("<3Hi", 1, 0, 0, 4250 << 2 | 3)),
        record(0xBD, struct.pack("<2H", 1, 1) + struct.pack("<HiHi", 0, 7 << 2 | 2, 0, 8 << 2 | 2) + b"\2\0"),
        record(0x06, struct.pack("<3H", 2, 0, 0) + bytes(6) + b"\xff\xff" + bytes(8)) + record(0x0207, biff("made")),
        record(0x01B6, bytes(10) + struct.pack("<H", 3) + bytes(6)) + record(0x3C, b"\0box") + record(0x3C, bytes(8)),
    ]
    styles = b"".join(record(0xE0, struct.pack("<2H", 0, number) + bytes(16)) for number in (0, 14, 200))
    book = record(0x0809, bytes(16)) + record(0x22, b"\0\0") + formats + styles + shared
    return samples.ole((("Workbook", book + record(0x0809, bytes(16)) + b"".join(cells)),))


def powerpoint_97() -> bytes:
    def atom(kind: int, data: bytes, version: int = 0) -> bytes:
        return struct.pack("<HHI", version, kind, len(data)) + data

    master = atom(0x03F8, atom(0x0FA0, "no".encode("utf-16-le")), 0x0F)
    slide = atom(0x03EE, atom(0x0FA0, "Größe\rZwei".encode("utf-16-le")) + atom(0x0FA8, b"narrow"), 0x0F)
    return samples.ole((("PowerPoint Document", master + slide),))


def outlook(**streams: bytes) -> bytes:
    named = tuple((f"__substg1.0_{name[1:]}", data) for name, data in streams.items())
    return samples.ole((("__properties_version1.0", b""), *named))


#: The example of [MS-OXRTFCP] 3.1.
COMPRESSED = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
)
DOC, XLS = "application/msword", "application/vnd.ms-excel"
PPT, MSG = "application/vnd.ms-powerpoint", "application/vnd.ms-outlook"


@pytest.mark.parametrize(
    ("data", "mime_type", "text"),
    [
        (word_97([("One\r\x13PAGE \x14", False), ("Größe\u2693\x15\x07\r", True)]), DOC, "One\nGröße\u2693\n"),
        (word_97([("no", False)], locked=True), DOC, ""),
        (samples.doc(), DOC, ""),
        (excel_97(), XLS, "hawser\t2024-05-01\t2024-05-01 08:30\n42.5\t7\t8\nmade\tbox\n\n"),
        (powerpoint_97(), PPT, "Größe\nZwei\nnarrow\n"),
        (outlook(_1000001F="Größe".encode("utf-16-le")), MSG, "Größe"),
        (outlook(_1000001E="Größe".encode("cp1252")), MSG, "Größe"),
        (outlook(_10130102="<meta charset=gb2312><p>朱镕基".encode("gb18030")), MSG, "朱镕基"),
        (outlook(_10090102=COMPRESSED), MSG, "hello world"),
        (samples.msg(), MSG, ""),
        (samples.locked_docx(), DOC, ""),
    ],
)
def test_binary_office_files_have_their_text(data: bytes, mime_type: str, text: str) -> None:
    assert text_of(data, mime_type).replace("\0", "").rstrip() == text.rstrip()


@pytest.mark.parametrize("make", [excel_97, powerpoint_97, lambda: word_97([("One", False), ("Two", True)])])
def test_a_damaged_binary_office_file_is_read_or_unreadable(make: Callable[[], bytes]) -> None:
    whole = make()
    for place in range(0x600, len(whole), 61):
        damaged = whole[:place] + b"\xff\xfe\xff\x7f" + whole[place + 4 :]
        for kind in (DOC, XLS, PPT):
            with contextlib.suppress(Unreadable):
                text_of(damaged, kind)


# PDF

FORM = pdf(
    [
        "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R 6 0 R 8 0 R 10 0 R]/DA(/Helv 0 Tf)>>>>",
        PAGES,
        page("/Contents 4 0 R/Annots[5 0 R 7 0 R 8 0 R 9 0 R 10 0 R 11 0 R 12 0 R]"),
        stream(b""),
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Ada Anchor)/Rect[0 0 100 20]/P 3 0 R>>",
        "<</FT/Ch/T(port)/V(Bergen)/Kids[7 0 R]/Ff 131072>>",
        "<</Type/Annot/Subtype/Widget/Parent 6 0 R/Rect[0 30 100 50]/P 3 0 R>>",
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(pw)/Ff 8192/V(secret)/Rect[0 60 100 80]>>",
        "<</Type/Annot/Subtype/Text/Contents<FEFF00470072D8000075>/Rect[0 0 10 10]>>",
        "<</Type/Annot/Subtype/Widget/FT/Btn/T(ok)/V/Yes/Rect[0 60 100 80]>>",
        "<</Type/Annot/Subtype/FreeText/Contents(Typed here)/Rect[0 0 10 10]>>",
        "<</Type/Annot/Subtype/Text/F 2/Contents(hidden)/Rect[0 0 10 10]>>",
    ]
)


def test_form_values_and_annotations_of_a_pdf_are_its_text() -> None:
    assert text_of(FORM, "application/pdf") == "Ada Anchor\nBergen\nGr\ufffdu\nTyped here\n"


@pytest.mark.parametrize("title", ["<FEFF0041D83D0042>", "<FEFF0041DC00>", r"(A\000B)", "<FEFF0041FFFE>"])
def test_a_pdf_title_with_an_invalid_character_loses_no_fact(title: str) -> None:
    objects = [CATALOGUE, PAGES, page(), stream(b""), f"<</Title{title}/Author(Ada)>>"]
    facts = facts_of(PdfFacts(), pdf(objects, "/Info 5 0 R"), "application/pdf")
    assert (facts["page_count"], facts["author"], facts["title"][0]) == (1, "Ada", "A")


def test_every_fact_is_cleaned_before_it_is_recorded() -> None:
    said = {"title": "a\0b\ud83d\ude00c\ud800", "author": "x\x1b[31m\x9b1m" + "y" * 9000}
    facts = checked_result(PdfFacts.about, {"facts": said, "renditions": [], "verdict": None, "detail": "\0"}, 0).facts
    assert facts["title"] == "ab\N{GRINNING FACE}c"
    assert facts["author"].startswith("x[31m1m")
    assert len(facts["author"]) == 4000


def test_form_feeds_part_the_pages_of_a_pdf() -> None:
    assert text_of(samples.text_pdf("One", "", "Three"), "application/pdf") == "One\n\n\f\n\n\fThree\n\n"
    assert text_of(samples.text_pdf("", "", "Three"), "application/pdf") == "\f\n\n\fThree\n\n"
