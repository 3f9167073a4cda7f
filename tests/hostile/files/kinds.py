"""Files whose type is hard to tell: much before the root, tables that are bombs, documents behind other bytes."""

from __future__ import annotations

from tests.hostile.catalogue import hostile
from tests.hostile.files.archives import MB, Entry, zipped
from tests.hostile.files.documents import pdf
from tests.hostile.files.pictures import SVG, laughs, svg


@hostile("comment.svg")
def svg_behind_a_long_comment() -> bytes:
    """A comment of 80 MB before the root, which is more than is read."""
    return b"<!--" + b"x" * (80 * MB) + b"-->" + svg("")


@hostile("comments.svg")
def svg_behind_many_comments() -> bytes:
    """Four million comments before the root."""
    return b"<!---->" * 4_000_000 + svg("")[21:]


@hostile("instructions.svg")
def svg_behind_many_instructions() -> bytes:
    """Four million instructions before the root."""
    return b"<?x?>" * 4_000_000 + svg("")[21:]


@hostile("quotes.svg")
def svg_with_quotes_without_end() -> bytes:
    """A document type and a tag of megabytes, full of quotes and brackets that are never closed."""
    return b"<!DOCTYPE svg [" + b"]'\"<" * MB + b"<svg a='" + b"\"'" * MB


@hostile("root.svg")
def svg_whose_root_is_an_entity_bomb() -> bytes:
    """A billion laughs in an attribute of the root."""
    return laughs("x:svg", attributes=f"{SVG} a='&l9;'")


@hostile("types.docx")
def docx_whose_tables_are_bombs() -> bytes:
    """A billion laughs in the table of content types, a million relationships."""
    return zipped(
        [
            Entry(
                b"[Content_Types].xml", laughs("Types", "<Override PartName='/word/document.xml' ContentType='&l9;'/>")
            ),
            Entry(b"_rels/.rels", b"<Relationships>" + b"<Relationship/>" * 1_000_000 + b"</Relationships>"),
            Entry(b"word/document.xml", b"<x/>"),
        ]
    )


@hostile("behind.pdf")
def pdf_behind_other_bytes() -> bytes:
    """A document that goes in circles, behind a thousand bytes, so that it is opened to be known."""
    return bytes(1000) + pdf(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 9/Kids[2 0 R 1 0 R 2 0 R]>>"])


@hostile("behind.txt")
def text_with_a_pdf_that_is_none() -> bytes:
    """A long text that names itself a PDF at both ends."""
    return b"See:\n%PDF-1.7\n" + b"1 0 obj << >> endobj\n" * 50_000 + b"startxref\n1\n%%EOF\n"
