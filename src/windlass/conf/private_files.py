"""Permissions of the server's files: only its own user may access them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from windlass.conf.setting_definitions import Settings

_OTHERS = 0o077
#: Permission to access files in a directory whose names are known, without listing it.
_TRAVERSE = 0o011


def close_home(settings: Settings) -> None:
    """Remove other users' permissions on the home directory and its secret key, if it exists and is ours.

    Where a proxy sends files from it (SENDFILE), the permission to traverse it is kept.
    """
    keep = 0 if settings.sendfile == "off" else _TRAVERSE
    close_to_others(settings.windlass_home, keep=keep)
    close_to_others(settings.windlass_home / "secret-key")


def close_to_others(path: Path, *, keep: int = 0) -> None:
    """Remove other users' permissions on a file or directory, except ``keep``.

    Nothing changes where it belongs to another user or is shared on purpose (sticky, such as ``/tmp``): see
    ``open_to_others``.
    """
    with suppress(OSError):
        status = path.stat()
        is_shared = status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX
        mode = stat.S_IMODE(status.st_mode)
        if not is_shared and mode & _OTHERS & ~keep:
            path.chmod(mode & (~_OTHERS | keep))


def open_to_others(path: Path) -> bool:
    """Whether other users may list or change the path; False where it does not exist."""
    with suppress(OSError):
        return bool(stat.S_IMODE(path.stat().st_mode) & _OTHERS & ~_TRAVERSE)
    return False
