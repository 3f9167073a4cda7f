"""Pictures of older formats, which libvips is built without: decoded by FFmpeg's codecs, one file as one packet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from windlass.kernel.media_types import canonical
from windlass.processing.contract import PermanentError, Unreadable, damaged

ICONS = ("image/vnd.microsoft.icon", "image/x-win-bitmap")
#: Type -> FFmpeg's decoder. The portable maps tell theirs in their first two bytes.
DECODERS: Mapping[str, str] = {
    "image/bmp": "bmp",
    "image/vnd.zbrush.pcx": "pcx",
    "image/x-portable-anymap": "",
    "image/x-portable-bitmap": "",
    "image/x-portable-graymap": "",
    "image/x-portable-pixmap": "",
    "image/x-tga": "targa",
}
_PORTABLE = {b"P1": "pbm", b"P2": "pgm", b"P3": "ppm", b"P4": "pbm", b"P5": "pgm", b"P6": "ppm", b"P7": "pam"}

#: The file is read whole, as these decoders want it.
MAX_FILE_MB = 256
MAX_PIXELS = 64_000_000


def decoded(file: BinaryIO, mime_type: str, size: int) -> Any:
    """The picture (pyvips), of an icon the largest; red, green, blue, and alpha where it has any.

    Raises Unreadable, PermanentError.
    """
    import av
    import pyvips

    if size > MAX_FILE_MB << 20:
        raise PermanentError(
            f"The picture has {size >> 20:,} MiB; of this kind, at most {MAX_FILE_MB} MiB are read for a thumbnail."
        )
    file.seek(0)
    data = file.read(size)
    with damaged(av.FFmpegError, ValueError, what="picture"):
        frames = _of_icon(data) if canonical(mime_type) in ICONS else _of_codec(data, mime_type)
        frame = max(frames, key=lambda each: each.width * each.height, default=None)
        if frame is None:
            raise Unreadable("The picture cannot be read: nothing in it could be decoded.")
        bands = 4 if any(component.is_alpha for component in frame.format.components) else 3
        plain = frame.reformat(format="rgba" if bands == 4 else "rgb24")
    plane = plain.planes[0]
    pixels, row = bytes(plane), plain.width * bands
    packed = b"".join(
        pixels[start : start + row] for start in range(0, plane.line_size * plain.height, plane.line_size)
    )
    image = pyvips.Image.new_from_memory(packed, plain.width, plain.height, bands, "uchar")
    return image.copy(interpretation="srgb")


def _of_codec(data: bytes, mime_type: str) -> Iterator[Any]:
    import av

    name = DECODERS[canonical(mime_type)] or _PORTABLE.get(data[:2], "ppm")
    codec: Any = av.CodecContext.create(name, "r")
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    yield from codec.decode(av.Packet(data))
    yield from codec.decode(None)


def _of_icon(data: bytes) -> Iterator[Any]:
    import av

    with av.open(io.BytesIO(data), "r", format="ico", options={"max_pixels": str(MAX_PIXELS)}) as container:
        for packet in container.demux():
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
