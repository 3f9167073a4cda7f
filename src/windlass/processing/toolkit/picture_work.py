"""What a picture would take to be decoded, by its header: a small file may ask for minutes and gigabytes."""

from __future__ import annotations

from typing import Any, BinaryIO

from windlass.processing.contract import PermanentError
from windlass.processing.formats.pictures import jpeg_scans

#: Above this many pixels nothing is decoded (guarantees, ASVS 5.2.6): 16383 squared, as sharp has it.
MAX_PIXELS = 16383 * 16383
#: Megabytes of pixels in pictures that must be held whole to be shown.
MAX_HELD_MB = 640
#: Pixels that the scans of a JPEG file may go over, in all its components: some seconds. Arithmetic coding takes many
#: times as long as its bytes would let one think.
MAX_SCANNED, MAX_SCANNED_ARITHMETIC = 4_000_000_000, 250_000_000
#: Pixels of an animation that are decoded while a picture is looked for that shows something.
MAX_ANIMATED = 500_000_000

_BYTES = {"uchar": 1, "char": 1, "ushort": 2, "short": 2}
#: Loaders of libvips that hold every pixel.
_HOLDING = ("heif", "webp")


def check(file: BinaryIO, header: Any) -> None:
    """``header`` is libvips' image before anything is decoded. Raises PermanentError."""
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise PermanentError(f"The picture has {pixels:,} pixels; at most {MAX_PIXELS:,} are decoded for a thumbnail.")
    loader = header.get("vips-loader")
    held = 0
    if loader.startswith(_HOLDING) or header.get_typeof("interlaced"):
        held = pixels * header.bands * _BYTES.get(header.format, 4)
    if loader.startswith("jpeg"):
        held = _check_scans(file)
    if held > MAX_HELD_MB << 20:
        raise PermanentError(
            f"The picture takes {held >> 20:,} MiB of memory to be shown; at most {MAX_HELD_MB} MiB are used for a "
            "thumbnail."
        )


def _check_scans(file: BinaryIO) -> int:
    """Bytes that are held between the scans."""
    header = jpeg_scans.read_scans(file, 0)
    if not header.pixels:
        return 0
    most = max(1, (MAX_SCANNED_ARITHMETIC if header.arithmetic else MAX_SCANNED) // header.pixels)
    found = jpeg_scans.read_scans(file, most)
    if found.passes > max(most, min(found.components, 4)):
        raise PermanentError(
            f"The picture would take too long to be shown: it goes over its {found.pixels:,} pixels more than "
            f"{most:,} times."
        )
    return found.held


def pages(header: Any, most: int) -> int:
    """How many pictures of an animation may be looked at, beginning with the first."""
    shown = int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
    pixels: int = max(1, header.width * header.height)
    return max(1, min(shown, most, MAX_ANIMATED // pixels))
