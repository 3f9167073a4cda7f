"""Counts that web processes of one ``windlass serve`` share in memory: connections of addresses, writers of uploads.

Each process has a row of counts, which it alone writes; a restarted one clears the row of its predecessor. The slot of
a key in the row is a keyed hash. Keys that share a slot count together, which is rare: there are many more slots than
connections, and nobody can choose them.
"""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile
from hashlib import blake2b

#: Slots of a row, of two bytes each.
SLOTS = 65536
_KEY_BYTES = 16
_ROW_BYTES = 2 * SLOTS


def create_table(processes: int) -> int:
    """A descriptor of a new table with a row for each process, which they inherit."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("windlass-shared-counts")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.pwrite(descriptor, secrets.token_bytes(_KEY_BYTES) + bytes(processes * _ROW_BYTES), 0)
    return descriptor


class SharedCounts:
    """The counts of this process, and the sums of all others. All methods belong to one thread."""

    def __init__(self) -> None:
        self._secret = b""
        self._own: memoryview[int] = memoryview(b"").cast("H")
        self._others: list[memoryview[int]] = []

    def share(self, descriptor: int, number: int) -> None:
        """Use row ``number`` (from 1) of the table with this descriptor. Before, nothing is shared."""
        table = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        cells = memoryview(table)[_KEY_BYTES:].cast("H")
        rows = [cells[start : start + SLOTS] for start in range(0, len(cells), SLOTS)]
        self._secret = table[:_KEY_BYTES]
        self._own, self._others = rows.pop(number - 1), rows
        self._own[:] = memoryview(bytes(_ROW_BYTES)).cast("H")

    def add(self, key: str, amount: int) -> None:
        """Count ``amount`` more of this process; fewer where it is negative."""
        if self._others:
            self._own[self._slot(key)] += amount

    def of_others(self, key: str) -> int:
        """What the other processes have counted."""
        if not self._others:
            return 0
        slot = self._slot(key)
        return sum(row[slot] for row in self._others)

    def _slot(self, key: str) -> int:
        digest = blake2b(key.encode(errors="replace"), key=self._secret, digest_size=4).digest()
        return int.from_bytes(digest) % SLOTS


shared_counts = SharedCounts()
