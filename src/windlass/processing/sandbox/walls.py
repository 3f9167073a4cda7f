"""The walls around a child, made ready before the fork: Landlock around the file system, seccomp around the calls."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache

from windlass.processing.sandbox import landlock, seccomp, system

#: Where the system keeps libraries that are loaded when they are first used, such as character sets.
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
#: An entry of ``sys.path`` counts as a library under these names only: another may be a project's root, where its
#: settings and its data are.
_LIBRARIES = ("site-packages", "dist-packages")


def prepare() -> None:
    """What every child would else work out for itself. Called in the sandbox's parent, before the first fork."""
    readable()
    if sys.platform == "linux":
        system.libc()
        with contextlib.suppress(OSError):
            seccomp.program(platform.machine())


def close(*, strict: bool) -> None:
    """Close this process for good. ``strict``: raises OSError where a wall cannot be had; else it is left out."""
    for wall in (_close_files, seccomp.install):
        try:
            if sys.platform != "linux":
                raise OSError(f"there is neither Landlock nor seccomp on {platform.system()}")
            wall()
        except OSError:
            if strict:
                raise


def _close_files() -> None:
    landlock.restrict(readable())


@lru_cache(maxsize=1)
def readable() -> tuple[str, ...]:
    """The directories of the interpreter's and the system's libraries, none of them below another."""
    found = {os.path.realpath(directory) for directory in _library_directories()}
    apart = [one for one in found if not any(other != one and _below(one, other) for other in found)]
    return tuple(sorted(directory for directory in apart if os.path.isdir(directory)))


def _library_directories() -> Iterator[str]:
    yield from _SYSTEM
    for base in ({}, {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}):
        for name in ("stdlib", "platstdlib", "purelib", "platlib"):
            yield sysconfig.get_path(name, vars=base)
    yield from (entry for entry in sys.path if os.path.basename(entry) in _LIBRARIES)
    # Shared libraries that belong to the interpreter, where it does not live in /usr.
    yield os.path.join(sys.base_prefix, "lib")
    yield os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _below(path: str, directory: str) -> bool:
    return os.path.commonpath([path, directory]) == directory
