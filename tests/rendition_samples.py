"""Files whose pictures and sounds can be told apart: a red side, a loud half, a black intro."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from tests import samples

RED, GREEN, BLUE = (200, 30, 30), (20, 160, 60), (30, 30, 200)
#: A colour that sRGB has too, so that it must look the same after any detour.
ORANGE = (200, 80, 40)


def plain(width: int, height: int, colour: tuple[int, ...]) -> Any:
    import pyvips

    return pyvips.Image.black(width, height).new_from_image(list(colour)).copy(interpretation="srgb")


@cache
def in_profile(profile: str, depth: int = 8) -> bytes:
    """An orange picture whose numbers mean something in this profile only."""
    picture = plain(400, 300, ORANGE).icc_transform(profile, input_profile="srgb", depth=depth)
    if profile == "cmyk":
        return bytes(picture.jpegsave_buffer(Q=95))
    return bytes(picture.pngsave_buffer(bitdepth=depth))


@cache
def see_through_png() -> bytes:
    """Red on the left, nothing on the right."""
    red, nothing = plain(100, 100, RED).bandjoin(255), plain(100, 100, GREEN).bandjoin(0)
    return bytes(red.join(nothing, "horizontal").pngsave_buffer())


@cache
def animation(format: str) -> bytes:
    """It begins with a black picture; the others are red on the left and blue on the right."""
    import pyvips

    black, shown = plain(64, 48, (0, 0, 0)), plain(32, 48, RED).join(plain(32, 48, BLUE), "horizontal")
    strip = pyvips.Image.arrayjoin([black, shown, shown], across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 48)
    return bytes(strip.gifsave_buffer() if format == "gif" else strip.webpsave_buffer())


@cache
def film(
    *,
    container: str = "mp4",
    codec: str = "libx264",
    width: int = 320,
    height: int = 180,
    rate: int = 25,
    seconds: float = 4,
    black: float = 0,
    keyframes: int = 250,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction = Fraction(1),
    sound: str | None = "stereo",
    hdr: bool = False,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """Red on the left and blue on the right, with grain, after a black intro of so many seconds; and a tone."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as made:
        video: Any = made.add_stream(codec, rate=rate, options=_FAST.get(codec, {}) | dict(options))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p10le" if hdr else "yuv420p"
        video.gop_size, video.codec_context.sample_aspect_ratio = keyframes, aspect
        if hdr:
            video.color_trc, video.color_primaries, video.colorspace = 16, 9, 9
        if matrix:
            video.set_display_matrix(matrix)
        audio: Any = made.add_stream(_AUDIO.get(container, "aac"), rate=48000, layout=sound) if sound else None
        tone = sine(seconds, sound) if sound else iter(())
        for frame in _frames(width, height, rate, seconds, black, video.pix_fmt):
            made.mux(video.encode(frame))
            for heard in tone:
                made.mux(audio.encode(heard))
                if heard.time > frame.time:
                    break
        made.mux(video.encode())
        if audio:
            made.mux(audio.encode())
    return out.getvalue()


