"""Files without a name, so that a process that is killed leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1024 * 1024


def copy_to_disk(source: BinaryIO, directory: Path) -> BinaryIO:
    """Copy the rest of ``source`` into a file in ``directory`` and return it, open for reading only."""
    writing, name = tempfile.mkstemp(dir=directory)
    with open(writing, "wb") as target:
        try:
            reading = open(name, "rb")  # noqa: SIM115  the caller closes it
        finally:
            os.unlink(name)
        return _copy(source, target, reading)


def create_in_memory() -> BinaryIO | None:
    """An empty file, readable and writable, that is never on a disk; None where the system has no such files."""
    if sys.platform != "linux":
        return None
    return os.fdopen(os.memfd_create("windlass", os.MFD_CLOEXEC), "w+b")


def copy_to_memory(source: BinaryIO) -> BinaryIO | None:
    """Like ``copy_to_disk``, but never on a disk; None where the system has no such files."""
    target = create_in_memory()
    if target is None:
        return None
    with target:
        reading = open(f"/proc/self/fd/{target.fileno()}", "rb")  # noqa: SIM115  the caller closes it
        return _copy(source, target, reading)


def _copy(source: BinaryIO, target: BinaryIO, reading: BinaryIO) -> BinaryIO:
    try:
        shutil.copyfileobj(source, target, _BLOCK)
    except BaseException:
        reading.close()
        raise
    return reading
