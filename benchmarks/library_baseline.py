"""The baseline: the libraries alone do the work of the default profile on each file, in one loop of one process.

``python -m benchmarks.library_baseline DIRECTORY OUTPUT`` prints a JSON document: seconds and CPU seconds of
each kind. The loop detects the type with libmagic, computes the SHA-256, reads facts and text, and writes the thumbnail
and the pages of a PDF to OUTPUT. Each library opens each file once; nothing is recorded and nothing isolated.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

# One thread for a file, as in the sandbox, so that processor times can be compared.
os.environ.setdefault("VIPS_CONCURRENCY", "1")

import av
import pylibmagic  # noqa: F401  makes magic find the library that came with it

import magic  # isort: skip
import pypdfium2
import pyvips

SIDE = 640
#: Pixels of the picture of a page.
PAGE_PIXELS = 1_000_000
_WORD = re.compile(r"\S+")


def detect_and_hash(file: BinaryIO, detect: Any) -> dict[str, Any]:
    """The work of the intake stage."""
    mime_type = detect.from_buffer(file.read(1024 * 1024))
    file.seek(0)
    return {"mime_type": mime_type, "checksum": hashlib.file_digest(file, "sha256").hexdigest()}


def process_picture(path: Path, output: BinaryIO) -> dict[str, Any]:
    image = pyvips.Image.new_from_file(str(path), access="sequential")
    facts = {name: str(image.get(name)) for name in image.get_fields() if name.startswith("exif-")}
    facts |= {"width": image.width, "height": image.height, "bands": image.bands, "format": image.format}
    managed = {"output_profile": "srgb", "intent": "relative"} if image.get_typeof("icc-profile-data") else {}
    _save(pyvips.Image.thumbnail(str(path), SIDE, size="down", **managed), output)
    return facts


def process_pdf(path: Path, output: BinaryIO) -> dict[str, Any]:
    with pypdfium2.PdfDocument(path) as document:
        facts: dict[str, Any] = {**document.get_metadata_dict(), "pages": len(document)}
        texts = [page.get_textpage().get_text_range() for page in document]
        facts["size"] = width, height = document[0].get_size()
        thumbnail = _render(document[0], SIDE / max(width, height))
        pages = [_render(page, (PAGE_PIXELS / (width * height)) ** 0.5) for page in document]
    _save(thumbnail, output)
    for page in pages:
        output.write(page.webpsave_buffer(lossless=True, Q=50, effort=0, keep="none"))
    output.write("\n".join(texts).encode())
    return facts


def _render(page: Any, scale: float) -> Any:
    bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
    data, row = bytes(bitmap.buffer), bitmap.width * 3
    packed = b"".join(data[start : start + row] for start in range(0, len(data), bitmap.stride))
    image = pyvips.Image.new_from_memory(packed, bitmap.width, bitmap.height, 3, "uchar")
    return image.copy(interpretation="srgb")


def process_video(path: Path, output: BinaryIO) -> dict[str, Any]:
    with av.open(str(path), format="mov") as container:
        facts: dict[str, Any] = {"duration": container.duration, "bitrate": container.bit_rate}
        for stream in container.streams:
            facts[stream.type] = stream.codec_context.codec.canonical_name
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        facts |= {"width": video.width, "height": video.height, "fps": float(video.average_rate)}
        facts["rotation"] = next(container.decode(video)).rotation
        container.seek(container.duration // 10)
        shown = next(container.decode(video)).reformat(format="rgb24")
    data = bytes(shown.planes[0])[: shown.width * shown.height * 3]  # its lines have no padding at this width
    image = pyvips.Image.new_from_memory(data, shown.width, shown.height, 3, "uchar")
    _save(image.copy(interpretation="srgb"), output)
    return facts


def process_text(path: Path, output: BinaryIO) -> dict[str, Any]:
    text = path.read_bytes().decode("utf-8")
    output.write(text.encode())
    return {"lines": text.count("\n") + 1, "words": len(_WORD.findall(text)), "characters": len(text)}


def _save(image: Any, output: BinaryIO) -> None:
    output.write(image.webpsave_buffer(Q=80, effort=2, keep="none"))


WORK: Mapping[str, Callable[[Path, BinaryIO], dict[str, Any]]] = {
    "jpg": process_picture,
    "pdf": process_pdf,
    "mp4": process_video,
    "txt": process_text,
}


def main() -> None:
    directory, output_directory = Path(sys.argv[1]), Path(sys.argv[2])
    detect = magic.Magic(mime=True, mime_encoding=True)
    figures: dict[str, dict[str, float]] = defaultdict(lambda: {"files": 0, "seconds": 0.0, "cpu_seconds": 0.0})
    for path in sorted(directory.iterdir()):
        kind = path.suffix.lstrip(".")
        began, cpu = time.monotonic(), _cpu()
        with path.open("rb") as file, (output_directory / path.name).open("wb") as output:
            detect_and_hash(file, detect)
            WORK[kind](path, output)
        figures[kind]["files"] += 1
        figures[kind]["seconds"] += time.monotonic() - began
        figures[kind]["cpu_seconds"] += _cpu() - cpu
    print(json.dumps(figures))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