_FAST = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast"},
}
_AUDIO = {"webm": "libopus", "avi": "libmp3lame", "mpegts": "aac"}
#: FFmpeg's display matrices: the telephone was turned to the right; and a mirror.
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
MIRRORED = (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def _frames(width: int, height: int, rate: int, seconds: float, black: float, format: str) -> Iterator[Any]:
    from av.filter import Graph

    graph = Graph()
    size = f"s={width // 2}x{height}:r={rate}:d={seconds}"
    red, blue = (graph.add("color", f"c=0x{_hex(colour)}:{size}") for colour in (RED, BLUE))
    both, grain = graph.add("hstack", "inputs=2"), graph.add("noise", "alls=20:allf=t:all_seed=1")
    dark = graph.add("drawbox", f"c=black:t=fill:enable='lt(t,{black})'")
    end = [graph.add("format", f"pix_fmts={format}"), graph.add("buffersink")]
    red.link_to(both, 0, 0)
    blue.link_to(both, 0, 1)
    graph.link_nodes(both, grain, dark, *end).configure()
    yield from _pulled(graph)


def _hex(colour: tuple[int, ...]) -> str:
    return bytes(colour).hex()


def sine(seconds: float, layout: str) -> Iterator[Any]:
    from av.filter import Graph

    graph = Graph()
    source = graph.add("aevalsrc", f"exprs='0.5*sin(880*PI*t)*gt(t,{seconds / 2})':s=48000:d={seconds}")
    form = graph.add("aformat", f"sample_fmts=fltp:channel_layouts={layout}")
    graph.link_nodes(source, form, graph.add("abuffersink")).configure()
    yield from _pulled(graph)


def _pulled(graph: Any) -> Iterator[Any]:
    import av

    while True:
        try:
            frame = graph.pull()
        except (av.EOFError, av.BlockingIOError):
            return
        if hasattr(frame, "pict_type"):
            frame.pict_type = 0
        yield frame


@cache
def tone(container: str = "wav", codec: str = "pcm_s16le", seconds: float = 2, layout: str = "stereo") -> bytes:
    """Silent in its first half, half as loud as can be in its second."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as made:
        stream: Any = made.add_stream(codec, rate=48000, layout=layout)
        for frame in sine(seconds, layout):
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


@cache
def with_cover(container: str = "mp3", codec: str = "libmp3lame", *, attached: bool = True) -> bytes:
    """A sound with a picture on its sleeve: red on the left, blue on the right. Not ``attached``, it is a stream like
    any other, with one picture."""
    import av
    from av.stream import Disposition

    cover = plain(150, 300, RED).join(plain(150, 300, BLUE), "horizontal").jpegsave_buffer()
    out = io.BytesIO()
    with av.open(out, "w", format=container) as made, av.open(io.BytesIO(cover), format="jpeg_pipe") as sleeve:
        stream: Any = made.add_stream(codec, rate=48000, layout="stereo")
        picture = made.add_stream_from_template(sleeve.streams.video[0])
        if attached:
            picture.disposition = Disposition.attached_pic
        packet = next(sleeve.demux())
        packet.stream = picture
        made.mux(packet)
        for frame in sine(1, "stereo"):
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


def two_films_in_one() -> bytes:
    """An MPEG transport stream whose pictures change their size and whose sound its channels half-way."""
    first = film(container="mpegts", seconds=2)
    return first + film(container="mpegts", seconds=2, width=240, height=240, sound="mono")


def damaged(whole: bytes, every: int = 3000) -> bytes:
    """Some bytes turned over, here and there, in the middle."""
    broken = bytearray(whole)
    for place in range(len(whole) // 4, len(whole) * 3 // 4, every):
        broken[place : place + 4] = bytes(255 - value for value in broken[place : place + 4])
    return bytes(broken)


@cache
def red_and_blue_pdf() -> bytes:
    """One page, twice as high as wide: red above, blue below."""
    drawing = b"0.8 0.1 0.1 rg 0 200 200 200 re f 0.1 0.1 0.8 rg 0 0 200 200 re f"
    return _pdf(b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing), "")


@cache
def locked_pdf() -> bytes:
    """No password opens it."""
    locked = "/Encrypt<</Filter/Standard/V 1/R 2/Length 40/P -4/O<{0}>/U<{0}>>>/ID[<00><00>]".format("ab" * 32)
    return _pdf(b"<</Length 0>>stream\n\nendstream", locked)


def _pdf(content: bytes, trailer: str) -> bytes:
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>"]
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 400]/Contents 4 0 R>>", content]
    body, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, text)
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"xref\n0 5\n0000000000 65535 f \n{rows}trailer<</Size 5/Root 1 0 R{trailer}>>\n"
    return body + f"{tail}startxref\n{len(body)}\n%%EOF\n".encode()


def preview() -> bytes:
    """The picture that a document carries."""
    return samples.jpeg(400, 300)


@cache
def docx(**parts: bytes) -> bytes:
    """``parts``: what its thumbnail's ending is, and its bytes."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    types = f'<Types><Override PartName="/word/document.xml" ContentType="{kind}"/></Types>'
    named = {f"docProps/thumbnail.{ending}": data for ending, data in parts.items()}
    return _zip({"[Content_Types].xml": types.encode(), "_rels/.rels": b"<R/>", "word/document.xml": b"<d/>"} | named)


@cache
def odt() -> bytes:
    kind = b"application/vnd.oasis.opendocument.text"
    return _zip({"mimetype": kind, "content.xml": b"<d/>", "Thumbnails/thumbnail.png": samples.png(200, 100)})


@cache
def epub(cover: str = 'properties="cover-image"', meta: str = "", doctype: str = "") -> bytes:
    """Its package lies in a directory of its own, and its cover's name has a space."""
    container = b'<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    item = f'<item id="picture" href="images/front%20page.jpg" media-type="image/jpeg" {cover}/>'
    package = f'{doctype}<package xmlns="urn:opf"><metadata>{meta}</metadata><manifest>{item}</manifest></package>'
    parts = {"META-INF/container.xml": container, "OPS/book.opf": package.encode()}
    return _zip({"mimetype": b"application/epub+zip", **parts, "OPS/images/front page.jpg": preview()})


def _zip(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in parts.items():
            made.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


@cache
def bitmap(codec: str, format: str = "rgb24", width: int = 64, height: int = 48) -> bytes:
    """One picture in one of FFmpeg's codecs: red on the left, blue on the right."""
    import av

    both = plain(width // 2, height, RED).join(plain(width // 2, height, BLUE), "horizontal").cast("uchar")
    pixels, row = bytes(both.write_to_memory()), 3 * width
    frame = av.VideoFrame(width, height, "rgb24")
    length = frame.planes[0].line_size
    rows = (pixels[start : start + row].ljust(length, b"\0") for start in range(0, len(pixels), row))
    frame.planes[0].update(b"".join(rows))
    made: Any = av.CodecContext.create(codec, "w")
    made.width, made.height, made.pix_fmt, made.time_base = width, height, format, Fraction(1, 25)
    frame = frame.reformat(format=format)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*made.encode(frame), *made.encode(None)))


def icon(*pictures: tuple[int, int, bytes], kind: int = 1) -> bytes:
    """An icon of these pictures; ``kind`` 2: a cursor."""
    head, body = struct.pack("<HHH", 0, kind, len(pictures)), b""
    for width, height, data in pictures:
        place = 6 + 16 * len(pictures) + len(body)
        head += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, 32, len(data), place)
        body += data
    return head + body


