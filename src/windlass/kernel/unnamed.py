"""Files without a name, so that a process that is killed leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1024 * 1024


def copied(source: BinaryIO, directory: Path) -> BinaryIO:
    """What is left in ``source``, as a file below ``directory`` that can only be read."""
    writing, name = tempfile.mkstemp(dir=directory)
    with open(writing, "wb") as target:
        try:
            reading = open(name, "rb")  # noqa: SIM115  the caller closes it
        finally:
            os.unlink(name)
        return _filled(reading, source, target)


def _filled(reading: BinaryIO, source: BinaryIO, target: BinaryIO) -> BinaryIO:
    try:
        shutil.copyfileobj(source, target, _BLOCK)
    except BaseException:
        reading.close()
        raise
    return reading


def in_memory() -> BinaryIO | None:
    """An empty file, readable and writable, that is never on a disk; None where the system has no such thing."""
    if sys.platform != "linux":
        return None
    return os.fdopen(os.memfd_create("windlass", os.MFD_CLOEXEC), "w+b")


def copied_into_memory(source: BinaryIO) -> BinaryIO | None:
    """``copied``, but never on a disk."""
    target = in_memory()
    if target is None:
        return None
    with target:
        reading = open(f"/proc/self/fd/{target.fileno()}", "rb")  # noqa: SIM115  the caller closes it
        return _filled(reading, source, target)
