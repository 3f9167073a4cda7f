"""Temporary room on this machine. Nothing in it has a name, so that a worker that is killed leaves nothing behind.

What comes from an encrypted store is kept in memory where it is small. What is larger lies on the disk for as long as
it is worked on; its blocks are freed then, not overwritten.
"""

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
from windlass.kernel import anonymous_files

#: The largest copy of an encrypted file that is kept in memory.
MOST_IN_MEMORY = 64 * 1024 * 1024
#: Less free than this (bytes), and the disk counts as full.
FULL = 1024 * 1024


def output(*, secret: bool = False) -> BinaryIO:
    """Room for what a step makes, readable and writable. ``secret``: off the disk, and so not for long steps."""
    made = anonymous_files.create_in_memory() if secret else None
    return made or tempfile.TemporaryFile(dir=_directory())


@contextmanager
def real_file(source: BinaryIO, *, secret: bool = False) -> Iterator[BinaryIO]:
    """The same bytes as a file of this machine that the sandbox can be handed, and cannot be written through it.

    A store that has its objects elsewhere gives them once, into scratch.
    """
    if _is_real_and_read_only(source):
        yield source
        return
    with _copy(source, secret) as copied:
        yield copied


def is_full() -> bool:
    """Whether there is no room for anything: what could not be made may be made another time."""
    return shutil.disk_usage(_directory()).free < FULL


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


def _copy(source: BinaryIO, secret: bool) -> BinaryIO:
    if secret and _size(source) <= MOST_IN_MEMORY:
        in_memory = anonymous_files.copy_to_memory(source)
        if in_memory is not None:
            return in_memory
    return anonymous_files.copy_to_disk(source, _directory())


def _size(source: BinaryIO) -> int:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size