def icon_picture(width: int, height: int) -> bytes:
    """Red, as icons hold bitmaps: without the file's head, and with a mask that makes them twice as high."""
    head = struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, 32, 0, 0, 0, 0, 0, 0)
    return head + bytes((*reversed(RED), 255)) * (width * height) + bytes((width + 31) // 32 * 4 * height)


@cache
def animated_png(frames: int = 5) -> bytes:
    """Half a second; each picture is brighter than the one before."""
    return _pictures("apng", "apng", "rgb24", frames)


@cache
def picture_sequence(frames: int = 5) -> bytes:
    """The same as AVIF, without a picture of its own beside the track."""
    return _pictures("avif", "libsvtav1", "yuv420p", frames)


def _pictures(container: str, codec: str, format: str, frames: int) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"plays": "0"} if container == "apng" else {}) as made:
        stream: Any = made.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, format
        for number in range(frames):
            frame = av.VideoFrame(64, 48, format)
            for plane in frame.planes:
                plane.update(bytes([40 * number]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


@cache
def hdr_picture(format: str, transfer: int) -> bytes:
    """Red of 203 candela per square metre, in the numbers of PQ; the file says which transfer function they have."""
    import pyvips

    deep: Any = pyvips.Image.black(64, 48, bands=3).linear([1, 1, 1], [38055, 15000, 15000]).cast("ushort")
    deep = deep.copy(interpretation="rgb16")
    if format == "profile":  # a PNG file whose colour profile tells it
        profile = plain(8, 8, RED).icc_transform("p3", input_profile="srgb").get("icc-profile-data")
        profile = _with_tag(profile, b"cicp", b"cicp" + bytes((0, 0, 0, 0, 9, transfer, 0, 1)))
        deep = deep.copy()
        deep.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        return bytes(deep.pngsave_buffer(bitdepth=16))
    if format == "png":
        made = bytes(deep.pngsave_buffer(bitdepth=16))
        at = made.index(b"IDAT") - 4
        body = b"cICP" + bytes((9, transfer, 0, 1))
        return made[:at] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + made[at:]
    made = bytes(deep.heifsave_buffer(compression="av1", bitdepth=10, lossless=True, effort=0))
    at = made.index(b"nclx") + 6
    return made[:at] + struct.pack(">H", transfer) + made[at + 2 :]


def _with_tag(profile: bytes, name: bytes, body: bytes) -> bytes:
    """A colour profile with one tag more."""
    (count,) = struct.unpack_from(">I", profile, 128)
    table = b""
    for place in range(132, 132 + 12 * count, 12):
        tag, offset, length = struct.unpack_from(">4sII", profile, place)
        table += struct.pack(">4sII", tag, offset + 12, length)
    rest = profile[132 + 12 * count :]
    rest += bytes(-len(rest) % 4)
    table += struct.pack(">4sII", name, 132 + 12 * (count + 1) + len(rest), len(body))
    made = profile[:128] + struct.pack(">I", count + 1) + table + rest + body
    return struct.pack(">I", len(made)) + made[4:]
