"""Keeps what is read once, to be looked at, out of the memory that holds what is read often."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO


def forget(file: BinaryIO, start: int = 0, length: int = 0) -> None:
    """The operating system need not keep these bytes in memory; ``length`` 0: up to the end.

    What is read after that comes from the medium, which is what somebody who verifies it wants. Does nothing for what
    is no file of this machine, and where the system knows no such wish.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # io.UnsupportedOperation is one
            os.posix_fadvise(_stored(file).fileno(), start, length, os.POSIX_FADV_DONTNEED)


def _stored(file: BinaryIO) -> BinaryIO:
    """What an encrypted object is read from; there the same bytes lie a header later, which is less than a page."""
    found: BinaryIO = getattr(getattr(file, "raw", None), "stored", file)
    return found
