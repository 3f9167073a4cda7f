"""What a malware scanner must be. Authors of scanners need this module and nothing else of Windlass.

A scanner is announced by an entry point of the group ``windlass.scanners`` (``name = "module:Class"``) and chosen by
the setting ``SCANNER``. The entry point is called without arguments, once in each process that scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, runtime_checkable


class ScannerAway(Exception):
    """The scanner cannot be asked now: it is not there, does not answer, or takes no files. Nothing is said of the
    file, which waits. The text is for the log."""


class ScanFailed(Exception):
    """The scanner is there and could not do this file. It is asked again a few times. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Clean:
    """The whole file was read, and nothing is known against it."""


@dataclass(frozen=True, slots=True)
class UnpackingLimits:
    """What a scanner reads of the files within a file, where it does not say by itself that there was more: each file
    up to ``part`` bytes, all of them up to ``sum`` bytes and ``entries``. None where there is no limit, or it says so.
    """

    part: int | None = None
    sum: int | None = None
    entries: int | None = None


@dataclass(frozen=True, slots=True)
class CleanWithin(Clean):
    """Clean, as far as the scanner unpacks it. Whoever knows what the file unpacks to knows whether that is all."""

    limits: UnpackingLimits


@dataclass(frozen=True, slots=True)
class Infected:
    """The file is malware; ``signature`` is the scanner's name for it."""

    signature: str


@dataclass(frozen=True, slots=True)
class NotScanned:
    """The scanner does not take this file, now or later, or did not look into all of it. ``reason`` is a sentence for
    the file's owner; ``limit`` and ``actual`` are the figures, as JSON values."""

    reason: str
    limit: Any = None
    actual: Any = None


ScanResult = Clean | Infected | NotScanned


class Scanner(Protocol):
    """One scanner. Its instance is shared by threads: keep nothing of a file in ``self``."""

    @property
    def largest(self) -> int | None:
        """Bytes of the largest file that it reads whole; None where there is no limit. It is not asked of larger ones,
        which count as not scanned."""
        ...

    def scan(self, file: BinaryIO, size: int) -> ScanResult:
        """Read ``file``, which is open at its beginning and has ``size`` bytes, in bounded pieces. It must end by
        itself, whatever the service does. Raises ScannerAway, ScanFailed."""
        ...

    def check(self) -> str:
        """The version, in one line; within a few seconds. Raises ScannerAway."""
        ...


@runtime_checkable
class Unpacks(Protocol):
    """A scanner that unpacks files, and has limits in doing so."""

    def unpacking_limits(self) -> UnpackingLimits:
        """Asked after each file that is clean: it must be known, or found within seconds. Raises ScannerAway."""
        ...


@runtime_checkable
class Tried(Protocol):
    """A scanner that can be tried more thoroughly than ``check`` does."""

    def try_limits(self) -> str:
        """In a sentence, what there is to know of its limits. Raises ValueError where they are below what was set."""
        ...
