"""Pictures of a PDF's pages, for reading it in a browser without downloading it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from windlass.processing.contract import About, MadeRendition, Makes, StepContext, StepResult
from windlass.processing.formats.documents.pdf import opened, pdfium_api, shown_page
from windlass.processing.formats.read_limits import MB, Deadline
from windlass.processing.toolkit.pdf_rendering import render_page
from windlass.processing.toolkit.pixels import srgb_image
from windlass.processing.toolkit.thumbnail_encoding import load_operations, write_image
from windlass.processing.toolkit.warm_up import SAMPLES

NAME = "page"
#: The most that a profile may ask for.
MOST_PAGES = 200
#: A page fills this many pixels, and no side is longer: text of an ordinary page can be read.
PIXELS, LONGEST_SIDE = 1_000_000, 2000
#: When no further page is begun, and the page that is being rendered is given up: seconds, and bytes of the pictures.
SECONDS, MOST_BYTES = 15.0, 32 * MB
#: Objects of a page that are looked at for whether it is a drawing.
MOST_OBJECTS = 20_000


class PdfPages:
    """The first pages, as many as the profile's `preview_pages`, each of a million pixels, on white; numbered as in the
    document. A damaged page is left out. Ends after 15 seconds or 32 MiB with the pages made by then. An encrypted
    document has none."""

    about = About(
        name="pdf_pages",
        stage="derive",
        title="Making pictures of the pages",
        order=60,
        isolated=True,
        weight=2,
        mime_types=("application/pdf",),
        wanted_by="preview_pages",
        makes=(Makes(NAME, NAME, ("image/webp", "image/jpeg"), numbered=MOST_PAGES),),
        libraries=("pypdfium2", "pypdfium2.raw", "pyvips"),
        least_level="full",
    )

    def prepare(self) -> None:
        load_operations()
        with SAMPLES["application/pdf"].open("rb") as file, opened(file) as document:
            _render(document, 0, Deadline())

    def run(self, context: StepContext) -> StepResult:
        with opened(context.file) as document:
            if document is None:
                return StepResult(detail="A password is needed to read it.", skipped=True)
            total = len(document)
            wanted = min(total, context.profile["preview_pages"], MOST_PAGES)
            made = tuple(_pictures(context, document, wanted))
        return StepResult(renditions=made, detail=_detail(len(made), wanted, total))


def _pictures(context: StepContext, document: Any, wanted: int) -> Iterator[MadeRendition]:
    import pypdfium2

    deadline, size = Deadline(SECONDS), 0
    for index in range(wanted):
        try:
            page = _render(document, index, deadline)
        except pypdfium2.PdfiumError:  # damaged; the others may be whole
            continue
        if page is None:
            return
        image = srgb_image(page.pixels, page.width, page.height)
        picture = write_image(context, f"{NAME}-{index + 1}", image, is_drawing=page.is_drawing)
        size += picture.length
        yield picture
        context.report(100 * (index + 1) // wanted)
        if size > MOST_BYTES or deadline.has_passed():
            return


@dataclass(frozen=True, slots=True)
class _RenderedPage:
    """``pixels``: packed RGB. ``is_drawing``: there is nothing on it but text and lines."""

    pixels: bytes
    width: int
    height: int
    is_drawing: bool


def _render(document: Any, index: int, deadline: Deadline) -> _RenderedPage | None:
    """Return None where the time is up."""
    with closing(shown_page(document, index)) as page:
        width, height = _size(*page.get_size())
        pixels = render_page(page, width, height, deadline.has_passed)
        return None if pixels is None else _RenderedPage(pixels, width, height, is_drawing=_is_drawing(page))


def _is_drawing(page: Any) -> bool:
    """Whether the page has no picture, no shading and no form that may contain one. Of a page with very many objects,
    the first are looked at."""
    pdfium = pdfium_api()
    count = min(pdfium.FPDFPage_CountObjects(page), MOST_OBJECTS)
    kinds = {pdfium.FPDFPageObj_GetType(pdfium.FPDFPage_GetObject(page, number)) for number in range(count)}
    return count >= 0 and kinds <= {pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_PATH}  # -1: they cannot be read


def _size(width: float, height: float) -> tuple[int, int]:
    """Return the size in pixels: pages have none of their own."""
    width, height = max(width, 0.01), max(height, 0.01)
    scale = min(math.sqrt(PIXELS / (width * height)), LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _detail(made: int, wanted: int, total: int) -> str:
    pages = f"{made} of {total} pages" if made < total else f"{made} page{'s' * (made != 1)}"
    return f"{pages}; some are damaged or take too long" if made < wanted else pages
