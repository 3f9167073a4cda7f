"""Drop file content from the operating system's page cache, so that reading everything does not displace hot files."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO


def drop(file: BinaryIO, start: int = 0, length: int = 0) -> None:
    """Drop these bytes from the page cache; ``length`` 0: up to the end. The next read comes from the medium.

    Does nothing for objects that are not files of this machine, and on systems without ``posix_fadvise``.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # io.UnsupportedOperation is one
            os.posix_fadvise(_stored_file(file).fileno(), start, length, os.POSIX_FADV_DONTNEED)


def _stored_file(file: BinaryIO) -> BinaryIO:
    """Return the file of an encrypted object; its bytes are offset by the header, which is less than a page."""
    stored: BinaryIO = getattr(getattr(file, "raw", None), "stored", file)
    return stored
