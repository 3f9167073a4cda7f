"""Limits of the work that decoding a picture may take, checked by its header: a small file may need gigabytes."""

from __future__ import annotations

from typing import Any, BinaryIO

from windlass.processing.contract import PermanentError
from windlass.processing.formats.pictures import jpeg_scans

#: Pictures with more pixels are not decoded (guarantees, ASVS 5.2.6): 16383 squared, the limit of sharp.
MAX_PIXELS = 16383 * 16383
#: Megabytes of pixels for pictures that the decoder holds as a whole.
MAX_HELD_MB = 640
#: Pixels that all scans of a JPEG file together may decode, in all components: some seconds. With arithmetic coding a
#: pixel takes many times as long.
MAX_SCANNED, MAX_SCANNED_ARITHMETIC = 4_000_000_000, 250_000_000
#: Pixels of an animation that are decoded to find a picture that is not blank.
MAX_ANIMATED = 500_000_000

_BYTES = {"uchar": 1, "char": 1, "ushort": 2, "short": 2}
#: Loaders of libvips that hold every pixel.
_HOLDING_LOADERS = ("heif", "webp")


def check(file: BinaryIO, header: Any) -> None:
    """``header`` is the libvips image before anything is decoded. Raises PermanentError beyond a limit."""
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise PermanentError(f"The picture has {pixels:,} pixels; at most {MAX_PIXELS:,} are decoded for a thumbnail.")
    loader = header.get("vips-loader")
    held = 0
    if loader.startswith(_HOLDING_LOADERS) or header.get_typeof("interlaced"):
        held = pixels * header.bands * _BYTES.get(header.format, 4)
    if loader.startswith("jpeg"):
        held = _check_scans(file)
    if held > MAX_HELD_MB << 20:
        raise PermanentError(
            f"The picture takes {held >> 20:,} MiB of memory to be shown; at most {MAX_HELD_MB} MiB are used for a "
            "thumbnail."
        )


def _check_scans(file: BinaryIO) -> int:
    """Return the bytes that the decoder holds between the scans of a JPEG file. Raises PermanentError."""
    header = jpeg_scans.read_scans(file, 0)
    if not header.pixels:
        return 0
    max_passes = max(1, (MAX_SCANNED_ARITHMETIC if header.arithmetic else MAX_SCANNED) // header.pixels)
    scans = jpeg_scans.read_scans(file, max_passes)
    if scans.passes > max(max_passes, min(scans.components, 4)):
        raise PermanentError(
            f"The picture would take too long to be shown: it goes over its {scans.pixels:,} pixels more than "
            f"{max_passes:,} times."
        )
    return scans.held


def max_pages(header: Any, limit: int) -> int:
    """Return how many of an animation's first pictures may be decoded, at most ``limit``."""
    pages = int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
    pixels: int = max(1, header.width * header.height)
    return max(1, min(pages, limit, MAX_ANIMATED // pixels))
