"""Optical character recognition of pictures and scans, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from windlass.kernel.media_type_tables import RASTER_IMAGES
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.documents import pdf
from windlass.processing.formats.text.text_rendition import GIVES, MAKES, TextRendition, page_of_text
from windlass.processing.toolkit import decode_limits

MAX_PAGES = 200
#: Seconds after which the recognition ends with the pages done so far.
TIME_LIMIT_SECONDS = 480.0
#: Pages are rendered, and pictures shrunk, to fit a square with this side (pixels).
MAX_SIDE = 2000

#: One thread, no memory kept between runs, no detection of lines that are upside down, no console output.
_ENGINE = {
    "Global.log_level": "critical",
    "Global.use_cls": False,
    "Global.max_side_len": MAX_SIDE,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
}


class Ocr:
    """Recognizes text in pictures, and on pages of a PDF that have no text; other pages keep their text. Reads Latin
    and Chinese script. At most 200 pages and eight minutes."""

    about = About(
        name="ocr",
        stage="describe",
        title="Recognising text",
        order=65,
        isolated=True,
        weight=20,
        wanted_by="ocr",
        mime_types=("application/pdf", *RASTER_IMAGES),
        gives=GIVES | {"ocr_pages": "pages or pictures on which text was recognized"},
        makes=(MAKES,),
        libraries=(
            "windlass.processing.formats.disable_onnx_telemetry",  # before onnxruntime, whose telemetry it disables
            "onnxruntime",
            "numpy",
            "cv2",
            "rapidocr",
            "pyvips",
            "pypdfium2",
        ),
        extra="ocr",
        long=True,
    )

    def run(self, context: StepContext) -> StepResult:
        if context.facts["mime_type"] == "application/pdf" and context.facts.get("pages_without_text") == 0:
            return StepResult(detail="Every page has text already.")
        assert context.output is not None  # it was announced to make something
        sink, recognizer = TextRendition(context.output, TIME_LIMIT_SECONDS), _Recognizer()
        if context.facts["mime_type"] == "application/pdf":
            sink.take(_pdf_text(context, recognizer, sink))
        else:
            sink.take(_picture_text(context, recognizer, sink))
        return sink.finish("No text was recognised.", ocr_pages=recognizer.pages)


class _Recognizer:
    """The engine, loaded for the first page that needs it: its threads and memory must belong to this child."""

    def __init__(self) -> None:
        self._engine: Any = None
        self.pages = 0

    def lines(self, picture: Any) -> str:
        """``picture``: an array of height, width and blue, green, red."""
        if self._engine is None:
            import windlass.processing.formats.disable_onnx_telemetry  # noqa: F401  see `libraries`

            import cv2  # isort: skip
            import rapidocr  # isort: skip

            cv2.setNumThreads(0)
            self._engine = rapidocr.RapidOCR(params=_ENGINE)
        self.pages += 1
        result = self._engine(picture)
        if result.boxes is None or result.txts is None:
            return ""
        boxes = [(box[:, 0].min(), box[:, 1].min(), box[:, 1].max()) for box in result.boxes]
        return _join_lines(boxes, result.txts)


def _join_lines(boxes: list[tuple[float, float, float]], texts: tuple[str, ...]) -> str:
    """Join texts beside each other into one line. ``boxes``: left, top and bottom of each text, from top to bottom."""
    lines: list[list[tuple[float, str]]] = []
    middle = height = 0.0
    for (left, top, bottom), text in zip(boxes, texts, strict=True):
        if not lines or abs((top + bottom) / 2 - middle) > height / 2:
            lines.append([])
            middle, height = (top + bottom) / 2, bottom - top
        lines[-1].append((left, text))
    return "\n".join(" ".join(text for _, text in sorted(line)) for line in lines)


def _pdf_text(context: StepContext, recognizer: _Recognizer, sink: TextRendition) -> Iterator[str]:
    with pdf.opened(context.file) as document:
        count = len(document) if document is not None else 0
        if count:
            pdf.prepare_fields(document)
        for number in range(min(count, pdf.MOST_PAGES)):
            context.report(100 * number // count)
            text = pdf.page_text(document, number)
            if not text.strip() and recognizer.pages >= MAX_PAGES:
                sink.note(f"only {MAX_PAGES} pages were recognised")
            elif not text.strip():
                text = recognizer.lines(_render_page(document, number))
            yield page_of_text(number, text)
            yield from pdf.annotation_texts(document, number)


def _render_page(document: Any, number: int) -> Any:
    import pypdfium2

    with damaged(pypdfium2.PdfiumError, what="page"), closing(document[number]) as page:
        # At most 200 dots per inch; a point is 1/72 inch.
        scale = min(MAX_SIDE / max(*page.get_size(), 1), 200 / 72)
        with closing(page.render(scale=scale, rev_byteorder=False, prefer_bgrx=False)) as bitmap:
            pixels = bitmap.to_numpy()
            return pixels[:, :, :3].copy() if pixels.ndim == 3 and pixels.shape[2] >= 3 else pixels.copy()


def _picture_text(context: StepContext, recognizer: _Recognizer, sink: TextRendition) -> Iterator[str]:
    """Recognize each page of a TIFF, which may be a scanned document; of an animation the first frame."""
    import pyvips

    with damaged(pyvips.Error, what="picture"):
        header: Any = pyvips.Image.new_from_source(_source(context), "", access="sequential")
        decode_limits.check(context.file, header)
        is_document = context.facts["mime_type"] == "image/tiff" and header.get_typeof("n-pages")
        pages = int(header.get("n-pages")) if is_document else 1
    if pages > MAX_PAGES:
        sink.note(f"only {MAX_PAGES} pages were recognised")
    for number in range(min(pages, MAX_PAGES)):
        context.report(100 * number // pages)
        picture = _decode_picture(context, f"page={number}" if pages > 1 else "")
        yield page_of_text(number, recognizer.lines(picture))


def _decode_picture(context: StepContext, options: str) -> Any:
    import pyvips

    with damaged(pyvips.Error, what="picture"):
        small: Any = pyvips.Image.thumbnail_source(_source(context), MAX_SIDE, size="down", option_string=options)
        small = (small.flatten(background=255) if small.hasalpha() else small).colourspace("srgb").cast("uchar")
        return small.numpy()[:, :, ::-1].copy()


def _source(context: StepContext) -> Any:
    import pyvips

    context.file.seek(0)
    return pyvips.Source.new_from_descriptor(context.file.fileno())
