"""Keep freed buffers for the next ones.

glibc gives every large buffer back to the kernel as soon as it is free and asks for it again, zeroed page by page, a
moment later. For a stream of 256 KiB buffers that costs as much as writing them: half of a GiB's CPU seconds, measured
with ``make bench``. With these thresholds the heap keeps what it has; its size stays what two buffers an upload need.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_MIB = 1024 * 1024


def keep_freed_buffers() -> None:
    """For a process that moves bytes. Does nothing where the C library has no ``mallopt``.

    Where threads make large buffers of their own, as they do of parts for a bucket and of the blocks of a ZIP, each
    would keep what it freed to itself. With two heaps for all of them 200 ZIPs that nobody read took half as much, and
    all of it could be given back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 8 * _MIB)
        mallopt(_TRIM_THRESHOLD, 64 * _MIB)
        mallopt(_TOP_PAD, 16 * _MIB)
        mallopt(_ARENA_MAX, 2)
