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

#: Without it FFmpeg writes random ids and its version into files.
SAME_EACH_TIME = {"fflags": "bitexact"}


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
    with av.open(out, "w", format=container, options=SAME_EACH_TIME) as made:
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
    with av.open(out, "w", format=container, options=SAME_EACH_TIME) as made:
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


@cache
def camera_jpeg(suffix: str = ".jpg", orientation: int = 1) -> bytes:
    """With what a camera writes: where and when it was taken, by what, and in which colours."""
    import pyvips

    picture = (
        _two_colours(120, 80, orientation).icc_transform("p3", input_profile="srgb").copy(xres=11.811, yres=11.811)
    )
    for name, value in {
        "ifd0-Make": "Anchor & Sons",
        "ifd0-Model": "Haul (II), black",
        "ifd0-Software": "Pawl 1.0",
        "ifd0-Artist": "Ann",
        "ifd0-Copyright": "Ann, 2024",
        "ifd2-LensModel": "35mm f/1.8",
        "ifd2-DateTimeOriginal": "2024:05:06 07:08:09",
        "ifd2-OffsetTimeOriginal": "+02:00",
        "ifd2-ExposureTime": "1/250",
        "ifd2-FNumber": "18/10",
        "ifd2-ISOSpeedRatings": "400",
        "ifd2-FocalLength": "35/1",
        "ifd2-FocalLengthIn35mmFilm": "52",
        "ifd3-GPSLatitude": "33/1 51/1 3000/100",
        "ifd3-GPSLatitudeRef": "S",
        "ifd3-GPSLongitude": "151/1 12/1 0/1",
        "ifd3-GPSLongitudeRef": "E",
        "ifd3-GPSAltitude": "585/10",
        "ifd3-GPSAltitudeRef": "0",
    }.items():
        picture.set_type(pyvips.GValue.gstr_type, f"exif-{name}", value)
    return bytes(picture.write_to_buffer(suffix))


@cache
def animated_webp(width: int = 32, height: int = 24, frames: int = 4, delay: int = 250, loop: int = 3) -> bytes:
    import pyvips

    rows = [_two_colours(width, height).rot180() if n % 2 else _two_colours(width, height) for n in range(frames)]
    strip = pyvips.Image.arrayjoin(rows, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    strip.set_type(pyvips.GValue.gint_type, "loop", loop)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [delay] * frames)
    return bytes(strip.webpsave_buffer())


def pdf_of(*objects: bytes, info: bytes = b"", trailer: bytes = b"", version: str = "1.7") -> bytes:
    """A PDF of these objects, numbered from 1, the catalogue first; ``info`` is its dictionary of information."""
    body, places = f"%PDF-{version}\n".encode(), []
    every = [*objects, b"<<" + info + b">>"]
    for number, text in enumerate(every, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n".encode() + text + b"\nendobj\n"
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(every) + 1
    table = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer<</Size {size}/Root 1 0 R/Info {size - 1} 0 R".encode()
    return body + table + trailer + f">>\nstartxref\n{len(body)}\n%%EOF\n".encode()


def _stream(body: bytes) -> bytes:
    return b"<</Length %d>>stream\n%s\nendstream" % (len(body), body)


@cache
def rich_pdf() -> bytes:
    """A page with text, a form with two fields, an attachment, a script, and all that a document says of itself."""
    names = b"/Names<</EmbeddedFiles<</Names[(a.txt)7 0 R]>>/JavaScript<</Names[(s)9 0 R]>>>>"
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R 6 0 R]>>" + names + b">>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R/Annots[5 0 R 6 0 R]"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        _stream(b"BT /F 12 Tf 10 50 Td (Haul away) Tj ET"),
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(one)/Rect[0 0 9 9]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(two)/Rect[9 9 19 19]>>",
        b"<</Type/Filespec/F(a.txt)/EF<</F 8 0 R>>>>",
        _stream(b"attached"),
        b"<</S/JavaScript/JS(app.alert\\(1\\))>>",
        info=b"/Title(A form)/Author(Ann)/Subject(Chains)/Keywords(haul, pawl)/Creator(Pen)/Producer(Press)"
        b"/CreationDate(D:20240506070809+02'00')/ModDate(D:20240507)",
    )


