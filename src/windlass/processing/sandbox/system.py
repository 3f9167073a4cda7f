"""Calls of the operating system that Python has no function for. Linux only."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """Loaded in the sandbox's parent already: a child that looks it up anew pays for it with each file."""
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """``syscall(2)``: numbers as they are, buffers and structures by address. Raises OSError."""
    libc().syscall.restype = ctypes.c_long
    given = (
        ctypes.c_long(one) if isinstance(one, int) else ctypes.byref(one) if one is not None else None
        for one in arguments
    )
    answer: int = libc().syscall(ctypes.c_long(number), *given)
    return _checked(answer)


def die_with_parent(signal: int) -> None:
    _control(_PR_SET_PDEATHSIG, signal)


def forgo_new_privileges() -> None:
    """No program started from here gains rights by its file; without this, neither Landlock nor seccomp may be used."""
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def refuse_tracing() -> None:
    """No other process of this user may look into this one, nor is it dumped when it crashes."""
    _control(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """What a child leaves behind becomes the caller's own child."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)


def drop_capabilities() -> None:
    """Root keeps its name and none of its powers; for everybody else nothing changes."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(libc().capset(header, none))


def _control(option: int, value: int) -> None:
    _checked(libc().prctl(option, value, 0, 0, 0))


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
