"""Counters of this machine's processes in files: one file per process, which it alone writes by memory mapping.

A file is a row of slots of ``SLOT`` bytes: a value (a double in the machine's byte order) and a key (UTF-8, padded with
NUL). Keys that begin with ``GAUGE`` are values of now, which end with their process; all others only grow.

Every process holds ``flock`` on its own file for as long as it lives, however it ends. Counters of ended processes are
added to the file ``ENDED``, so totals never fall. All of this happens under a lock of the directory: creating a file,
adding up, and (shared) reading. The directory must be on a file system of this machine, since mapped pages are not
shared between machines.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

SLOT = 256
_VALUE = struct.Struct("=d")
#: Bytes of the longest key.
LONGEST_KEY = SLOT - _VALUE.size
#: Slots that a file grows by.
SEGMENT_SLOTS = 256
#: The first character of keys whose values end with the process.
GAUGE = "g"

SUFFIX = ".counters"
#: JSON: ``totals`` of ended processes by key, and the names of the ``files`` in them, which may still exist.
ENDED = "ended.json"
_LOCK = "lock"


class CounterFile:
    """The file of this process. Not thread-safe: the caller holds a lock. ``close`` only in a forked child."""

    def __init__(self, path: Path) -> None:
        """Create and lock the file. The caller holds the directory's lock. Raises OSError."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._used = self._slots = 0
        self._values = memoryview(b"").cast("d")

    def allocate(self, key: str) -> tuple[memoryview[float], int]:
        """Return where to write the value of a new key: an array of doubles and an index. Raises OSError, ValueError.

        The memory stays valid as long as this process lives, also if the file is deleted.
        """
        encoded = key.encode()
        if len(encoded) > LONGEST_KEY:
            raise ValueError(f"a counter's key has at most {LONGEST_KEY} bytes: {key[:80]!r}")
        if self._used == self._slots:
            self._grow()
        slot = self._used
        os.pwrite(self._descriptor, encoded, slot * SLOT + _VALUE.size)
        self._used += 1
        return self._values, slot % SEGMENT_SLOTS * (SLOT // _VALUE.size)

    def close(self) -> None:
        """Close the descriptor; the lock stays with the process that was forked from."""
        os.close(self._descriptor)

    def _grow(self) -> None:
        """Add a segment. Its bytes are written first: a page without blocks on a full disk would be a SIGBUS later."""
        size = SEGMENT_SLOTS * SLOT
        start = self._slots * SLOT
        zeros = memoryview(bytes(size))
        while zeros:
            zeros = zeros[os.pwrite(self._descriptor, zeros, start + size - len(zeros)) :]
        self._values = memoryview(mmap.mmap(self._descriptor, size, offset=start)).cast("d")
        self._slots += SEGMENT_SLOTS


def create_counter_file(directory: Path, process: str) -> CounterFile:
    """Create the file of this process, and add up those of ended ones. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(directory, fcntl.LOCK_EX):
        _add_up_ended(directory)
        return CounterFile(directory / f"{process}-{uuid4().hex}{SUFFIX}")


def read_totals(directory: Path) -> dict[str, float]:
    """Return the sums by key over all processes, ended ones included; gauges of running ones only. Raises OSError."""
    with _locked(directory, fcntl.LOCK_SH):
        totals, has_ended = _read(directory)
    if has_ended:
        with _locked(directory, fcntl.LOCK_EX):
            _add_up_ended(directory)
    return totals


def _read(directory: Path) -> tuple[dict[str, float], bool]:
    """The totals, and whether there are files of ended processes that are to be added up."""
    totals, included = _read_ended(directory)
    has_ended = False
    for path in directory.glob(f"*{SUFFIX}"):
        if path.name in included:
            has_ended = True
            continue
        found, is_running = _read_file(path)
        has_ended = has_ended or not is_running
        totals.update({key: value for key, value in found.items() if is_running or not key.startswith(GAUGE)})
    return dict(totals), has_ended


def _add_up_ended(directory: Path) -> None:
    """Add the files of ended processes to ``ENDED`` and delete them. The caller holds the directory's lock.

    ``ENDED`` names them in the same rename, so that a crash in between neither loses nor repeats them.
    """
    totals, included = _read_ended(directory)
    ended = []
    for path in directory.glob(f"*{SUFFIX}"):
        if path.name not in included:
            found, is_running = _read_file(path)
            if is_running:
                continue
            totals.update({key: value for key, value in found.items() if not key.startswith(GAUGE)})
        ended.append(path)
    if not ended:
        return
    new = directory / f"{ENDED}.new"
    new.write_text(json.dumps({"files": [path.name for path in ended], "totals": totals}))
    new.replace(directory / ENDED)
    for path in ended:
        path.unlink(missing_ok=True)


def _read_ended(directory: Path) -> tuple[Counter[str], frozenset[str]]:
    with suppress(FileNotFoundError, ValueError):  # ValueError: half a file, after a machine lost its power
        document = json.loads((directory / ENDED).read_text())
        return Counter(document["totals"]), frozenset(document["files"])
    return Counter(), frozenset()


def _read_file(path: Path) -> tuple[dict[str, float], bool]:
    """The values of one file, and whether its process still runs, which is the one that has locked it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_running = False
        except BlockingIOError:
            is_running = True
        content = file.read()
    return dict(_values(content)), is_running


def _values(content: bytes) -> Iterator[tuple[str, float]]:
    for start in range(0, len(content) - SLOT + 1, SLOT):
        key = content[start + _VALUE.size : start + SLOT].rstrip(b"\0")
        if not key:
            return
        yield key.decode(errors="replace"), _VALUE.unpack_from(content, start)[0]


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
