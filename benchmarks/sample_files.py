"""Make sample files, no two the same: photographs, PDFs, video clips, texts, songs, DOCX and ZIP files.

``python -m benchmarks.sample_files DIRECTORY COUNT KIND…`` writes them, alternating the kinds. It runs in its own
process because the libraries start threads, and the clients of the benchmark are forked.
"""

from __future__ import annotations

import io
import random
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

WORDS = [
    "anchor",
    "ballast",
    "bow",
    "capstan",
    "chain",
    "deck",
    "draught",
    "ebb",
    "fathom",
    "gale",
    "harbour",
    "haul",
    "heave",
    "hull",
    "keel",
    "knot",
    "league",
    "mast",
    "oar",
    "pawl",
    "pier",
    "quay",
    "reef",
    "rigging",
    "rope",
    "rudder",
    "sail",
    "shackle",
    "shoal",
    "spar",
    "stern",
    "swell",
    "tackle",
    "tide",
    "tiller",
    "wake",
    "wharf",
    "winch",
]


def photo(rng: random.Random) -> bytes:
    """1600 x 1200, about 200 KB: soft shapes under a little noise."""
    import pyvips

    width, height, seed = 1600, 1200, rng.randrange(2**31)
    shapes = pyvips.Image.perlin(width, height, cell_size=300, seed=seed).linear(60, 128)
    noise = pyvips.Image.gaussnoise(width, height, sigma=5, mean=0, seed=seed)
    image = shapes.bandjoin([shapes.rot180(), shapes.fliphor()]) + noise
    encoded: bytes = image.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=75)
    return encoded


def pdf(rng: random.Random, pages: int = 3, lines: int = 45) -> bytes:
    """A PDF of pages full of text."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for _ in range(pages):
        shown = "".join(f"({' '.join(rng.choices(WORDS, k=11))}) Tj T*\n" for _ in range(lines))
        packed = zlib.compress(f"BT /F 11 Tf 14 TL 50 790 Td\n{shown}ET".encode())
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        resources = "/Resources<</Font<</F 3 0 R>>>>"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]{resources}/Contents {number + 1} 0 R>>"
        head = f"<</Length {len(packed)}/Filter/FlateDecode>>stream\n".encode()
        objects += [page.encode(), head + packed + b"\nendstream"]
    objects[1] = f"<</Type/Pages/Count {pages}/Kids[{' '.join(kids)}]>>".encode()
    objects.append(f"<</Title({' '.join(rng.choices(WORDS, k=4))})>>".encode())
    return _pdf(objects)


def _pdf(objects: list[bytes]) -> bytes:
    """Assemble a PDF file. The last object is the document information."""
    body, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer<</Size {size}/Root 1 0 R/Info {size - 1} 0 R>>\n"
    return bytes(body) + f"{tail}startxref\n{len(body)}\n%%EOF\n".encode()


def clip(rng: random.Random, seconds: int = 2) -> bytes:
    """An MP4 of 320 x 240 in H.264, with sound in AAC."""
    import av

    out, rate = io.BytesIO(), 44100
    with av.open(out, "w", format="mp4") as made:
        video: Any = made.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio: Any = made.add_stream("aac", rate=rate, layout="stereo")
        texture = b"".join(bytes((value,)) * 8 for value in rng.randbytes(320 * 240 // 4))
        for number in range(25 * seconds):
            made.mux(video.encode(_frame(av, texture, number)))
        for start in range(0, rate * seconds, 1024):
            made.mux(audio.encode(_sound(av, rng, start, rate, "fltp", 1024)))
        for stream in (video, audio):
            made.mux(stream.encode())
    return out.getvalue()


def _frame(av: Any, texture: bytes, number: int) -> Any:
    """Blocks of noise that move by one line each time, so that there is something to encode."""
    frame = av.VideoFrame(320, 240, "yuv420p")
    for plane in frame.planes:
        start = number * plane.line_size
        plane.update(texture[start : start + plane.buffer_size])
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def _sound(av: Any, rng: random.Random, start: int, rate: int, form: str, samples: int) -> Any:
    import array
    import math

    pitch = 220 + 20 * (start // samples % 20)
    wave = [0.3 * math.sin(2 * math.pi * pitch * (start + at) / rate) for at in range(samples)]
    data = array.array("f", wave).tobytes() if form == "fltp" else b""
    frame = av.AudioFrame(format=form, layout="stereo", samples=samples)
    for plane in frame.planes:
        plane.update(data[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame


def song(rng: random.Random, seconds: int = 30) -> bytes:
    """An MP3 of half a minute."""
    import av

    out, rate = io.BytesIO(), 44100
    with av.open(out, "w", format="mp3") as made:
        made.metadata["title"] = " ".join(rng.choices(WORDS, k=3))
        stream: Any = made.add_stream("libmp3lame", rate=rate, layout="stereo")
        for start in range(0, rate * seconds, 1152):
            made.mux(stream.encode(_sound(av, rng, start, rate, "fltp", 1152)))
        made.mux(stream.encode())
    return out.getvalue()


def text(rng: random.Random) -> bytes:
    """10 KB of words."""
    lines = (" ".join(rng.choices(WORDS, k=12)) for _ in range(160))
    return "\n".join(lines).encode()[: 10 * 1024]


_OPEN = "http://schemas.openxmlformats.org"


def docx(rng: random.Random) -> bytes:
    """A DOCX of two hundred paragraphs."""
    space = f"xmlns:w='{_OPEN}/wordprocessingml/2006/main'"
    text = "".join(f"<w:p><w:r><w:t>{' '.join(rng.choices(WORDS, k=40))}</w:t></w:r></w:p>" for _ in range(200))
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return _zip(
        {
            "[Content_Types].xml": f"<Types xmlns='{_OPEN}/package/2006/content-types'>"
            f"<Default Extension='rels' ContentType='application/vnd.openxmlformats-package.relationships+xml'/>"
            f"<Override PartName='/word/document.xml' ContentType='{kind}'/></Types>",
            "_rels/.rels": f"<Relationships xmlns='{_OPEN}/package/2006/relationships'><Relationship Id='r1' "
            f"Type='{_OPEN}/officeDocument/2006/relationships/officeDocument' Target='word/document.xml'/>"
            "</Relationships>",
            "word/document.xml": f"<w:document {space}><w:body>{text}</w:body></w:document>",
        }
    )


def zip_file(rng: random.Random) -> bytes:
    """A ZIP of fifty notes."""
    return _zip({f"notes/{n}.txt": text(rng).decode() for n in range(50)})


def _zip(parts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return out.getvalue()


#: Extension -> what makes such a file.
KINDS: Mapping[str, Callable[[random.Random], bytes]] = {
    "jpg": photo,
    "pdf": pdf,
    "mp4": clip,
    "txt": text,
    "mp3": song,
    "docx": docx,
    "zip": zip_file,
}


def main() -> None:
    directory, count, kinds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        (directory / f"{number:04}.{kind}").write_bytes(KINDS[kind](random.Random(f"{kind}/{number}")))


if __name__ == "__main__":
    main()
