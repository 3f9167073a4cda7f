"""The file system, the network and other processes, closed by Landlock as far as this kernel can.

What is open already stays usable. Afterwards files can be read below the given directories, and nowhere else;
nothing can be written, made, removed or run anywhere. From the kernel's version 4 of Landlock on TCP is closed, from
6 on abstract Unix sockets and signals to processes outside.

The library ``landlock`` of PyPI is a pre-release that knows neither network nor scopes, hence these three calls
(docs/decisions/0020-walls.md). Numbers and names are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from windlass.processing.sandbox import system

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: Version of Landlock -> how many rights over files it knows; each later version has those of the last one here.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP_BIND_AND_CONNECT, _TCP_SINCE = 0b11, 4
_ABSTRACT_SOCKETS_AND_SIGNALS, _SCOPES_SINCE = 0b11, 6


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """What the kernel offers; 0: nothing."""
    try:
        return system.call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except (OSError, AttributeError):  # no such call, or switched off; a system without syscall(2)
        return 0


def restrict(readable: Iterable[str]) -> None:
    """Close this process for good, but for reading below these directories. Raises OSError where it cannot be done.

    It must run one thread, and must have forgone new privileges. A directory that does not exist is left out.
    """
    ruleset, size = _everything(version())
    walls = system.call(_CREATE_RULESET, ruleset, size, 0)
    try:
        for directory in readable:
            _let_read(walls, directory)
        system.call(_RESTRICT_SELF, walls, 0)
    finally:
        os.close(walls)


def _everything(known: int) -> tuple[_Ruleset, int]:
    """All that this version can forbid, and the size of the structure in it."""
    files = (1 << _FILE_RIGHTS[max((since for since in _FILE_RIGHTS if since <= known), default=1)]) - 1
    network = _TCP_BIND_AND_CONNECT if known >= _TCP_SINCE else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if known >= _SCOPES_SINCE else 0
    return _Ruleset(files, network, scoped), 8 * (1 + (known >= _TCP_SINCE) + (known >= _SCOPES_SINCE))


def _let_read(walls: int, directory: str) -> None:
    try:
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        system.call(_ADD_RULE, walls, _RULE_PATH_BENEATH, _PathBeneath(_READ_FILE | _READ_DIR, place), 0)
    finally:
        os.close(place)
