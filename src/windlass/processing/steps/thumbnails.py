"""The thumbnail steps: of pictures, audio, video, PDF and documents."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from windlass.kernel.media_type_tables import BITMAP_IMAGES, RASTER_IMAGES, RAW_IMAGES
from windlass.kernel.media_types import matches
from windlass.processing.contract import About, PermanentError, StepContext, StepResult, damaged
from windlass.processing.formats.documents import compound_file, epub
from windlass.processing.formats.documents.pdf import first_page, opened
from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.pictures import raw_photos
from windlass.processing.formats.read_limits import MB, Deadline
from windlass.processing.formats.text import xml_events
from windlass.processing.toolkit import bitmap_decoding, frame_selection, recordings
from windlass.processing.toolkit.pdf_rendering import render_page
from windlass.processing.toolkit.pixels import srgb_image
from windlass.processing.toolkit.thumbnail_encoding import (
    MAKES,
    from_bytes,
    from_file,
    largest_width,
    load_operations,
    shrink_to_fit,
    write_result,
)
from windlass.processing.toolkit.warm_up import SAMPLES
from windlass.processing.toolkit.waveforms import compute_peaks, draw_waveform

#: Maximum bytes of the preview in a raw photograph.
MAX_PREVIEW_BYTES = 64 * MB
#: Seconds after which drawing a page is given up.
PAGE_SECONDS = 20.0

EPUB = "application/epub+zip"
#: Names of preview images: Office, OpenDocument, Apple.
PREVIEW_NAMES = (
    "docProps/thumbnail.jpeg",
    "docProps/thumbnail.jpg",
    "docProps/thumbnail.png",
    "Thumbnails/thumbnail.png",
)
#: Names of previews in Windows' drawing formats, which are not read.
DRAWING_NAMES = ("docProps/thumbnail.emf", "docProps/thumbnail.wmf")
MAX_MARKUP_BYTES, MAX_PICTURE_BYTES = 4 * MB, 32 * MB


def _about(name: str, title: str, mime_types: tuple[str, ...], libraries: tuple[str, ...]) -> About:
    return About(
        name=name,
        stage="derive",
        title=title,
        order=10,
        isolated=True,
        mime_types=mime_types,
        wanted_by="thumbnails",
        makes=MAKES,
        libraries=libraries,
    )


class _ThumbnailStep:
    def prepare(self) -> None:
        load_operations()


class Thumbnail(_ThumbnailStep):
    """Fits into a square of each of the profile's widths, rotated for display, in sRGB, without metadata, never
    enlarged. Of an animation it is a picture that is not blank; of a damaged picture, what can be decoded.
    """

    about = _about("thumbnail", "Making the thumbnail", (*RASTER_IMAGES, *BITMAP_IMAGES, *RAW_IMAGES), ("av", "pyvips"))

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        width, kind = largest_width(context), context.facts["mime_type"]
        with damaged(pyvips.Error, what="picture"):
            if matches(kind, BITMAP_IMAGES):
                bitmap = bitmap_decoding.decode(context.file, kind, context.facts["size"])
                return write_result(context, shrink_to_fit(bitmap, width).copy_memory())
            if matches(kind, RAW_IMAGES):
                return _raw_thumbnail(context, width)
            return write_result(context, _vips_image(context, width))


class AudioThumbnail(_ThumbnailStep):
    """The cover art of an audio file. Without cover art, the waveform step draws the thumbnail."""

    about = _about("audio_thumbnail", "Looking for the cover", recordings.AUDIO_TYPES, ("av", "pyvips"))

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with recordings.open_recording(context) as container, damaged(pyvips.Error, what="cover"):
            return _cover_art(context, container) or StepResult(detail="no cover")


class VideoThumbnail(_ThumbnailStep):
    """A frame that is neither black nor blank, rotated for display, with square pixels; high dynamic range is mapped to
    sRGB. Of a recording without video: its cover art, else its waveform.
    """

    about = _about("video_thumbnail", "Making the thumbnail", recordings.VIDEO_TYPES, ("av", "pyvips"))

    def prepare(self) -> None:
        super().prepare()
        with SAMPLES["video/mp4"].open("rb") as file:
            context = StepContext(file, {"mime_type": "video/mp4"}, {})
            with recordings.open_recording(context) as container:
                frame_selection.warm_up(container, recordings.main_video_stream(container))

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            with recordings.open_recording(context) as container:
                if recordings.main_video_stream(container) is None:
                    return _cover_art(context, container) or _waveform(context, container)
                image, at = frame_selection.select_frame_of(context, container, largest_width(context))
            return write_result(context, image, what=f"at {at:.1f} s")


class PdfThumbnail(_ThumbnailStep):
    """The first page on white, rendered in the largest width. An encrypted document has no thumbnail, nor has one whose
    first page takes more than 20 seconds."""

    about = _about("pdf_thumbnail", "Making the thumbnail", ("application/pdf",), ("pypdfium2", "pyvips"))

    def prepare(self) -> None:
        super().prepare()
        with SAMPLES["application/pdf"].open("rb") as file, opened(file) as document:
            _render(first_page(document), 64)

    def run(self, context: StepContext) -> StepResult:
        with opened(context.file) as document:
            if document is None:
                return StepResult(detail="A password is needed to read it.", skipped=True)
            if not len(document):
                raise PermanentError("The PDF has no pages.")
            page = _render(first_page(document), largest_width(context))
        return write_result(context, srgb_image(*page).copy_memory())


class DocumentThumbnail(_ThumbnailStep):
    """The preview image stored in the document, or a book's cover. A document without one has no thumbnail: rendering
    it needs an office program.
    """

    about = _about(
        "document_thumbnail",
        "Looking for the preview",
        (
            "application/vnd.openxmlformats-officedocument.*",
            "application/vnd.oasis.opendocument.*",
            "application/vnd.ms-*.12",  # Office with macros
            EPUB,
        ),
        ("pyvips", "zlib_ng", "bz2", "lzma"),
    )

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        if context.file.read(8).startswith(compound_file.SIGNATURE):  # how encrypted Office documents are stored
            return StepResult(detail="A password is needed to read it.", skipped=True)
        packed = ZipPackage(context.file)
        parts = (_part(packed, name) for name in PREVIEW_NAMES)
        preview = _book_cover(packed) if context.facts["mime_type"] == EPUB else next(filter(None, parts), b"")
        has_drawing = not packed.names.isdisjoint(DRAWING_NAMES)
        if not preview:
            detail = "its preview is a Windows drawing, which is not read" if has_drawing else "no preview in it"
            return StepResult(detail=detail)
        with damaged(pyvips.Error, what="preview"):
            return write_result(context, from_bytes(preview, largest_width(context)))


def _vips_image(context: StepContext, width: int) -> Any:
    """Return the picture; for a sequence without a main picture, a frame of it that is not blank."""
    import pyvips

    try:
        return from_file(context.file, width)
    except pyvips.Error:
        if not matches(context.facts["mime_type"], recordings.SEQUENCES):
            raise
        return frame_selection.select_frame(context, width)[0]


def _raw_thumbnail(context: StepContext, width: int) -> StepResult:
    """Use the preview that the camera stored in the file, rotated like the photograph."""
    photo = raw_photos.read_raw_photo(context.file, context.facts["size"])
    preview = next((each for each in photo.previews if each.length <= MAX_PREVIEW_BYTES), None) if photo else None
    if photo is None or preview is None:
        return StepResult(detail="no preview in it")
    context.file.seek(preview.offset)
    image = from_bytes(context.file.read(preview.length), width, orientation=photo.orientation)
    return write_result(context, image, what="preview")


def _cover_art(context: StepContext, container: Any) -> StepResult | None:
    picture = recordings.cover_image(container)
    if picture is None:
        return None
    return write_result(context, from_bytes(picture, largest_width(context)), what="cover")


def _waveform(context: StepContext, container: Any) -> StepResult:
    if recordings.main_audio_stream(container) is None:
        return StepResult(detail="The recording has neither pictures nor sound.")
    return write_result(context, draw_waveform(compute_peaks(container, context.report), largest_width(context)))


def _render(page: Any, side: int) -> tuple[bytes, int, int]:
    """Render a page to fill a square of ``side``: pages have no size in pixels. Return packed RGB, width, height.

    Raises PermanentError for a page that takes too long.
    """
    page_width, page_height = page.get_size()
    scale = side / max(page_width, page_height, 1)
    width, height = max(1, math.ceil(page_width * scale)), max(1, math.ceil(page_height * scale))
    pixels = render_page(page, width, height, Deadline(PAGE_SECONDS).has_passed)
    if pixels is None:
        raise PermanentError("The first page takes too long to be drawn.")
    return pixels, width, height


def _book_cover(packed: ZipPackage) -> bytes:
    """Find the cover by the package document (EPUB 3.3, 5.5.2); older books use ``meta name="cover"``."""
    package = epub.package_path(packed)
    items: list[Mapping[str, str]] = []
    meta_cover_ids: set[str] = set()
    for event in xml_events.events(packed.blocks(package, MAX_MARKUP_BYTES)):
        if event.kind == "start" and event.name == "item":
            items.append(event.attributes)
        elif event.kind == "start" and event.name == "meta" and event.attributes.get("name") == "cover":
            meta_cover_ids.add(event.attributes.get("content", ""))
    by_property = (item for item in items if "cover-image" in item.get("properties", "").split())
    by_meta = (item for item in items if item.get("id") in meta_cover_ids)
    path = next((item.get("href", "") for item in (*by_property, *by_meta)), "")
    return _part(packed, posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(path))))


def _part(packed: ZipPackage, name: str) -> bytes:
    """Return the whole part; nothing if it exceeds the limit."""
    data = packed.read(name, MAX_PICTURE_BYTES)
    return b"" if packed.cut else data
