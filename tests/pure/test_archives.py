"""Archives and bombs through the two steps that judge them, in this process: which pass the default profile, and by
which rule the others are refused. The archives of other tools are in ``tests/integration``."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import inflate64
import lz4.block
import lz4.frame
import pytest

from tests import document_samples
from tests.archive_samples import (
    ar,
    block_before_directory,
    cabinet,
    compressed_z,
    compressed_z_zeros,
    cpio,
    disc,
    end_of,
    in_comment,
    lzip,
    rar4,
    rar5,
    rpm,
    sevenzip,
    signed,
    sparse_tar,
    tar,
    with_zip64,
    zip_of,
)
from tests.hostile.files.archives import Entry, deflated_zeros, zipped
from windlass.files.profiles import Profile
from windlass.processing.contract import Rejection, StepContext
from windlass.processing.formats.archives import inspect_archive
from windlass.processing.formats.archives.unpacking import UnpackMeter
from windlass.processing.formats.read_limits import Deadline
from windlass.processing.steps.archive_facts import ArchiveFacts
from windlass.processing.steps.content_and_archive_rules import ArchiveRules

MB = 1024 * 1024
ZEROS = 12
OURS = Profile("ours")
PASSES = None


def facts_of(content: bytes, profile: Profile = OURS) -> dict[str, Any]:
    facts = {"mime_type": "application/zip", "size": len(content)}
    result = ArchiveFacts().run(StepContext(io.BytesIO(content), facts, profile.document(), io.BytesIO()))
    return {**facts, **result.facts}


def rejection_of(content: bytes, profile: Profile = OURS) -> Rejection | None:
    facts = facts_of(content, profile)
    verdict = ArchiveRules().run(StepContext(io.BytesIO(content), facts, profile.document())).verdict
    assert verdict is None or isinstance(verdict, Rejection)
    return verdict


def rule(content: bytes, profile: Profile = OURS) -> str | None:
    rejection = rejection_of(content, profile)
    return rejection and rejection.rule


def bomb(name: str = "zeros", megabytes: int = ZEROS, **claims: Any) -> bytes:
    return zipped([Entry(name.encode(), deflated_zeros(megabytes), 8, **{"size": megabytes * MB, **claims})])


def lz4_of_old_form(content: bytes) -> bytes:
    body: bytes = lz4.block.compress(content, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(body)) + body


def packed_by_deflate64(content: bytes) -> bytes:
    packer = inflate64.Deflater()
    made: bytes = packer.deflate(content) + packer.flush()
    return made


def deflated(name: str, content: bytes) -> bytes:
    return zip_of({name: content}, zipfile.ZIP_DEFLATED)


def unlisted() -> bytes:
    """A harmless directory behind an entry that it leaves out."""
    hidden = bomb()
    offset = end_of(hidden)[3]
    out = io.BytesIO(hidden[:offset])
    out.seek(0, 2)
    with zipfile.ZipFile(out, "a") as made:
        made.writestr("harmless.txt", b"")
    return out.getvalue()


def method(number: int) -> bytes:
    return zipped([Entry(b"a", b"x" * 40, number, size=100)])


def docx(*more: Entry, parts: int = 0) -> bytes:
    names = [b"[Content_Types].xml", b"word/document.xml", *(b"word/%d-%s" % (n, b"x" * 200) for n in range(parts))]
    return zipped([*(Entry(name, b"<x/>") for name in names), *more])


ZERO_DOC = Entry(b"word/media/image1.bin", deflated_zeros(ZEROS), 8, size=ZEROS * MB)
#: More than a hundred times a document with a directory above 4 MiB; its claim is small.
LARGE_DOC = Entry(b"word/media/image1.bin", deflated_zeros(1400), 8, size=1)
RATIO = "archive-ratio"

BOMBS: dict[str, Callable[[], bytes]] = {
    "zip": bomb,
    "zip with zip64 records": lambda: with_zip64(bomb()),
    "zip with zip64 records, fields full": lambda: with_zip64(bomb(), full=True),
    "zip, locator elsewhere": lambda: with_zip64(bomb(), locator=7),
    "zip with a signature record": lambda: signed(bomb()),
    "zip with a block before its directory": lambda: block_before_directory(bomb()),
    "zip behind one byte": lambda: b"x" + bomb(),
    "zip behind a program": lambda: b"MZ" + bytes(5000) + bomb(),
    "zip with bytes behind it": lambda: bomb() + bytes(3000),
    "zip in a comment of an entry": lambda: in_comment(bomb()),
    "zip with a second end record": lambda: zip_of({"a": b""}, comment=b"") + bomb(),
    "zip, comment of the file holds another": lambda: bomb()[:-2] + struct.pack("<H", 22) + b"PK\5\6" + bytes(18),
    "zip, its entry is not listed": unlisted,
    "zip that says 1": lambda: bomb(size=1),
    "zip that says 0": lambda: bomb(size=0),
    "zip that says 1, and so does its entry": lambda: bomb(size=1, flags=8),
    "zip whose directory says that it is packed to 0": lambda: bomb(size=0, packed=0, flags=8),
    "zip whose directory says that it is packed to 9": lambda: bomb(size=0, packed=9),
    "zip whose directory is behind another's": lambda: zip_of(PLAIN) + bomb(),
    "PDF with a zip behind it": lambda: b"%PDF-1.4\n%%EOF\n" + bomb(),
    "program with a 7z behind it": lambda: b"MZ" + bytes(5000) + sevenzip({"zeros": bytes(ZEROS * MB)}),
    "program with a rar behind it": lambda: b"\x7fELF" + bytes(5000) + rar5({"a": b"x"}, claims=ZEROS * MB),
    "zip of tar.gz of zip": lambda: deflated("a", gzip.compress(tar({"b": b"b", "c": bomb()}))),
    "zip of a sparse tar": lambda: deflated("a", sparse_tar("1.0", 1 << 40)),
    "zip of deb": lambda: zip_of({"a": ar({"data.tar.xz": lzma.compress(tar({"z": bytes(ZEROS * MB)}))})}),
    "zip of many small bombs": lambda: zipped(
        [Entry(b"%d" % number, deflated_zeros(1), 8, size=1) for number in range(ZEROS)]
    ),
    "zip with macros of a map": lambda: bomb("doc.kml"),
    "zip of a model": lambda: bomb("3D/3dmodel.model"),
    "docx": lambda: docx(ZERO_DOC),
    "docx with a member of method 99": lambda: docx(ZERO_DOC, Entry(b"x", b"y", 99)),
    "docx with a large directory": lambda: docx(LARGE_DOC, parts=20_000),
    "zip, bzip2": lambda: zip_of({"zeros": bytes(ZEROS * MB)}, zipfile.ZIP_BZIP2),
    "zip, lzma": lambda: zip_of({"zeros": bytes(ZEROS * MB)}, zipfile.ZIP_LZMA),
    "zip, zstd, says 1": lambda: zipped([Entry(b"z", document_samples.zstd(bytes(ZEROS * MB)), 93, size=1)]),
    "zip, deflate64, says 1": lambda: zipped([Entry(b"z", packed_by_deflate64(bytes(ZEROS * MB)), 9, size=1)]),
    "zip in zip, stored": lambda: zip_of({"inner.bin": bomb()}),
    "zip in zip, deflated": lambda: deflated("inner.bin", bomb(size=1)),
    "zip in zip in zip": lambda: zip_of({"a": zip_of({"b": zip_of({"c": bomb()})})}),
    "zip in zip, behind one byte": lambda: deflated("inner.bin", b"x" + bomb()),
    "zip of gzip": lambda: zip_of({"a": gzip.compress(bytes(ZEROS * MB))}),
    "gzip": lambda: gzip.compress(bytes(ZEROS * MB)),
    "gzip and a byte": lambda: gzip.compress(bytes(ZEROS * MB)) + b"x",
    "gzip and zeros": lambda: gzip.compress(bytes(ZEROS * MB)) + bytes(1000),
    "gzip in members": lambda: gzip.compress(bytes(MB)) * ZEROS,
    "gzip of gzip": lambda: gzip.compress(gzip.compress(bytes(2 * ZEROS * MB))),
    "gzip, cut": lambda: gzip.compress(bytes(ZEROS * MB))[:-100],
    "bzip2": lambda: bz2.compress(bytes(ZEROS * MB)) + b"x",
    "xz in streams": lambda: lzma.compress(bytes(MB)) * ZEROS,
    "xz of xz": lambda: lzma.compress(lzma.compress(bytes(2 * ZEROS * MB))),
    "lzma": lambda: lzma.compress(bytes(ZEROS * MB), lzma.FORMAT_ALONE),
    "lzip": lambda: lzip(bytes(ZEROS * MB)),
    "zstd": lambda: document_samples.zstd(bytes(ZEROS * MB)),
    "zstd behind a frame that is skipped": lambda: b"\x50\x2a\x4d\x18\4\0\0\0abcd" + BOMBS["zstd"](),
    "lz4": lambda: lz4.frame.compress(bytes(ZEROS * MB)),
    "lz4 of the old form": lambda: lz4_of_old_form(bytes(8 * MB)) * 2,
    "lz4 in frames": lambda: lz4.frame.compress(bytes(MB)) * ZEROS,
    "compress": lambda: compressed_z_zeros(8000),
    "tar.gz": lambda: gzip.compress(tar({"zeros": bytes(ZEROS * MB)})),
    "tar of gzip": lambda: tar({"a": gzip.compress(bytes(ZEROS * MB))}),
    "tar of zip": lambda: tar({"a": bomb()}),
    "tar.gz of zip": lambda: gzip.compress(tar({"a": bomb(), "b": b"b"})),
    "sparse tar, old": lambda: sparse_tar("S", 1 << 40),
    "sparse tar 0.0": lambda: sparse_tar("0.0", 1 << 40),
    "sparse tar 0.1": lambda: sparse_tar("0.1", 1 << 40),
    "sparse tar 1.0": lambda: sparse_tar("1.0", 1 << 40),
    "cpio of gzip": lambda: cpio({"a": gzip.compress(bytes(ZEROS * MB))}),
    "deb": lambda: ar({"debian-binary": b"2.0\n", "data.tar.gz": gzip.compress(tar({"z": bytes(ZEROS * MB)}))}),
    "rpm": lambda: rpm(gzip.compress(cpio({"z": bytes(ZEROS * MB)}))),
    "cab": lambda: cabinet({"z": b"x"}, size=ZEROS * MB),
    "disc of zip": lambda: disc({"A.ZIP": bomb()}),
    "7z": lambda: sevenzip({"zeros": bytes(ZEROS * MB)}),
    "7z of zip": lambda: sevenzip({"inner": bomb()}),
    "rar 5 of zip, stored": lambda: rar5({"inner": bomb()}),
    "rar 4 of zip, stored": lambda: rar4({"inner": bomb()}),
    "rar 5 that claims it": lambda: rar5({"a": b"x"}, claims=ZEROS * MB),
    "picture with a zip behind it": lambda: b"\x89PNG\r\n\x1a\n" + bytes(2000) + bomb(),
}


def honest_model() -> bytes:
    """As a checkpoint of torch: stored, aligned, with data descriptors and the records of zip64."""
    out = io.BytesIO()
    with zipfile.ZipFile(Unseekable(out), "w") as made:
        for name in ("archive/data.pkl", "archive/data/0", "archive/version"):
            info = zipfile.ZipInfo(name)
            info.extra = b"FB" + struct.pack("<H", 50) + b"Z" * 50
            made.writestr(info, name.encode() * 99)
    return with_zip64(out.getvalue())


class Unseekable(io.RawIOBase):
    """What is written to it has data descriptors."""

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._out.write(data)


def streamed(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(Unseekable(out), "w", method) as made:
        for name in ("a.txt", "b.txt", "c.txt"):
            made.writestr(name, b"Haul away. " * 99)
    return out.getvalue()


def forced_zip64() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in ("a.txt", "b.txt"):
            with made.open(name, "w", force_zip64=True) as member:
                member.write(b"Haul away. " * 99)
    return out.getvalue()


PLAIN = {"a.txt": b"Haul away. " * 99, "b/": b"", "b/c.txt": b"The anchor is up.", "empty": b""}
HONEST: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zip_of(PLAIN, zipfile.ZIP_DEFLATED),
    "zip of nothing": lambda: zip_of({}),
    "zip with a comment": lambda: zip_of(PLAIN, comment=b"PK and more " * 50),
    "zip, streamed, deflated": lambda: streamed(zipfile.ZIP_DEFLATED),
    "zip, streamed, stored": lambda: streamed(zipfile.ZIP_STORED),
    "zip, zip64 forced": forced_zip64,
    "zip, bzip2": lambda: zip_of(PLAIN, zipfile.ZIP_BZIP2),
    "zip, lzma": lambda: zip_of(PLAIN, zipfile.ZIP_LZMA),
    "zip, deflate64": lambda: zipped([Entry(b"a", packed_by_deflate64(b"Haul away. " * 99), 9, size=1089)]),
    "zip with a signature record": lambda: signed(zip_of(PLAIN)),
    "package with a signing block": lambda: block_before_directory(zip_of(PLAIN, zipfile.ZIP_DEFLATED)),
    "program that unpacks itself": lambda: b"MZ" + bytes(70_000) + zip_of(PLAIN),
    "zip with bytes behind it": lambda: zip_of(PLAIN) + bytes(512),
    "model": honest_model,
    "gzip of many short members": lambda: gzip.compress(b"x") * 5000,
    "zip of zips": lambda: zip_of({"a.zip": zip_of(PLAIN), "b.jar": zip_of(PLAIN, zipfile.ZIP_DEFLATED)}),
    "zip of a damaged zip": lambda: deflated("a.zip", zip_of(PLAIN)[:-40]),
    "zip of a zip that contradicts itself": lambda: deflated("a.zip", zipped([Entry(b"a", b"abc")], count=7)),
    "zip, locked": lambda: zipped([Entry(b"a", b"x" * 40, 8, size=100, flags=1)]),
    "zip, locked with AES": lambda: zipped([Entry(b"a", b"x" * 40, 99, size=100, flags=1)]),
    "zip of many": lambda: zipped([Entry(b"%d" % number, b"x") for number in range(65_000)]),
    "docx": document_samples.docx,
    "odt": document_samples.odt,
    "epub": document_samples.epub,
    "gzip": lambda: gzip.compress(b"Haul away."),
    "gzip and zeros": lambda: gzip.compress(b"Haul away.") + bytes(99),
    "gzip and bytes": lambda: gzip.compress(b"Haul away.") + b"signature",
    "bzip2 and bytes": lambda: bz2.compress(b"Haul away.") * 2 + b"signature",
    "xz": lambda: lzma.compress(b"Haul away.") * 2 + bytes(8),
    "lzma": lambda: lzma.compress(b"Haul away.", lzma.FORMAT_ALONE),
    "lzip": lambda: lzip(b"Haul away.") * 2,
    "zstd": lambda: document_samples.zstd(b"Haul away.") * 2,
    "lz4": lambda: lz4.frame.compress(b"Haul away.") * 2,
    "lz4 of the old form": lambda: lz4_of_old_form(b"Haul away. " * 99),
    "compress": lambda: compressed_z(bytes(range(256)) * 40 + b"Haul away. " * 3000),
    "tar": lambda: tar(PLAIN),
    "tar.gz": lambda: gzip.compress(tar(PLAIN)),
    "tar of a damaged zip": lambda: tar({"a.zip": zip_of(PLAIN)[:-40]}),
    "sparse tar": lambda: sparse_tar("S", 1 << 20),
    "sparse tar 1.0": lambda: gzip.compress(sparse_tar("1.0", 1 << 20)),
    "cpio": lambda: cpio(PLAIN),
    "ar": lambda: ar({"debian-binary": b"2.0\n", "control.tar.gz": gzip.compress(tar(PLAIN))}),
    "rpm": lambda: rpm(lzma.compress(cpio(PLAIN))),
    "cab": lambda: cabinet({"a.txt": b"Haul away.", "b.txt": b"b"}),
    "disc": lambda: disc({"A.TXT": b"Haul away."}),
    "7z": lambda: sevenzip({"a.txt": b"Haul away.", "b.txt": b"b"}),
    "7z with a name that is not valid UTF-16": lambda: sevenzip({"\ud800": b"Haul away."}),
    "7z, packed as nobody knows": lambda: sevenzip({"a": b"x" * 99}, coder=b"\x23\3\4\1\5\5" + bytes(4), packed=b"xyz"),
    "rar 5": lambda: rar5({"a.txt": b"Haul away."}),
    "rar 4": lambda: rar4({"a.txt": b"Haul away."}),
    "rar 5, first volume": lambda: rar5({"a": b"x" * 9000}, claims=500_000, method=3, volume=16),
    "rar 5, later volume": lambda: rar5({"a": b"x" * 9000}, claims=5_000_000_000, method=3, volume=24),
    "no archive": lambda: b"Haul away.",
}


@pytest.mark.parametrize("make", HONEST.values(), ids=HONEST)
def test_a_harmless_archive_passes(make: Callable[[], bytes]) -> None:
    rejection = rejection_of(make())
    assert rejection is None, rejection


WRONG: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip without its end": ("archive-damaged", lambda: zip_of(PLAIN)[:-30]),
    "zip without its beginning": ("archive-damaged", lambda: zip_of(PLAIN, zipfile.ZIP_DEFLATED)[90:]),
    "zip with a broken entry": ("archive-damaged", lambda: zipped([Entry(b"a", b"\xff" * 50, 8, size=50)])),
    "gzip without its end": ("archive-damaged", lambda: gzip.compress(bytes(range(256)) * 99)[:-20]),
    "gzip with a wrong checksum": ("archive-damaged", lambda: gzip.compress(b"Haul away.")[:-8] + bytes(8)),
    "tar without its end": ("archive-damaged", lambda: tar(PLAIN)[:700]),
    "7z without its end": ("archive-damaged", lambda: sevenzip(PLAIN)[:-5]),
    "rar without its entries": ("archive-damaged", lambda: rar5(PLAIN)[:9]),
    "cab without its end": ("archive-damaged", lambda: cabinet(PLAIN)[:50]),
    "disc without its directory": ("archive-damaged", lambda: disc(PLAIN)[: 32768 + 2048]),
    "rpm without its content": ("archive-damaged", lambda: rpm(b"")),
    "lz4 of the old form, cut": ("archive-damaged", lambda: lz4_of_old_form(b"Haul away. " * 99)[:-9]),
    "zip, entries overlap": (
        "archive-contradiction",
        lambda: zipped([Entry(b"a", b"abc"), Entry(b"b", size=3, packed=3, at=0)]),
    ),
    "zip, other count": ("archive-contradiction", lambda: zipped([Entry(b"a", b"abc")] * 3, count=7)),
    "zip, two ends": (
        "archive-contradiction",
        lambda: zip_of({"a.txt": b"a"}, comment=zip_of({"b.txt": b"b", "c.txt": b"c"})),
    ),
    "zip, other method in the entry": (
        "archive-contradiction",
        lambda: zip_of(PLAIN).replace(b"PK\3\4\x14\0\0\0\0\0", b"PK\3\4\x14\0\0\0\x08\0", 1),
    ),
    "zip, locked by one header": (
        "archive-contradiction",
        lambda: zip_of(PLAIN).replace(b"PK\3\4\x14\0\0", b"PK\3\4\x14\0\1", 1),
    ),
    "rar 5 of an unknown size": ("archive-not-measured", lambda: rar5({"a": b"x" * 99}, method=3, flags=8)),
    "zip of a method that is not read": ("archive-not-measured", lambda: method(6)),
    "zip of method 99 without a lock": ("archive-not-measured", lambda: method(99)),
    "7z that claims more entries than are read": ("archive-entries", lambda: sevenzip(PLAIN, count=2_000_000)),
    "xz with a window of 4 GiB": (
        "archive-not-measured",
        lambda: b"\x5d" + struct.pack("<IQ", 2**32 - 1, 2**64 - 1) + bytes(64),
    ),
}


def in_itself(depth: int) -> bytes:
    content = zip_of({"a.txt": b"a"})
    for _ in range(depth):
        content = zip_of({"inner.zip": content})
    return content


@pytest.mark.parametrize(("said", "make"), WRONG.values(), ids=WRONG)
def test_an_unmeasurable_archive_is_refused_with_the_rule(said: str, make: Callable[[], bytes]) -> None:
    rejection = rejection_of(make())
    assert rejection is not None
    assert rejection.rule == said
    if said != "archive-entries":
        assert 'unmeasured = "accept"' in rejection.detail
        accepting = replace(OURS, unmeasured="accept")
        assert rule(make(), accepting) is None


def test_many_xz_streams_are_measured_by_their_declared_sizes() -> None:
    content = lzma.compress(bytes(MB), preset=1) * 3000
    facts = facts_of(content)
    assert facts["unpacked_size"] > 100 * len(content)
    assert facts["unpacked_size_is"] == "declared"
    assert rule(content) == RATIO


@pytest.mark.parametrize("behind", [b"signature", b"x" * 200_000, bytes(3) + b"x"])
def test_trailing_bytes_are_a_fact(behind: bytes) -> None:
    for packed in (gzip.compress(b"Haul away."), bz2.compress(b"Haul away."), lzma.compress(b"Haul away.")):
        facts = facts_of(packed + behind)
        assert (facts["unpacked_size"], facts["trailing_data"]) == (10, True)
        assert "trailing_data" not in facts_of(packed * 2 + bytes(9))


@pytest.mark.parametrize("more", range(250, 530, 13))
def test_an_entry_is_whole_if_the_decompressor_holds_back_bytes(more: int) -> None:
    """Of what repeats itself a decompressor may hold hundreds of bytes back."""
    facts = facts_of(deflated("a", bytes(2**19 + more)))
    assert (facts["unpacked_size"], facts.get("archive_contradiction"), facts.get("archive_damaged")) == (
        2**19 + more,
        None,
        None,
    )


def test_nested_archives_are_measured_to_a_depth() -> None:
    assert rule(in_itself(10)) is None
    assert rule(in_itself(200)) == "archive-not-measured"


def test_an_accepted_unmeasured_archive_is_noted() -> None:
    profile = replace(OURS, unmeasured="accept")
    facts = facts_of(method(99), profile)
    result = ArchiveRules().run(StepContext(io.BytesIO(), facts, profile.document()))
    assert result.detail.startswith("Not measured: ")
    assert "number 99" in result.facts["not_measured"][0]


def test_measuring_beyond_the_deadline_is_not_measured() -> None:
    found = inspect_archive.inspect_archive(
        io.BytesIO(bomb()), "application/zip", UnpackMeter(100 * MB, True, Deadline(-1))
    )
    assert found.facts()["archive_not_measured"] == "unpacking it took too long"


def test_without_facts_an_archive_is_refused() -> None:
    found = ArchiveRules().run(StepContext(io.BytesIO(), {"mime_type": "application/zip"}, OURS.document())).verdict
    assert isinstance(found, Rejection)
    assert found.rule == "archive-not-measured"


def test_inner_archives_are_counted_apart() -> None:
    facts = facts_of(zip_of({"a.zip": zip_of({"x": b"x" * 100, "y": b"y" * 100}), "b": b"b"}))
    assert (facts["entries"], facts["inner_entries"], facts["inner_unpacked_size"]) == (2, 2, 200)


def test_without_rules_nothing_is_unpacked() -> None:
    free = replace(OURS, max_archive_entries=0, max_unpacked_size=0, max_archive_ratio=0)
    facts = facts_of(bomb(size=1), free)
    assert (facts["unpacked_size"], facts["unpacked_size_is"]) == (1, "declared")


def damaged(content: bytes, choose: random.Random) -> bytes:
    """Some bytes changed, left out or repeated, half of them near the ends, where most formats keep their tables."""
    found = bytearray(content)
    for _ in range(choose.choice((1, 2, 8))):
        place = choose.choice((choose.randrange(len(found)), choose.randrange(min(len(found), 100)), len(found) - 9))
        change = choose.choice((b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", choose.randbytes(1), b""))
        found[max(place, 0) : place + max(len(change), 3)] = change
    return bytes(found)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_archives_raise_only_expected_errors(seed: int) -> None:
    """Every reader says what is wrong in a way that is foreseen."""
    choose = random.Random(seed)
    small = [make() for name, make in HONEST.items() if name not in ("zip of many", "program that unpacks itself")]
    for content in small:
        if len(content) > 50:
            facts = facts_of(damaged(content, choose))
            assert facts["unpacked_size_is"] in ("declared", "counted", "at least")


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_by_its_ratio(make: Callable[[], bytes]) -> None:
    assert rule(make()) in (RATIO, "unpacked-size")


@pytest.mark.parametrize("name", ["zip", "gzip of gzip", "zip in zip, deflated", "tar.gz of zip", "xz in streams"])
def test_a_bomb_is_refused_by_its_size(name: str) -> None:
    profile = replace(OURS, max_archive_ratio=0, max_unpacked_size=8 * MB)
    rejection = rejection_of(BOMBS[name](), profile)
    assert rejection is not None
    assert (rejection.rule, rejection.limit) == ("unpacked-size", 8 * MB)
    assert f"at most {8 * MB} bytes are allowed" in rejection.detail
