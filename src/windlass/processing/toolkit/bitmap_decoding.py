"""Decode pictures of older formats with FFmpeg's codecs: libvips is built without them. One file is one packet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from windlass.kernel.media_types import canonical
from windlass.processing.contract import PermanentError, Unreadable, damaged
from windlass.processing.toolkit.pixels import packed_plane, srgb_image

ICONS = ("image/vnd.microsoft.icon", "image/x-win-bitmap")
#: Type -> FFmpeg's decoder. The first two bytes of a portable map name its decoder.
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

#: These decoders need the whole file in memory.
MAX_FILE_MB = 256
MAX_PIXELS = 64_000_000


def decode(file: BinaryIO, mime_type: str, size: int) -> Any:
    """Return the picture (of an icon the largest) as an RGB or RGBA image. Raises Unreadable, PermanentError."""
    import av

    if size > MAX_FILE_MB << 20:
        raise PermanentError(
            f"The picture has {size >> 20:,} MiB; of this kind, at most {MAX_FILE_MB} MiB are read for a thumbnail."
        )
    file.seek(0)
    data = file.read(size)
    with damaged(av.FFmpegError, ValueError, what="picture"):
        frames = _icon_frames(data) if canonical(mime_type) in ICONS else _codec_frames(data, mime_type)
        frame = max(frames, key=lambda each: each.width * each.height, default=None)
        if frame is None:
            raise Unreadable("The picture cannot be read: nothing in it could be decoded.")
        bands = 4 if any(component.is_alpha for component in frame.format.components) else 3
        rgb = frame.reformat(format="rgba" if bands == 4 else "rgb24")
    return srgb_image(packed_plane(rgb, bands), rgb.width, rgb.height, bands)


def _codec_frames(data: bytes, mime_type: str) -> Iterator[Any]:
    import av

    name = DECODERS[canonical(mime_type)] or _PORTABLE.get(data[:2], "ppm")
    codec: Any = av.CodecContext.create(name, "r")
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    yield from codec.decode(av.Packet(data))
    yield from codec.decode(None)


def _icon_frames(data: bytes) -> Iterator[Any]:
    import av

    with av.open(io.BytesIO(data), "r", format="ico", options={"max_pixels": str(MAX_PIXELS)}) as container:
        for packet in container.demux():
            with suppress(av.FFmpegError):
                yield from packet.decode()
