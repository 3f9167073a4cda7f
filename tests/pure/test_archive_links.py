"""Which entries of archives could be unpacked outside their directory: names, symbolic links, hard links."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from typing import Any

import pytest

from windlass.processing.formats.archives.inspect_archive import inspect_archive
from windlass.processing.formats.archives.unpacking import UnpackMeter
from windlass.processing.formats.read_limits import Deadline

#: Symbolic links are pairs of name and target; hard links have a third element; files are names.
Entry = Any
HARD = True


def tar_of(entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for entry in entries:
            name, target, *hard = (entry, "") if isinstance(entry, str) else entry
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = (tarfile.LNKTYPE if hard else tarfile.SYMTYPE), target
            made.addfile(info, io.BytesIO())
    return out.getvalue()


def zip_of_links(links: list[tuple[str, str]], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, target in links:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            info.compress_type = method
            made.writestr(info, target)
    return out.getvalue()


def cpio_of(name: str, target: str) -> bytes:
    def entry(path: str, mode: int, content: bytes) -> bytes:
        fields = [0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path.encode() + b"\0"
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)

    return entry(name, 0o120777, target.encode()) + entry("TRAILER!!!", 0, b"")


def unsafe(content: bytes, kind: str) -> int:
    meter = UnpackMeter(10**6, True, Deadline(10.0))
    inspection = inspect_archive(io.BytesIO(content), kind, meter)
    assert not inspection.damaged
    return inspection.unsafe


@pytest.mark.parametrize(
    "entries",
    [
        ["a", ("b", "a")],
        [("lib/libx.so", "libx.so.1"), ("lib/libx.so.1", "../sub/libx.so.1.0")],
        [("Versions/Current", "A"), ("Resources", "Versions/Current/Resources")],
        [("node_modules/.bin/tool", "../tool/cli.js")],
        [("./a/b/c", "../../d"), ("e", "./a/./b")],
        [("a", "."), ("b", "a/a/a/file")],
        ["a/file", ("a/other", "a/file", HARD)],
        [("a", "b"), "a/through", ("c", "..d")],
        [("d/a", "../x"), ("e/b", "d/a", HARD), ("d/a", "d/a", HARD)],
    ],
    ids=lambda entries: str(entries[-1]),
)
def test_links_within_the_archive_are_safe(entries: list[Entry]) -> None:
    assert unsafe(tar_of(entries), "application/x-tar") == 0


@pytest.mark.parametrize(
    "entries",
    [
        [("a", "/etc/passwd")],
        [("a", "..")],
        [("a", "../a")],
        [("d/a", "../../x")],
        [("./a", "../x")],
        [("d/a", "e/../../../x")],
        [("a", "."), ("b", "a/..")],
        [("a", "."), ("a/b", "..")],
        [("a", "."), ("A/b", "..")],
        [("d/e/a", "../../x"), ("b", "d/e/a", HARD)],
        [("d", "e"), ("b", "d/f", HARD)],
        [("a/d", "."), ("a/d/b", "a/x", HARD), ("c/up", ".."), ("a/d/b", "c/up", HARD)],
        [("b", "../outside", HARD)],
        [("b", "/etc/passwd", HARD)],
        [("a", "C:x")],
        [("d\\a", "..\\x")],
        [(".", "a")],
        ["../a"],
        ["/a"],
        ["a/../../b"],
    ],
    ids=lambda entries: str(entries[-1]),
)
def test_asvs_5_2_5_a_link_that_could_lead_outside_is_unsafe(entries: list[Entry]) -> None:
    assert unsafe(tar_of(entries), "application/x-tar") == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_the_targets_of_links_in_zip_files_are_read(method: int) -> None:
    """In a method that is not expected of a link its target counts as unknown."""
    inside, outside = ("Current", "A" * 50), ("d/up", "../../" + "x" * 50)
    assert unsafe(zip_of_links([inside], method), "application/zip") == (method == zipfile.ZIP_BZIP2)
    assert unsafe(zip_of_links([inside, outside], method), "application/zip") == 1 + (method == zipfile.ZIP_BZIP2)


def test_the_targets_of_links_in_cpio_files_are_read() -> None:
    assert unsafe(cpio_of("d/a", "../b"), "application/x-cpio") == 0
    assert unsafe(cpio_of("a", "../b"), "application/x-cpio") == 1


def test_a_target_of_excessive_length_is_unknown() -> None:
    assert unsafe(zip_of_links([("a", "b/" * 2500)], zipfile.ZIP_STORED), "application/zip") == 1


def test_thousands_of_deep_links_are_judged_in_linear_time() -> None:
    deep = "d/" * 15_000
    content = tar_of([(f"{deep}{number}", "../x") for number in range(20)])
    assert unsafe(content, "application/x-tar") == 0
