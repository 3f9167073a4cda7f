"""The size of a PDF's first page as it is shown, in points."""

from __future__ import annotations

import io
import zlib

import pytest

from tests import samples
from tests.pure.test_pictures import PROFILE, run
from windlass.processing.contract import StepContext
from windlass.processing.steps import pdf_pages
from windlass.processing.steps.pdf_facts import PdfFacts
from windlass.processing.steps.thumbnails import PdfThumbnail


def pdf(page: bytes, parent: bytes = b"", *more: bytes) -> bytes:
    return samples.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]" + parent + b">>",
        b"<</Type/Page/Parent 2 0 R" + page + b">>",
        *more,
    )


def packed(page: bytes) -> bytes:
    """The page in an object stream, as most programs write it now."""
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R" + page + b">>",
    )
    places, body = [], b""
    for number, text in enumerate(objects, 1):
        places.append(f"{number} {len(body)} ")
        body += text + b" "
    head = "".join(places).encode()
    data = zlib.compress(head + body)
    out = b"%PDF-1.7\n"
    stream = len(out)
    out += b"4 0 obj\n<</Type/ObjStm/N 3/First %d/Filter/FlateDecode/Length %d>>\nstream\n" % (len(head), len(data))
    out += data + b"\nendstream\nendobj\n"
    table = len(out)
    rows = b"\0\0\0\0\xff" + b"".join(bytes((2, 0, 0, 4, n)) for n in range(3))
    rows += b"\1" + stream.to_bytes(3) + b"\0" + b"\1" + table.to_bytes(3) + b"\0"
    out += b"5 0 obj\n<</Type/XRef/Size 6/W[1 3 1]/Root 1 0 R/Length %d>>\nstream\n" % len(rows)
    return out + rows + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % table


BOX = b"/MediaBox[0 0 200 100]"


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (pdf(BOX), (200, 100)),
        (pdf(BOX + b"/UserUnit 2"), (400, 200)),
        (pdf(BOX + b"/UserUnit 2.5/Rotate 90"), (250, 500)),
        (pdf(BOX + b"/UserUnit .5"), (100, 50)),
        (pdf(BOX + b"/UserUnit 0"), (200, 100)),
        (pdf(BOX + b"/UserUnit -3"), (200, 100)),
        (pdf(BOX + b"/UserUnit 4 0 R", b"", b"10"), (2000, 1000)),
        (pdf(BOX + b"/CropBox[0 0 100 50]/UserUnit 10"), (1000, 500)),
        (packed(BOX), (200, 100)),
        (packed(BOX + b"/UserUnit 3"), (600, 300)),
        (pdf(BOX + b"/CropBox[10 10 110 60]"), (100, 50)),
        (pdf(BOX + b"/CropBox[-50 -50 500 500]"), (200, 100)),
        (pdf(BOX + b"/CropBox[100 50 500 500]"), (100, 50)),
        (pdf(BOX + b"/CropBox[1000 1000 1100 1100]"), (200, 100)),
        (pdf(BOX + b"/CropBox[0 0 0 0]"), (200, 100)),
        (pdf(BOX + b"/CropBox[110 60 10 10]"), (100, 50)),
        (pdf(b"/CropBox[900 900 999 999]/Rotate -90", b"/MediaBox[0 0 300 400]"), (400, 300)),
        (pdf(b"", b"/MediaBox[0 0 300 400]/Rotate 90"), (400, 300)),
        (pdf(BOX, b"/CropBox[0 0 50 60]"), (50, 60)),
        (pdf(b"/MediaBox[-100 -50 100 50]"), (200, 100)),
        (pdf(b"/MediaBox[200 100 0 0]"), (200, 100)),
        (pdf(b"/MediaBox[0 0 0 0]"), (612, 792)),
    ],
)
def test_the_page_size_is_the_displayed_one(content: bytes, size: tuple[float, float]) -> None:
    facts = PdfFacts().run(StepContext(io.BytesIO(content), {"size": len(content)}, {})).facts
    assert (facts["page_width"], facts["page_height"]) == size
    (made,) = run(PdfThumbnail(), content, "application/pdf", PROFILE).renditions
    assert made.width is not None
    assert made.height is not None
    assert made.width / made.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_the_user_unit_of_another_page_is_ignored() -> None:
    content = samples.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 2/Kids[3 0 R 4 0 R]" + BOX + b">>",
        b"<</Type/Page/Parent 2 0 R>>",
        b"<</Type/Page/Parent 2 0 R/UserUnit 9>>",
    )
    assert PdfFacts().run(StepContext(io.BytesIO(content), {"size": 1}, {})).facts["page_width"] == 200


def test_a_page_whose_objects_cannot_be_read_is_no_drawing() -> None:
    """PDFium counts -1 objects on it. As a drawing it would be kept without loss, several times as large."""
    assert not pdf_pages._is_drawing(None)
