"""Settings of the C library's memory allocator: keep freed buffers for the next ones.

glibc returns every large buffer to the kernel as soon as it is freed and asks for it again, zeroed page by page, a
moment later. For a stream of 256 KiB buffers that costs as much as writing them: half of the CPU seconds of a GiB,
measured with ``make bench``. With these thresholds the heap keeps its memory; its size stays two buffers per upload.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_MIB = 1024 * 1024


def keep_freed_buffers() -> None:
    """Set the thresholds for a process that moves bytes. Does nothing if the C library has no ``mallopt``.

    Each thread that makes large buffers of its own (parts for a bucket, blocks of a ZIP) would otherwise keep what it
    freed to itself. With two heaps for all threads, 200 ZIPs that nobody read took half as much memory, and all of it
    could be returned.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 8 * _MIB)
        mallopt(_TRIM_THRESHOLD, 64 * _MIB)
        mallopt(_TOP_PAD, 16 * _MIB)
        mallopt(_ARENA_MAX, 2)


def release_freed_memory() -> None:
    """Return freed memory to the kernel. Takes milliseconds; does nothing if the C library has no ``malloc_trim``.

    Also before a fork: a child that allocates freed memory of its parent copies each page of it, garbage included.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
