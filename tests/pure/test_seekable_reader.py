"""A file is read whole although other processes share and move its position."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from windlass.kernel.seekable_reader import BUFFER_SIZE, independent_reader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.write_bytes(os.urandom(3 * BUFFER_SIZE + 17))
    return found


def test_moving_the_shared_position_does_not_move_a_reader(path: Path) -> None:
    """As a child could that was taken over, and let a scanner see a part of the file only."""
    with path.open("rb", buffering=0) as file:
        reading, read = independent_reader(file), b""
        for whence in (os.SEEK_END, os.SEEK_SET, os.SEEK_END):
            os.lseek(file.fileno(), 0, whence)
            read += reading.read(BUFFER_SIZE)
        read += reading.read()
        assert read == path.read_bytes()


def test_a_reader_seeks_and_reads_like_a_file(path: Path) -> None:
    content = path.read_bytes()
    with path.open("rb") as file:
        with independent_reader(file) as reading:
            assert reading.seek(-5, os.SEEK_END) == len(content) - 5
            assert reading.read() == content[-5:]
            assert reading.seek(10) == 10
            assert reading.seek(5, os.SEEK_CUR) == 15
            assert reading.read(3) == content[15:18]
            with pytest.raises(OSError, match="before the start of the file"):
                reading.seek(-1, os.SEEK_SET)
            reading.seek(0)
            assert hashlib.file_digest(reading, "sha256").digest() == hashlib.sha256(content).digest()
            assert isinstance(reading, io.BufferedReader)
        assert file.read() == content, "closing it has closed nothing else"
