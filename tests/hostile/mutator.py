"""Damaged versions of every good sample, from a seed: file number ``index`` of seed ``seed`` is always the same one.

Each function of the tests' modules of samples that can be called without an argument is one; new ones are found by
themselves. Within one tree (seed, index) names a file; ``python -m tests.hostile --write`` writes it out.
"""

from __future__ import annotations

import inspect
import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tests import document_samples, minimal_files, rendition_samples, samples

#: No mutant is larger (bytes).
LARGEST = 8 * 1024 * 1024
#: Of every hundred files so many keep a name with the sample's extension; the others have none.
NAMED = 70

Way = Callable[[random.Random, bytes], bytes]

#: What a field is set to, besides its neighbours and the file's size.
_EDGES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_WORDS = (b"-1", b"0", b"99999999999999999999", b"2147483648", b"1e400", b"nan", b"%s%n", b"\0")


@dataclass(frozen=True)
class Mutant:
    seed: int
    index: int
    sample: str
    ways: tuple[str, ...]
    content: bytes
    filename: str

    @property
    def name(self) -> str:
        return f"mutant {self.seed}/{self.index} ({self.sample}: {', '.join(self.ways)})"


@cache
def good_samples() -> Mapping[str, bytes]:
    """Every sample by the name of the function that makes it."""
    found: dict[str, bytes] = {}
    for module in (samples, document_samples, rendition_samples, minimal_files):
        for name, function in sorted(vars(module).items()):
            if getattr(function, "__module__", "") == module.__name__ and _needs_nothing(name, function):
                content = function()
                if isinstance(content, bytes) and content:
                    found.setdefault(name, content)
    return found


def _needs_nothing(name: str, function: object) -> bool:
    if name.startswith("_") or not callable(function) or inspect.isclass(function):
        return False
    parameters = inspect.signature(function).parameters.values()
    optional = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return all(each.default is not each.empty or each.kind in optional for each in parameters)


def mutant(seed: int, index: int) -> Mutant:
    rng = random.Random(f"{seed}/{index}")
    known = good_samples()
    sample = rng.choice(list(known))
    content, ways = known[sample], []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        way = rng.choice(_ways_for(content))
        ways.append(way.__name__)
        content = way(rng, content)[:LARGEST]
    extension = f".{sample}" if rng.randrange(100) < NAMED else ""
    return Mutant(seed, index, sample, tuple(ways), content, f"mutant-{seed}-{index}{extension}")


def truncated(rng: random.Random, data: bytes) -> bytes:
    """Early cuts as often as late ones: heads are where sizes and offsets stand."""
    place = rng.random() ** rng.choice((1, 3, 8))
    return data[: int(len(data) * place)]


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(2 ** rng.randrange(9)):
        if changed:
            changed[_place(rng, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwritten(rng: random.Random, data: bytes) -> bytes:
    at, length = _piece(rng, len(data))
    filling = rng.choice((b"\0", b"\xff", b"\x80", b"\x7f", b"A", b""))
    return data[:at] + (filling * length or rng.randbytes(length)) + data[at + length :]


def spliced(rng: random.Random, data: bytes) -> bytes:
    """The beginning of this and the end of another, or another in its middle."""
    other = rng.choice(list(good_samples().values()))
    at, _ = _piece(rng, len(data))
    there, much = _piece(rng, len(other))
    return data[:at] + other[there:] if rng.random() < 0.5 else data[:at] + other[there : there + much] + data[at:]


def repeated(rng: random.Random, data: bytes) -> bytes:
    at, length = _piece(rng, len(data))
    times = min(2 ** rng.randrange(1, 12), LARGEST // 2 // max(length, 1) + 1)
    return data[:at] + data[at : at + length] * times + data[at + length :]


def shortened(rng: random.Random, data: bytes) -> bytes:
    at, length = _piece(rng, len(data))
    return data[:at] + data[at + length :]


def swapped(rng: random.Random, data: bytes) -> bytes:
    (at, length), (there, much) = sorted(_piece(rng, len(data)) for _ in range(2))
    if there < at + length:
        return data[at:] + data[:at]
    between = data[at + length : there]
    return data[:at] + data[there : there + much] + between + data[at : at + length] + data[there + much :]


def measured(rng: random.Random, data: bytes) -> bytes:
    """Fields that may be a length, an offset or a count say something else."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        form = rng.choice((">H", "<H", ">I", "<I", ">I", "<I", ">Q", "<Q"))
        width = struct.calcsize(form)
        if len(changed) < width:
            continue
        at = _likely_field(rng, changed, form)
        (value,) = struct.unpack_from(form, changed, at)
        wanted = rng.choice((*_EDGES, value + 1, value - 1, value * 2, len(data), len(data) - at, value ^ 1))
        struct.pack_into(form, changed, at, wanted % 2 ** (8 * width))
    return bytes(changed)


def renumbered(rng: random.Random, data: bytes) -> bytes:
    """Numbers that are written in digits become others."""
    places = list(re.finditer(rb"\d+", data[: 1 << 20]))
    for found in sorted(rng.sample(places, min(len(places), rng.choice((1, 2, 8)))), key=re.Match.start, reverse=True):
        data = data[: found.start()] + rng.choice(_WORDS) + data[found.end() :]
    return data


def inside(rng: random.Random, data: bytes) -> bytes:
    """One member of an archive is damaged, and the archive is right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(each.file_size for each in archive.infolist()) > LARGEST:
                return flipped(rng, data)  # a bomb
            members = [(each, archive.read(each)) for each in archive.infolist()]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return flipped(rng, data)
    victim = rng.randrange(len(members)) if members else 0
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for number, (about, content) in enumerate(members):
            changed = rng.choice(WAYS)(rng, content) if number == victim else content
            made.writestr(zipfile.ZipInfo(about.filename), changed, compress_type=about.compress_type)
    return out.getvalue()


def mended(rng: random.Random, data: bytes) -> bytes:
    """A PNG is damaged within its chunks, whose checksums are right again."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if rng.random() < 0.5:
            body = rng.choice((flipped, overwritten, measured, truncated))(rng, body)
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + length
    return bytes(out)


#: Ways for any content.
WAYS: tuple[Way, ...] = (truncated, flipped, overwritten, spliced, repeated, shortened, swapped, measured, renumbered)


def _ways_for(content: bytes) -> tuple[Way, ...]:
    """What lies packed or under checksums is hardly reached from outside."""
    if content.startswith(b"PK\3\4"):
        return (*WAYS, *[inside] * len(WAYS))
    if content.startswith(b"\x89PNG"):
        return (*WAYS, *[mended] * len(WAYS))
    return (*WAYS, measured, measured, flipped)


def _place(rng: random.Random, length: int) -> int:
    """Half of them within the first kilobyte."""
    return rng.randrange(min(length, 1024)) if rng.random() < 0.5 else rng.randrange(length)


def _piece(rng: random.Random, length: int) -> tuple[int, int]:
    if not length:
        return 0, 0
    at = _place(rng, length)
    return at, rng.randrange(min(length - at, 2 ** rng.randrange(1, 18)) + 1)


def _likely_field(rng: random.Random, data: bytearray, form: str) -> int:
    """A place whose value could be one of this file's: not more than there are bytes. Else any."""
    last = len(data) - struct.calcsize(form)
    at = 0
    for _ in range(30):
        at = min(_place(rng, len(data)), last)
        (value,) = struct.unpack_from(form, data, at)
        if 0 < value <= len(data):
            break
    return at
