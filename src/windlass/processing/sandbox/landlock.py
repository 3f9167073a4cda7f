"""Restrict files, network and signals with Landlock, as far as this kernel supports it.

Open files stay usable. Afterwards files can be read below the given directories only; nothing can be written, created,
removed or executed. Landlock version 4 adds TCP, version 6 abstract Unix sockets and signals to other processes.

The library ``landlock`` of PyPI is a pre-release without network and scopes, hence these three calls
(docs/decisions/0020). Numbers and names are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from windlass.processing.sandbox import linux_calls

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: Landlock version -> number of file rights; versions in between have those of the one before.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP_BIND_AND_CONNECT, _TCP_SINCE = 0b11, 4
_ABSTRACT_SOCKETS_AND_SIGNALS, _SCOPES_SINCE = 0b11, 6


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """The kernel's version of Landlock; 0 if it has none."""
    try:
        return linux_calls.call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except (OSError, AttributeError):  # no such call, or switched off; a system without syscall(2)
        return 0


def restrict(readable: Iterable[str]) -> None:
    """Allow this process nothing but reading below these directories, for good. Raises OSError.

    It must have one thread and must have forgone new privileges. Directories that do not exist are left out.
    """
    ruleset, size = _all_restrictions(version())
    ruleset_fd = linux_calls.call(_CREATE_RULESET, ruleset, size, 0)
    try:
        for directory in readable:
            _allow_reading(ruleset_fd, directory)
        linux_calls.call(_RESTRICT_SELF, ruleset_fd, 0)
    finally:
        os.close(ruleset_fd)


def _all_restrictions(known: int) -> tuple[_Ruleset, int]:
    """Everything that this version can restrict, and the size of its structure."""
    files = (1 << _FILE_RIGHTS[max((since for since in _FILE_RIGHTS if since <= known), default=1)]) - 1
    network = _TCP_BIND_AND_CONNECT if known >= _TCP_SINCE else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if known >= _SCOPES_SINCE else 0
    return _Ruleset(files, network, scoped), 8 * (1 + (known >= _TCP_SINCE) + (known >= _SCOPES_SINCE))


def _allow_reading(ruleset_fd: int, directory: str) -> None:
    try:
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        linux_calls.call(
            _ADD_RULE, ruleset_fd, _RULE_PATH_BENEATH, _PathBeneath(_READ_FILE | _READ_DIR, directory_fd), 0
        )
    finally:
        os.close(directory_fd)
