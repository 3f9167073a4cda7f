"""Temporary room on this machine. Nothing in it has a name, so that a worker that is killed leaves nothing behind."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from windlass import conf

COPY_SIZE = 1024 * 1024


def output() -> BinaryIO:
    """Room for what a step makes, readable and writable."""
    return tempfile.TemporaryFile(dir=_directory())


@contextmanager
def real_file(source: BinaryIO) -> Iterator[BinaryIO]:
    """The same bytes as a file of this machine that the sandbox can be handed, and cannot be written through it.

    A store that has its objects elsewhere gives them once, into scratch.
    """
    if _is_real_and_read_only(source):
        yield source
        return
    with _copy(source) as copied:
        yield copied


def _directory() -> Path:
    path = conf.get().windlass_home / "scratch"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _is_real_and_read_only(source: BinaryIO) -> bool:
    try:
        mode = fcntl.fcntl(source.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, io.UnsupportedOperation):
        return False
    return mode == os.O_RDONLY


def _copy(source: BinaryIO) -> BinaryIO:
    writing, name = tempfile.mkstemp(dir=_directory())
    with open(writing, "wb") as target:
        try:
            reading = open(name, "rb")  # noqa: SIM115  the caller closes it
        finally:
            os.unlink(name)
        try:
            shutil.copyfileobj(source, target, COPY_SIZE)
        except BaseException:
            reading.close()
            raise
    return reading
