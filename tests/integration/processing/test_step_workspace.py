"""The workspace of a step: its files have no name, and files of an encrypted store stay in memory if they are small."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from tests import samples
from tests.integration.processing.received_files import processed
from windlass import conf
from windlass.files.api import FileStatus, delete_file
from windlass.kernel import secret_keys
from windlass.processing import step_workspace
from windlass.storage import registry


def place(file: BinaryIO) -> str:
    return os.readlink(f"/proc/self/fd/{file.fileno()}")


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows files without a name in /proc")


def test_a_copy_has_no_name_and_cannot_be_written_to() -> None:
    with step_workspace.local_file(io.BytesIO(b"bytes")) as file:
        assert place(file).startswith(str(conf.get().windlass_home / "scratch"))
        assert place(file).endswith(" (deleted)")
        assert file.read() == b"bytes"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file.fileno(), b"x")


def test_small_secret_files_are_in_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_workspace, "LARGEST_IN_MEMORY", 5)
    with (
        step_workspace.local_file(io.BytesIO(b"bytes"), secret=True) as file,
        step_workspace.new_output(secret=True) as output,
    ):
        assert place(file).startswith(place(output))
        assert place(file).startswith("/memfd:")
        assert file.read() == b"bytes"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file.fileno(), b"x")
        assert output.write(b"made") == 4
    with step_workspace.local_file(io.BytesIO(b"larger"), secret=True) as file:
        assert "/memfd:" not in place(file)
        assert file.read() == b"larger"


def test_encrypted_files_are_processed_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sandbox takes such descriptors like any others."""
    seen: list[str] = []
    local_file = step_workspace.local_file

    def look(source: BinaryIO, *, secret: bool = False) -> object:
        seen.append(f"secret: {secret}")
        return local_file(source, secret=secret)

    monkeypatch.setattr(step_workspace, "local_file", look)
    monkeypatch.setenv("ENCRYPTION_KEY", secret_keys.generate())
    monkeypatch.setenv("MEDIA_ROOT", str(tmp_path))
    conf.reload()
    registry._create.cache_clear()
    try:
        picture = processed(samples.png(300, 200), "a.png")
        stored = registry.store()
        assert picture.status == FileStatus.READY
        assert picture.renditions.filter(name="thumbnail").exists()
        assert stored.capabilities.encrypted
        assert not stored.capabilities.local_files
        assert len(list(tmp_path.rglob("*.enc"))) >= 2
        assert seen
        assert set(seen) == {"secret: True"}
        delete_file(picture)
    finally:
        monkeypatch.undo()
        conf.reload()
        registry._create.cache_clear()
