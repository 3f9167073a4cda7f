"""What a file's steps work with: a local copy of the file, a file for their output, a session in the sandbox.

The files have no names, so a worker that is killed leaves nothing behind. Those of an encrypted store are kept in
memory if they are small; larger ones are on disk while the stage runs, and their blocks are freed, not overwritten.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from windlass import conf
from windlass.files.api import Blob, open_blob
from windlass.kernel import anonymous_files
from windlass.processing.contract import About
from windlass.processing.sandbox.client import Session
from windlass.processing.worker_sandbox import sandbox, step_limits
from windlass.storage.registry import store

#: The largest copy of an encrypted file that is kept in memory (bytes).
LARGEST_IN_MEMORY = 64 * 1024 * 1024
#: The disk counts as full if less than this is free (bytes).
DISK_FULL_BELOW = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StepWorkspace:
    file: BinaryIO
    output: BinaryIO
    session: Session


@contextmanager
def open_workspace(blob: Blob) -> Iterator[StepWorkspace]:
    """The workspace that the steps of a stage share. Raises StoreError."""
    with ExitStack() as stack:
        stored = stack.enter_context(open_blob(blob))
        secret = store(blob.store).capabilities.encrypted
        file = stack.enter_context(local_file(stored, secret=secret))
        output = stack.enter_context(new_output(secret=secret))
        session = stack.enter_context(sandbox().session(file.fileno(), output.fileno(), step_limits()))
        yield StepWorkspace(file, output, session)


@contextmanager
def long_step_workspace(shared: StepWorkspace, about: About) -> Iterator[StepWorkspace]:
    """The same file for a long step, with an output, a child and limits of its own."""
    with (
        new_output() as output,
        sandbox().session(shared.file.fileno(), output.fileno(), step_limits(about)) as session,
    ):
        yield StepWorkspace(shared.file, output, session)


def new_output(*, secret: bool = False) -> BinaryIO:
    """Open a temporary file for what steps make. ``secret``: in memory if possible, so not for long steps."""
    in_memory = anonymous_files.create_in_memory() if secret else None
    return in_memory or tempfile.TemporaryFile(dir=_scratch_directory())


@contextmanager
def local_file(source: BinaryIO, *, secret: bool = False) -> Iterator[BinaryIO]:
    """The same bytes as a local file whose descriptor is read-only, as the sandbox needs it.

    An object of a remote store is copied once.
    """
    if _is_local_and_read_only(source):
        yield source
        return
    small = secret and _size(source) <= LARGEST_IN_MEMORY
    in_memory = anonymous_files.copy_to_memory(source) if small else None
    with in_memory or anonymous_files.copy_to_disk(source, _scratch_directory()) as copied:
        yield copied


def is_scratch_full() -> bool:
    return shutil.disk_usage(_scratch_directory()).free < DISK_FULL_BELOW


def _scratch_directory() -> Path:
    path = conf.get().windlass_home / "scratch"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _is_local_and_read_only(source: BinaryIO) -> bool:
    try:
        mode = fcntl.fcntl(source.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, io.UnsupportedOperation):
        return False
    return mode == os.O_RDONLY


def _size(source: BinaryIO) -> int:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size
