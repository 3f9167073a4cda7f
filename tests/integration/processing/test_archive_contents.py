"""The list of what is in an archive, through the real sandbox."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from typing import Any

import pytest

from tests import rendition_samples as made
from tests.archive_samples import rar4, rar5, sevenzip, zip_of
from tests.integration.processing.received_files import processed, store
from windlass.files.api import FileAsset, FileStatus


def contents(asset: FileAsset) -> dict[str, Any] | None:
    rendition = asset.renditions.filter(name="contents").first()
    if rendition is None:
        return None
    assert (rendition.kind, rendition.mime_type) == ("contents", "application/json")
    with store(rendition.store).open(rendition.key) as stored:
        return dict(json.loads(stored.read()))


def tar(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written:
        for name in names:
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            elif name.startswith("link"):
                info.type, info.linkname = tarfile.SYMTYPE, "a.txt"
            else:
                info.size = 3
            written.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


TAR = tar("a.txt", "docs/", "docs/ü.md", "link")
LISTED = [
    {"name": "a.txt", "size": 3, "kind": "file"},
    {"name": "docs/", "size": 0, "kind": "directory"},
    {"name": "docs/ü.md", "size": 3, "kind": "file"},
    {"name": "link", "size": 0, "kind": "link"},
]


@pytest.mark.parametrize(
    ("content", "filename"),
    [(TAR, "a.tar"), (gzip.compress(TAR), "a.tar.gz"), (bz2.compress(TAR), "a.tar.bz2")],
)
def test_the_entries_of_a_tar_are_listed_also_of_a_compressed_one(content: bytes, filename: str) -> None:
    assert contents(processed(content, filename)) == {"entries": LISTED, "total": 4}


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (zip_of({"a.txt": b"abc", "b/c.txt": b"12345"}), "a.zip"),
        (sevenzip({"a.txt": b"abc", "b/c.txt": b"12345"}), "a.7z"),
        (rar5({"a.txt": b"abc", "b/c.txt": b"12345"}), "a.rar"),
        (rar4({"a.txt": b"abc", "b/c.txt": b"12345"}), "a.rar"),
    ],
    ids=["zip", "7z", "rar5", "rar4"],
)
def test_the_entries_of_other_archives_are_listed(content: bytes, filename: str) -> None:
    listed = contents(processed(content, filename))
    assert listed is not None
    assert [(each["name"], each["size"]) for each in listed["entries"]] == [("a.txt", 3), ("b/c.txt", 5)]


def test_the_first_thousand_entries_are_listed_and_all_counted() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(1100):
            archive.writestr(f"{number}-{'n' * 600}", b"")
    listed = contents(processed(out.getvalue(), "many.zip"))
    assert listed is not None
    assert (len(listed["entries"]), listed["total"]) == (1000, 1100)
    assert {len(each["name"]) for each in listed["entries"]} == {500}


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (made.docx(), "a.docx"),
        (made.epub(), "a.epub"),
        (gzip.compress(b"no archive is in it"), "a.gz"),
    ],
    ids=["docx", "epub", "gz"],
)
def test_documents_and_what_has_no_entries_have_no_list(content: bytes, filename: str) -> None:
    assert contents(processed(content, filename, profile="default")) is None


def test_of_a_damaged_archive_what_precedes_the_damage_is_listed(with_profile: Any) -> None:
    with_profile('unmeasured = "accept"')
    damaged = bytearray(TAR)
    damaged[512 * 5 + 150] ^= 1  # the header of the third
    asset = processed(bytes(damaged), "a.tar")
    listed = contents(asset)
    assert asset.status == FileStatus.READY
    assert listed is not None
    assert [each["name"] for each in listed["entries"]] == ["a.txt", "docs/"]
