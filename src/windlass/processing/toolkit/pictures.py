"""Small pictures of pictures, by libvips: upright, in sRGB, without metadata, never larger than what they show."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO

from windlass.processing.contract import MadeRendition, Makes, StepContext, StepResult
from windlass.processing.toolkit import picture_work, tone_mapping

NAME = "thumbnail"
#: What each step that draws thumbnails announces.
MAKES = (Makes(NAME, "image", ("image/webp", "image/jpeg"), sized=True),)
TIMES = "\N{MULTIPLICATION SIGN}"

#: Of an animation, this many pictures at most are looked at for one that shows something.
MOST_PAGES = 60
#: Colours as they are to look on screens. Each pixel goes through two profiles, which takes longer than all else.
_MANAGED: Mapping[str, Any] = {"output_profile": "srgb", "intent": "relative"}
#: The largest WebP file that is filled in memory where its end is missing.
MOST_FILLED = 64 * 1024 * 1024
#: Below this standard deviation (of 255) a picture is one colour.
BLANK = 4.0


#: What is done to pictures here, by libvips' names.
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
def prepare() -> None:
    """Let the binding learn how these are called, which it else does in each child. Nothing is drawn: that would start
    threads."""
    import pyvips

    for name in _OPERATIONS:
        pyvips.Introspect.get(name)


def largest(context: StepContext) -> int:
    """The side of the largest square that the profile asks for."""
    widths: Sequence[int] = context.profile["thumbnail_widths"]
    return max(widths)


def of_bytes(data: bytes, width: int, *, orientation: int = 1) -> Any:
    """A picture in memory, shrunk to fit. ``orientation`` is EXIF's, for one that does not tell its own. Raises
    pyvips.Error, PermanentError."""
    import pyvips

    def source() -> Any:
        return pyvips.Source.new_from_memory(data)

    small = _of_source(source, io.BytesIO(data), width)
    header = pyvips.Image.new_from_source(source(), "")
    if orientation == 1 or (header.get_typeof("orientation") and header.get("orientation") != 1):
        return small
    small = small.copy()
    small.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return small.autorot().copy_memory()


def of_file(file: BinaryIO, width: int) -> Any:
    """The picture in a file, shrunk while it is decoded. Raises as ``of_bytes``."""
    return _of_source(opener(file), file, width)


def opener(file: BinaryIO) -> Callable[[], Any]:
    """Opens the file as a source of libvips, anew at each call. A WebP file that lacks its last bytes is filled with
    zeros, or nothing of it could be read."""
    import pyvips

    missing = _missing(file)
    if missing:
        file.seek(0)
        whole = file.read() + bytes(missing)
        return lambda: pyvips.Source.new_from_memory(whole)

    def source() -> Any:
        file.seek(0)
        return pyvips.Source.new_from_descriptor(file.fileno())

    return source


def _missing(file: BinaryIO) -> int:
    """Bytes that a WebP file lacks at its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if size > MOST_FILLED or head[:4] != b"RIFF" or head[8:] != b"WEBP":
        return 0
    whole = 8 + int.from_bytes(head[4:8], "little")
    return whole - size if size < whole <= MOST_FILLED else 0


def _of_source(source: Callable[[], Any], file: BinaryIO, width: int) -> Any:
    """``source`` opens the file anew at each call."""
    import pyvips

    header = pyvips.Image.new_from_source(source(), "", access="sequential")
    picture_work.check(file, header)
    transfer = tone_mapping.transfer_of(file, header)
    if transfer:
        small = pyvips.Image.thumbnail_source(source(), width, size="down")
        return tone_mapping.mapped(small.copy_memory(), transfer)
    return _shrunk(source, width, header, _page(source, header))


def _shrunk(source: Callable[[], Any], width: int, header: Any, page: int = 0) -> Any:
    """In memory, so that further widths do not decode again."""
    import pyvips

    option = f"[page={page}]" if page else ""
    small = pyvips.Image.thumbnail_source(
        source(), width, option_string=option, size="down", **(_MANAGED if _has_profile(header) else {})
    )
    return small.colourspace("srgb").copy_memory()


def _has_profile(header: Any) -> bool:
    """Whether its colours are its own. Without a profile a picture is sRGB, unless it was made for print."""
    return bool(header.get_typeof("icc-profile-data")) or header.interpretation == "cmyk"


def _page(source: Callable[[], Any], header: Any) -> int:
    """Of an animation: the first picture, unless it is blank and another is not."""
    pages = picture_work.pages(header, MOST_PAGES)
    if pages < 2 or not header.get("vips-loader").startswith(("gif", "webp")):
        return 0
    last = pages - 1
    for page in sorted({0, min(1, last), last // 8, last // 4, last // 2, last}):
        if _variety(_shrunk(source, 64, header, page)) > BLANK:
            return page
    return 0


def _variety(image: Any) -> float:
    """Standard deviation of what is seen; 0 for one colour."""
    seen = image.flatten(background=255) if image.hasalpha() else image
    return float(seen.deviate())


def result(context: StepContext, image: Any, *, what: str = "") -> StepResult:
    """Every width that the profile asks for, from the picture in the largest. ``what`` goes before the size."""
    made = save(context, image)
    size = f"{made[0].width}{TIMES}{made[0].height}"
    return StepResult(renditions=made, detail=f"{what}, {size}" if what else size)


def save(context: StepContext, image: Any) -> tuple[MadeRendition, ...]:
    """The first width's is called ``thumbnail``, each further one's ``thumbnail-{width}``."""
    widths: Sequence[int] = context.profile["thumbnail_widths"]
    return tuple(
        _write(context, NAME if index == 0 else f"{NAME}-{width}", fitting(image, width))
        for index, width in enumerate(widths)
    )


def fitting(image: Any, width: int) -> Any:
    """Shrunk to fit, never enlarged."""
    return image if max(image.width, image.height) <= width else image.thumbnail_image(width, size="down")


def _write(context: StepContext, name: str, image: Any) -> MadeRendition:
    """Metadata stays behind: it may say where the picture was taken."""
    if context.profile["thumbnail_format"] == "jpeg":
        if image.hasalpha():
            image = image.flatten(background=255)
        mime_type, data = "image/jpeg", image.jpegsave_buffer(Q=82, keep="none")
    else:
        mime_type, data = "image/webp", image.webpsave_buffer(Q=80, effort=2, keep="none")
    return context.add_rendition(name, mime_type, data, width=image.width, height=image.height)
