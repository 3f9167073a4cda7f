"""Which directories of a zip file are read, with any bytes before, behind and between its parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from tests.archive_samples import block_before_directory, end_of, in_comment, signed, with_zip64
from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.documents import zip_package

Zip = Callable[[bytes], bytes]


def small(*names: str, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names or ("a.txt",):
            made.writestr(name, b"Haul away.")
        made.comment = comment
    return out.getvalue()


def names(content: bytes) -> list[list[str]]:
    """Of each directory."""
    file = io.BytesIO(content)
    return [[m.name for m in zip_directory.members(file, found)] for found in zip_directory.directories(file)]


HONEST: dict[str, Zip] = {
    "plain": lambda content: content,
    "something before it": lambda content: b"MZ" + bytes(1000) + content,
    "one byte before it": lambda content: b"x" + content,
    "something behind it": lambda content: content + bytes(1000),
    "zip64 records that nothing needs": with_zip64,
    "zip64 records, and the fields are full": lambda content: with_zip64(content, full=True),
    "zip64 records behind something": lambda content: b"x" * 99 + with_zip64(content, full=True),
    "a locator that points elsewhere": lambda content: with_zip64(content, locator=3),
    "a digital signature": signed,
    "a block before the directory": block_before_directory,
}


@pytest.mark.parametrize("changed", HONEST.values(), ids=HONEST)
def test_an_ordinary_zip_file_has_one_directory(changed: Zip) -> None:
    content = changed(small("a.txt", "b/c.txt"))
    assert names(content) == [["a.txt", "b/c.txt"]]
    file = io.BytesIO(content)
    found = zip_directory.directories(file)[0]
    for member in zip_directory.members(file, found):
        assert zip_package.read_start(file, member, 4) == b"Haul"
    assert zip_directory.contradiction(found, 2) == ""
    assert "2 entries" in zip_directory.contradiction(found, 3)


def test_an_archive_in_the_comment_is_a_second_directory() -> None:
    """Some readers take the last end record, some the one whose comment ends with the file."""
    assert names(small("inner.txt", comment=small("b.txt")))[0] == ["b.txt"]
    assert len(names(small("inner.txt", comment=small("b.txt")))) == 2


def test_a_directory_in_the_last_entrys_comment_is_found() -> None:
    assert sorted(names(in_comment(small("other.txt")))) == [["harmless.txt"], ["other.txt"]]


def test_a_stored_archive_as_the_last_entry_is_no_directory() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("inner.zip", small("x.txt"))
    assert names(out.getvalue()) == [["inner.zip"]]


def test_other_bytes_have_no_directory() -> None:
    for content in (b"", b"PK\3\4", small()[:-30], b"PK\5\6" * 5000, b"x" * 70_000 + b"PK\5\6" + bytes(18)):
        assert names(content) in ([], [[]])


def test_an_encrypted_directory_is_recognized() -> None:
    content = small()
    place, _, _, offset = end_of(content)
    locked = content[:offset] + b"PK\6\x08" + content[offset + 4 : place] + content[place:]
    assert names(locked) == []
    assert zip_directory.is_encrypted(io.BytesIO(locked))
