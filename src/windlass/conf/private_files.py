"""What the server keeps on this machine is its user's alone, also in a directory that others made before."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from windlass.conf.settings import Settings

_OTHERS = 0o077
#: Permission to reach what lies below, without a list of it.
_PASS_THROUGH = 0o011


def close_home(settings: Settings) -> None:
    """Take the permissions of others from the home directory and the secret key in it, if it is there and ours.

    Where a proxy sends files out of it (SENDFILE), a permission to pass through stays as it is.
    """
    passing = 0 if settings.sendfile == "off" else _PASS_THROUGH
    close_to_others(settings.windlass_home, keep=passing)
    close_to_others(settings.windlass_home / "secret-key")


def close_to_others(path: Path, *, keep: int = 0) -> None:
    """Leave a file or directory of ours to its owner. One of another user, or one that is shared on purpose such as
    ``/tmp``, is left alone: ``open_to_others`` tells of it."""
    with suppress(OSError):
        found = path.stat()
        shared = found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX
        mode = stat.S_IMODE(found.st_mode)
        if not shared and mode & _OTHERS & ~keep:
            path.chmod(mode & (~_OTHERS | keep))


def open_to_others(path: Path) -> bool:
    """Whether other users may list or change it."""
    with suppress(OSError):
        return bool(stat.S_IMODE(path.stat().st_mode) & _OTHERS & ~_PASS_THROUGH)
    return False
