"""Shrink and encode thumbnails with libvips: rotated for display, in sRGB, without metadata, never enlarged."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO

from windlass.processing.contract import MadeRendition, Makes, StepContext, StepResult
from windlass.processing.toolkit import decode_limits, tone_mapping

#: Quality of the encoders (1 to 100), and libwebp's effort (0 to 6).
JPEG_QUALITY, WEBP_QUALITY, WEBP_EFFORT = 82, 80, 2
#: libwebp's settings for drawings, which lossless compression makes smaller than lossy: of these that are fast, the one
#: with the smallest files.
_LOSSLESS_WEBP: Mapping[str, Any] = {"lossless": True, "Q": 50, "effort": 0}
_LOSSY_WEBP: Mapping[str, Any] = {"Q": WEBP_QUALITY, "effort": WEBP_EFFORT}

NAME = "thumbnail"
#: The rendition that each thumbnail step announces.
MAKES = (Makes(NAME, "image", ("image/webp", "image/jpeg"), sized=True),)
TIMES = "\N{MULTIPLICATION SIGN}"

#: Pictures of an animation that are considered as its thumbnail.
MAX_PAGES = 60
#: Colour management. Each pixel goes through two profiles, which takes longer than everything else.
_COLOUR_MANAGEMENT: Mapping[str, Any] = {"output_profile": "srgb", "intent": "relative"}
#: Truncated WebP files up to this size are padded in memory.
MAX_PADDED_BYTES = 64 * 1024 * 1024
#: Below this standard deviation of levels (0 to 255) a picture is blank.
BLANK_DEVIATION = 4.0
#: The operations of libvips that this module calls.
_OPERATIONS = (
    "colourspace",
    "copy",
    "flatten",
    "jpegsave_buffer",
    "thumbnail_image",
    "thumbnail_source",
    "webpsave_buffer",
)


@cache
def load_operations() -> None:
    """Load the operations' signatures once for all children. Nothing is drawn: that would start threads."""
    import pyvips

    for name in _OPERATIONS:
        pyvips.Introspect.get(name)


def largest_width(context: StepContext) -> int:
    """Return the largest thumbnail width of the profile."""
    widths: Sequence[int] = context.profile["thumbnail_widths"]
    return max(widths)


def from_bytes(data: bytes, width: int, *, orientation: int = 1) -> Any:
    """Return a picture in memory, shrunk to fit. ``orientation`` is the EXIF value for a picture without its own.

    Raises pyvips.Error, PermanentError.
    """
    import pyvips

    def source() -> Any:
        return pyvips.Source.new_from_memory(data)

    small = _thumbnail(source, io.BytesIO(data), width)
    header = pyvips.Image.new_from_source(source(), "")
    if orientation == 1 or (header.get_typeof("orientation") and header.get("orientation") != 1):
        return small
    small = small.copy()
    small.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return small.autorot().copy_memory()


def from_file(file: BinaryIO, width: int) -> Any:
    """Return the picture in a file, shrunk while it is decoded. Raises pyvips.Error, PermanentError."""
    return _thumbnail(source_opener(file), file, width)


def source_opener(file: BinaryIO) -> Callable[[], Any]:
    """Return a function that opens the file as a source of libvips.

    A truncated WebP file is padded with zeros: libvips would read nothing of it.
    """
    import pyvips

    missing = _missing_webp_bytes(file)
    if missing:
        file.seek(0)
        padded = file.read() + bytes(missing)
        return lambda: pyvips.Source.new_from_memory(padded)

    def source() -> Any:
        file.seek(0)
        return pyvips.Source.new_from_descriptor(file.fileno())

    return source


def _missing_webp_bytes(file: BinaryIO) -> int:
    """Return how many bytes a truncated WebP file lacks; 0 for any other file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if size > MAX_PADDED_BYTES or head[:4] != b"RIFF" or head[8:] != b"WEBP":
        return 0
    full_size = 8 + int.from_bytes(head[4:8], "little")
    return full_size - size if size < full_size <= MAX_PADDED_BYTES else 0


def _thumbnail(source: Callable[[], Any], file: BinaryIO, width: int) -> Any:
    """``source`` opens the picture at each call."""
    import pyvips

    header = pyvips.Image.new_from_source(source(), "", access="sequential")
    decode_limits.check(file, header)
    transfer = tone_mapping.transfer_function(file, header)
    if transfer:
        small = pyvips.Image.thumbnail_source(source(), width, size="down")
        return tone_mapping.map_to_srgb(small.copy_memory(), transfer)
    return _shrink(source, width, header, _select_page(source, header))


def _shrink(source: Callable[[], Any], width: int, header: Any, page: int = 0) -> Any:
    """Return the shrunk picture in memory, so that further widths do not decode again."""
    import pyvips

    option = f"[page={page}]" if page else ""
    # A picture without a profile is sRGB, unless it is CMYK.
    has_profile = header.get_typeof("icc-profile-data") or header.interpretation == "cmyk"
    colours = _COLOUR_MANAGEMENT if has_profile else {}
    small = pyvips.Image.thumbnail_source(source(), width, option_string=option, size="down", **colours)
    return small.colourspace("srgb").copy_memory()


def _select_page(source: Callable[[], Any], header: Any) -> int:
    """Return the first picture of an animation, or if it is blank, another that is not."""
    pages = decode_limits.max_pages(header, MAX_PAGES)
    if pages < 2 or not header.get("vips-loader").startswith(("gif", "webp")):
        return 0
    last = pages - 1
    for page in sorted({0, min(1, last), last // 8, last // 4, last // 2, last}):
        if _deviation(_shrink(source, 64, header, page)) > BLANK_DEVIATION:
            return page
    return 0


def _deviation(image: Any) -> float:
    """Return the standard deviation of the visible levels; 0 for a single colour."""
    visible = image.flatten(background=255) if image.hasalpha() else image
    return float(visible.deviate())


def write_result(context: StepContext, image: Any, *, what: str = "") -> StepResult:
    """Write every width of the profile, from the picture in the largest. ``what`` precedes the size in the detail."""
    renditions = write_renditions(context, image)
    size = f"{renditions[0].width}{TIMES}{renditions[0].height}"
    return StepResult(renditions=renditions, detail=f"{what}, {size}" if what else size)


def write_renditions(context: StepContext, image: Any) -> tuple[MadeRendition, ...]:
    """Write each width. The first is named ``thumbnail``, each further one ``thumbnail-{width}``."""
    return tuple(
        write_image(context, NAME if index == 0 else f"{NAME}-{width}", shrink_to_fit(image, width))
        for index, width in enumerate(context.profile["thumbnail_widths"])
    )


def shrink_to_fit(image: Any, width: int) -> Any:
    """Return the image shrunk to fit, never enlarged."""
    return image if max(image.width, image.height) <= width else image.thumbnail_image(width, size="down")


def write_image(context: StepContext, name: str, image: Any, *, is_drawing: bool = False) -> MadeRendition:
    """Write in the profile's format, without metadata: it may contain where the picture was taken.

    ``is_drawing``: the image consists of text and lines.
    """
    if context.profile["thumbnail_format"] == "jpeg":
        if image.hasalpha():
            image = image.flatten(background=255)
        mime_type, data = "image/jpeg", image.jpegsave_buffer(Q=JPEG_QUALITY, keep="none")
    else:
        options = _LOSSLESS_WEBP if is_drawing else _LOSSY_WEBP
        mime_type, data = "image/webp", image.webpsave_buffer(**options, keep="none")
    return context.add_rendition(name, mime_type, data, width=image.width, height=image.height)
