"""Small real files of each kind, made as they are asked for: nothing binary lies in the repository.

Each function gives bytes and remembers them for the session.
"""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction
from functools import cache
from typing import Any

#: EXIF orientation 6: the picture is shown turned by 90 degrees clockwise.
TURNED_RIGHT = 6


@cache
def jpeg(width: int = 320, height: int = 200, orientation: int = 1) -> bytes:
    """A picture whose left half is red and whose right half is blue, before the orientation is applied."""
    return bytes(_two_colours(width, height, orientation).jpegsave_buffer(Q=90))


@cache
def noisy_jpeg(width: int = 2400, height: int = 1800) -> bytes:
    """About 2 MB, as a camera makes it."""
    import pyvips

    grain = pyvips.Image.gaussnoise(width, height, mean=128, sigma=22, seed=1)
    picture = grain.bandjoin([grain.rot180(), grain.fliphor()]).cast("uchar").copy(interpretation="srgb")
    return bytes(picture.jpegsave_buffer(Q=80))


@cache
def png(width: int = 64, height: int = 48) -> bytes:
    return bytes(_two_colours(width, height).pngsave_buffer())


@cache
def webp(width: int = 64, height: int = 48) -> bytes:
    return bytes(_two_colours(width, height).webpsave_buffer())


@cache
def gif(width: int = 32, height: int = 24, frames: int = 3) -> bytes:
    """An animation."""
    import pyvips

    rows = [_two_colours(width, height).rot180() if n % 2 else _two_colours(width, height) for n in range(frames)]
    strip = pyvips.Image.arrayjoin(rows, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    return bytes(strip.gifsave_buffer())


@cache
def huge_png(side: int = 65535) -> bytes:
    """A header that claims four thousand million pixels, and hardly a byte behind it."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(3 * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def pdf(pages: int = 2, title: str = "A sample") -> bytes:
    """Written by hand, with a cross-reference table that is right."""
    numbers = range(3, 3 + pages)
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Count {pages}/Kids[{kids}]>>"]
    objects += ["<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>" for _ in numbers]
    objects.append(f"<</Title({title})>>")
    body, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj{text}endobj\n".encode()
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer<</Size {size}/Root 1 0 R/Info {size - 1} 0 R>>\n"
    return body + f"{tail}startxref\n{len(body)}\n%%EOF\n".encode()


@cache
def mp4(width: int = 320, height: int = 240, seconds: int = 2, turned: int = 0) -> bytes:
    """``turned``: counter-clockwise degrees in the display matrix, as a telephone held upright writes it."""
    return _video("mp4", "mpeg4", width, height, seconds, turned)


@cache
def webm(width: int = 160, height: int = 120, seconds: int = 1) -> bytes:
    return _video("webm", "libvpx", width, height, seconds, 0)


@cache
def mp3(seconds: int = 2, title: str = "Windlass", artist: str = "Anchor") -> bytes:
    return _audio("mp3", "libmp3lame", seconds, title, artist)


@cache
def wav(seconds: int = 1) -> bytes:
    return _audio("wav", "pcm_s16le", seconds, "", "")


@cache
def m4a(seconds: int = 1) -> bytes:
    return _audio("ipod", "aac", seconds, "Windlass", "Anchor")


@cache
def flac(seconds: int = 1) -> bytes:
    return _audio("flac", "flac", seconds, "Windlass", "Anchor")


def html() -> bytes:
    return b"<!DOCTYPE html>\n<html><body><script>alert(1)</script></body></html>\n"


def svg() -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>\n'


def text(words: str = "Haul away.\n") -> bytes:
    return words.encode()


@cache
def archive(*names: str) -> bytes:
    """A zip with a file of each name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names or ("a.txt",):
            made.writestr(zipfile.ZipInfo(name), f"content of {name}")
    return out.getvalue()


def truncated(whole: bytes, share: float = 0.5) -> bytes:
    """The beginning of a file whose rest was lost."""
    return whole[: int(len(whole) * share)]


def _two_colours(width: int, height: int, orientation: int = 1) -> Any:
    import pyvips

    red = pyvips.Image.black(width // 2, height).new_from_image([220, 20, 20])
    blue = pyvips.Image.black(width - width // 2, height).new_from_image([20, 20, 220])
    picture = red.join(blue, "horizontal").cast("uchar").copy(interpretation="srgb")
    if orientation != 1:
        picture.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return picture


def _video(container: str, codec: str, width: int, height: int, seconds: int, turned: int) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as made:
        stream: Any = made.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        if turned:
            stream.set_display_rotation(turned)
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(25 * seconds):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


def _audio(container: str, codec: str, seconds: int, title: str, artist: str, rate: int = 44100) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as made:
        made.metadata.update({key: value for key, value in (("title", title), ("artist", artist)) if value})
        stream: Any = made.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 128_000
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1152
        for start in range(0, rate * seconds, size):
            frame = av.AudioFrame(format=stream.codec_context.format.name, layout="stereo", samples=size)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


@cache
def video(container: str, codec: str, width: int = 176, height: int = 144, seconds: int = 1) -> bytes:
    """In any container and codec that FFmpeg can write."""
    return _video(container, codec, width, height, seconds, 0)


@cache
def sound(container: str, codec: str, seconds: int = 1) -> bytes:
    rate = 48000 if codec == "libopus" else 44100
    return _audio(container, codec, seconds, "Windlass", "Anchor", rate)


@cache
def tiff(width: int = 64, height: int = 48, pages: int = 1) -> bytes:
    import pyvips

    strip = pyvips.Image.arrayjoin([_two_colours(width, height)] * pages, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    return bytes(strip.tiffsave_buffer())


@cache
def avif(width: int = 64, height: int = 48, orientation: int = 1) -> bytes:
    return bytes(_two_colours(width, height, orientation).heifsave_buffer(compression="av1"))


@cache
def heic(width: int = 64, height: int = 48, turned: int = 0) -> bytes:
    """One HEVC picture in HEIF's boxes; ``turned``: quarters counter-clockwise. libvips cannot write this kind."""
    film = _video("mp4", "libx265", width, height, 1, 0)
    place = film.index(b"hvcC") - 4
    setup = film[place : place + int.from_bytes(film[place : place + 4])]
    place = film.index(b"mdat") + 4
    picture = film[place : place + 4000]
    sides = _box(b"ispe", bytes(4) + width.to_bytes(4) + height.to_bytes(4))
    turns = _box(b"irot", bytes([turned]))
    entry = _box(b"infe", b"\2\0\0\0\0\1\0\0hvc1\0")
    links = b"\0\0\0\0\0\0\0\1\0\1\3\x81\2\x83"
    properties = _box(b"iprp", _box(b"ipco", setup + sides + turns) + _box(b"ipma", links))

    def meta(offset: int) -> bytes:
        where = b"\0\0\0\0\x44\0\0\1\0\1\0\0\0\1" + offset.to_bytes(4) + len(picture).to_bytes(4)
        parts = _box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + _box(b"pitm", bytes(4) + b"\0\1")
        parts += _box(b"iloc", where) + _box(b"iinf", b"\0\0\0\0\0\1" + entry) + properties
        return _box(b"meta", bytes(4) + parts)

    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", picture)


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body