@cache
def locked_pdf(password: bytes = b"", owner: bytes = b"owner") -> bytes:
    """Encrypted as ISO 32000-1, 7.6.3 has it (RC4, 40 bits); with an empty user's password anybody may read it."""
    import hashlib
    import struct

    padding = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
    ident, permissions = bytes(16), -4
    padded = (password + padding)[:32]
    of_owner = _rc4(hashlib.md5((owner + padding)[:32], usedforsecurity=False).digest()[:5], padded)
    seed = padded + of_owner + struct.pack("<i", permissions) + ident
    key = hashlib.md5(seed, usedforsecurity=False).digest()[:5]
    lock = f"<</Filter/Standard/V 1/R 2/P {permissions}/O<{of_owner.hex()}>/U<{_rc4(key, padding).hex()}>>>".encode()
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>",
        trailer=b"/Encrypt " + lock + f"/ID[<{ident.hex()}><{ident.hex()}>]".encode(),
    )


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


@cache
def live_webm(seconds: int = 2, uneven: bool = False) -> bytes:
    """As a browser's MediaRecorder writes it: no duration and no index in the header."""
    return _film("webm", "libvpx", seconds, {"live": "1"}, uneven)


@cache
def uneven_mp4(seconds: int = 2) -> bytes:
    """A variable rate: each second picture is left out in the second half. 25 + 12 or so in two seconds."""
    return _film("mp4", "mpeg4", seconds, {}, uneven=True)


@cache
def told_mov() -> bytes:
    """A film that says where and when it was made, with a title."""
    told = {"title": "Hauling", "creation_time": "2024-05-06T07:08:09Z", "location": "+59.3293+018.0686/"}
    return _film("mov", "mpeg4", 1, {}, metadata=told)


@cache
def wide_mp4() -> bytes:
    """Pixels twice as wide as they are high."""
    return _film("mp4", "mpeg4", 1, {}, ratio=Fraction(2, 1))


@cache
def hdr_mp4() -> bytes:
    """Marked as PQ, ten bits deep."""
    return _film("mp4", "libx265", 1, {}, pixels="yuv420p10le", transfer=16)


def _film(
    container: str,
    codec: str,
    seconds: int,
    options: dict[str, str],
    uneven: bool = False,
    *,
    metadata: dict[str, str] | None = None,
    ratio: Fraction | None = None,
    pixels: str = "yuv420p",
    transfer: int | None = None,
) -> bytes:
    import av

    out: Any = io.BytesIO()
    if "live" in options:
        out = _NoSeeking(out)
    with av.open(out, "w", format=container, options=options | SAME_EACH_TIME) as made:
        made.metadata.update(metadata or {})
        stream: Any = made.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        if transfer:
            stream.codec_context.color_trc = transfer
        frame = av.VideoFrame(160, 120, pixels)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(25 * seconds):
            if uneven and number > 12 * seconds and number % 2:
                continue
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return bytes(out.getvalue())


class _NoSeeking:
    """What is sent while it is written cannot be gone back to."""

    def __init__(self, out: io.BytesIO) -> None:
        self.write, self.getvalue = out.write, out.getvalue


@cache
def mp3_with_cover() -> bytes:
    from mutagen.id3 import APIC, ID3, TIT2

    out = io.BytesIO(mp3())
    tags = ID3()
    tags.add(TIT2(encoding=3, text="Covered"))
    tags.add(APIC(encoding=3, mime="image/jpeg", type=3, desc="Cover", data=jpeg(64, 64)))
    tags.save(out)
    return out.getvalue()


@cache
def two_languages() -> bytes:
    """A Matroska film with two sound tracks and chapters."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="matroska", options=SAME_EACH_TIME) as made:
        tracks: list[Any] = []
        for language in ("swe", "jpn"):
            track: Any = made.add_stream("flac", rate=44100, layout="mono")
            track.metadata["language"] = language
            tracks.append(track)
        base = Fraction(1, 1000)
        made.set_chapters(
            [
                {"id": n, "start": n * 500, "end": n * 500 + 500, "time_base": base, "metadata": {"title": f"Part {n}"}}
                for n in range(2)
            ]
        )
        for track in tracks:
            frame = av.AudioFrame(format="s16", layout="mono", samples=4410)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
            made.mux(track.encode(frame))
            made.mux(track.encode())
    return out.getvalue()
