"""The text in pictures and scans, by optical character recognition on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from windlass.kernel.media_types import RASTER_IMAGES
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.documents import pdf
from windlass.processing.formats.text.text_sink import MAKES, TextRendition
from windlass.processing.toolkit import picture_work

MOST_PAGES = 200
#: Seconds after which it makes do with the pages it has.
PATIENCE = 480.0
#: Pages are drawn, and pictures shrunk, to fit a square of so many pixels: what the recognition works on.
SIDE = 2000

#: One thread, no arena kept between runs, no turning of lines that stand on their head, not a word on the console.
_ENGINE = {
    "Global.log_level": "critical",
    "Global.use_cls": False,
    "Global.max_side_len": SIDE,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
}


class Ocr:
    """Reads pictures, and those pages of a PDF on which there is no text; the other pages' text is taken as it is.
    Reads Latin and Chinese script. At most 200 pages and eight minutes."""

    about = About(
        name="ocr",
        stage="describe",
        title="Recognising text",
        order=65,
        isolated=True,
        weight=20,
        wanted_by="ocr",
        mime_types=("application/pdf", *RASTER_IMAGES),
        gives={
            "text_characters": "characters of the text that was got out of the file",
            "text_cut": "why that is not all of it",
            "ocr_pages": "pages or pictures that were looked at for text",
        },
        makes=(MAKES,),
        libraries=(
            "windlass.processing.formats.disable_telemetry",  # before the one that it quietens
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
        sink, reader = TextRendition(context.output, PATIENCE), _Reader()
        if context.facts["mime_type"] == "application/pdf":
            sink.take(_pdf(context, reader, sink))
        else:
            sink.take(_pictures(context, reader, sink))
        made = sink.finish()
        facts: dict[str, Any] = {"text_characters": sink.characters if made else 0, "ocr_pages": reader.pages}
        if sink.why_cut:
            facts["text_cut"] = sink.why_cut
        said = f"{sink.characters} characters" if made else "No text was recognised."
        return StepResult(facts, (made,) if made else (), detail=said)


class _Reader:
    """The engine, loaded for the first page that needs it: its threads and memory belong to this process alone."""

    def __init__(self) -> None:
        self._engine: Any = None
        self.pages = 0

    def lines(self, picture: Any) -> str:
        """``picture``: an array of height, width and blue, green, red."""
        if self._engine is None:
            import windlass.processing.formats.disable_telemetry  # noqa: F401  see `libraries`

            import cv2  # isort: skip
            import rapidocr  # isort: skip

            cv2.setNumThreads(0)
            self._engine = rapidocr.RapidOCR(params=_ENGINE)
        self.pages += 1
        found = self._engine(picture)
        if found.boxes is None or found.txts is None:
            return ""
        return _joined([(box[:, 0].min(), box[:, 1].min(), box[:, 1].max()) for box in found.boxes], found.txts)


def _joined(places: list[tuple[float, float, float]], texts: tuple[str, ...]) -> str:
    """Stretches beside each other become one line. ``places``: left, top and bottom of each, from top to bottom."""
    lines: list[list[tuple[float, str]]] = []
    middle = height = 0.0
    for (left, top, bottom), text in zip(places, texts, strict=True):
        if not lines or abs((top + bottom) / 2 - middle) > height / 2:
            lines.append([])
            middle, height = (top + bottom) / 2, bottom - top
        lines[-1].append((left, text))
    return "\n".join(" ".join(text for _, text in sorted(line)) for line in lines)


def _pdf(context: StepContext, reader: _Reader, sink: TextRendition) -> Iterator[str]:
    with pdf.opened(context.file) as document:
        count = len(document) if document is not None else 0
        if count:
            pdf.prepare_fields(document)
        for number in range(min(count, pdf.MOST_PAGES)):
            context.report(100 * number // count)
            found = pdf.page_text(document, number)
            if not found.strip() and reader.pages >= MOST_PAGES:
                sink.note(f"only {MOST_PAGES} pages were recognised")
            elif not found.strip():
                found = reader.lines(_drawn(document, number))
            yield f"{found}\n\n"
            yield from pdf.annotation_texts(document, number)


def _drawn(document: Any, number: int) -> Any:
    import pypdfium2

    with damaged(pypdfium2.PdfiumError, what="page"), closing(document[number]) as page:
        # At most 200 dots for each of its inches, of which a point is the 72nd part.
        scale = min(SIDE / max(*page.get_size(), 1), 200 / 72)
        with closing(page.render(scale=scale, rev_byteorder=False, prefer_bgrx=False)) as bitmap:
            drawn = bitmap.to_numpy()
            return drawn[:, :, :3].copy() if drawn.ndim == 3 and drawn.shape[2] >= 3 else drawn.copy()


def _pictures(context: StepContext, reader: _Reader, sink: TextRendition) -> Iterator[str]:
    """Of a TIFF, which may hold the pages of a document, each; of an animation the first frame."""
    import pyvips

    with damaged(pyvips.Error, what="picture"):
        header: Any = pyvips.Image.new_from_source(_source(context), "", access="sequential")
        picture_work.check(context.file, header)
        is_document = context.facts["mime_type"] == "image/tiff" and header.get_typeof("n-pages")
        pages = int(header.get("n-pages")) if is_document else 1
    if pages > MOST_PAGES:
        sink.note(f"only {MOST_PAGES} pages were recognised")
    for number in range(min(pages, MOST_PAGES)):
        context.report(100 * number // pages)
        yield f"{reader.lines(_decoded(context, f'page={number}' if pages > 1 else ''))}\n\n"


def _decoded(context: StepContext, options: str) -> Any:
    import pyvips

    with damaged(pyvips.Error, what="picture"):
        small: Any = pyvips.Image.thumbnail_source(_source(context), SIDE, size="down", option_string=options)
        small = (small.flatten(background=255) if small.hasalpha() else small).colourspace("srgb").cast("uchar")
        return small.numpy()[:, :, ::-1].copy()


def _source(context: StepContext) -> Any:
    import pyvips

    context.file.seek(0)
    return pyvips.Source.new_from_descriptor(context.file.fileno())
