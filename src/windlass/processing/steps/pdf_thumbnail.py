"""A small picture of a PDF: its first page."""

from __future__ import annotations

from typing import Any

from windlass.processing.contract import About, PermanentError, StepContext, StepResult
from windlass.processing.formats.documents.pdf import first_page, opened
from windlass.processing.toolkit import pictures
from windlass.processing.toolkit.rehearsal import SAMPLES


class PdfThumbnail:
    """The first page on white paper, drawn in the largest width. A document that needs a password has none."""

    about = About(
        name="pdf_thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=("application/pdf",),
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("pypdfium2", "pyvips"),
    )

    def prepare(self) -> None:
        pictures.prepare()
        with SAMPLES["application/pdf"].open("rb") as file, opened(file) as document:
            _pixels(first_page(document), 64)

    def run(self, context: StepContext) -> StepResult:
        with opened(context.file) as document:
            if document is None:
                return StepResult(detail="A password is needed to read it.", skipped=True)
            if not len(document):
                raise PermanentError("The PDF has no pages.")
            image = _drawn(first_page(document), pictures.largest(context))
        return pictures.result(context, image)


def _drawn(page: Any, side: int) -> Any:
    """Pages have no pixels of their own: the first one fills the square, in whichever size it is printed."""
    import pyvips

    packed, width, height = _pixels(page, side)
    image = pyvips.Image.new_from_memory(packed, width, height, 3, "uchar")
    return image.copy(interpretation="srgb").copy_memory()


def _pixels(page: Any, side: int) -> tuple[bytes, int, int]:
    """Red, green and blue of each pixel; how many there are, across and down."""
    width, height = page.get_size()
    bitmap = page.render(scale=side / max(width, height, 1), rev_byteorder=True, prefer_bgrx=False)
    data, row = bytes(bitmap.buffer), bitmap.width * 3
    packed = b"".join(data[start : start + row] for start in range(0, len(data), bitmap.stride))
    return packed, bitmap.width, bitmap.height
