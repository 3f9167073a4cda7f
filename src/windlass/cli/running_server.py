"""The address of the server that runs with a home directory, for other commands on the same machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

#: Holds the address while the server runs, in its home directory. The file is locked as long as it is true.
ADDRESS_FILE = "serve.address"


def publish_address(home: Path, url: str) -> int:
    """Write the server's address. It holds until this process has ended, or closes the descriptor that is returned."""
    descriptor = os.open(home / ADDRESS_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, url.encode(), 0)
    return descriptor


def running_address(home: Path) -> str | None:
    """Return the address of the server that runs with this home directory; None if none does, or another user's."""
    try:
        descriptor = os.open(home / ADDRESS_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            return None
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it
        return os.pread(descriptor, 300, 0).decode("utf-8", "replace").strip() or None
    finally:
        os.close(descriptor)
