"""The thumbnail of a PDF: its first page."""

from __future__ import annotations

from typing import Any

from windlass.processing.contract import About, PermanentError, StepContext, StepResult
from windlass.processing.formats.documents.pdf import first_page, opened
from windlass.processing.toolkit import thumbnails
from windlass.processing.toolkit.pixels import packed_rows, srgb_image
from windlass.processing.toolkit.warm_up import SAMPLES


class PdfThumbnail:
    """The first page on white, rendered in the largest width. An encrypted document has no thumbnail."""

    about = About(
        name="pdf_thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=("application/pdf",),
        wanted_by="thumbnails",
        makes=thumbnails.MAKES,
        libraries=("pypdfium2", "pyvips"),
    )

    def prepare(self) -> None:
        thumbnails.prepare()
        with SAMPLES["application/pdf"].open("rb") as file, opened(file) as document:
            _render(first_page(document), 64)

    def run(self, context: StepContext) -> StepResult:
        with opened(context.file) as document:
            if document is None:
                return StepResult(detail="A password is needed to read it.", skipped=True)
            if not len(document):
                raise PermanentError("The PDF has no pages.")
            page = _render(first_page(document), thumbnails.largest_width(context))
        return thumbnails.write_result(context, srgb_image(*page).copy_memory())


def _render(page: Any, side: int) -> tuple[bytes, int, int]:
    """Render a page to fill a square of ``side``: pages have no size in pixels. Return packed RGB, width, height."""
    width, height = page.get_size()
    bitmap = page.render(scale=side / max(width, height, 1), rev_byteorder=True, prefer_bgrx=False)
    pixels = packed_rows(bytes(bitmap.buffer), bitmap.width * 3, bitmap.stride, bitmap.height)
    return pixels, bitmap.width, bitmap.height
