"""The contract of malware scanners. Authors of scanners need this module and nothing else of Windlass.

A scanner is registered by an entry point of the group ``windlass.scanners`` (``name = "module:Class"``) and chosen by
the setting ``SCANNER``. The entry point is called without arguments, once in each process that scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, runtime_checkable


class ScannerAway(Exception):
    """The scanner is not reachable, does not answer or takes no files. The file waits. The text is for the log."""


class ScanFailed(Exception):
    """The scanner answers but failed on this file. The scan is retried a few times. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Clean:
    """The whole file was scanned, and no malware was found."""


@dataclass(frozen=True, slots=True)
class UnpackingLimits:
    """How much a scanner reads of the files within a file without reporting that there was more: ``part`` bytes of
    each, ``sum`` bytes of all, ``entries`` files. None: no limit, or the scanner reports that it was exceeded.
    """

    part: int | None = None
    sum: int | None = None
    entries: int | None = None


@dataclass(frozen=True, slots=True)
class CleanWithin(Clean):
    """Clean within the scanner's unpacking limits. Compare them with what the file unpacks to."""

    limits: UnpackingLimits


@dataclass(frozen=True, slots=True)
class Infected:
    """The file is malware; ``signature`` is the scanner's name for it."""

    signature: str


@dataclass(frozen=True, slots=True)
class NotScanned:
    """The scanner does not take this file, now or later, or did not scan all of it. ``reason`` is a sentence for the
    file's owner; ``limit`` and ``actual`` are the figures, as JSON values."""

    reason: str
    limit: Any = None
    actual: Any = None


ScanResult = Clean | Infected | NotScanned


class Scanner(Protocol):
    """One scanner. Its instance is shared by threads: keep nothing of a file in ``self``."""

    @property
    def largest(self) -> int | None:
        """Size (bytes) of the largest file that it reads whole; None if there is no limit. Larger files are not sent to
        it and count as not scanned."""
        ...

    def scan(self, file: BinaryIO, size: int) -> ScanResult:
        """Scan ``file``, which is open at its start and has ``size`` bytes, in bounded pieces. It must end by itself,
        whatever the service does. Raises ScannerAway, ScanFailed."""
        ...

    def check(self) -> str:
        """Return the version in one line, within a few seconds. Raises ScannerAway."""
        ...


@runtime_checkable
class Unpacks(Protocol):
    """A scanner that unpacks files within limits."""

    def unpacking_limits(self) -> UnpackingLimits:
        """Called after each clean file; must return within seconds. Raises ScannerAway."""
        ...


@runtime_checkable
class Tried(Protocol):
    """A scanner whose limits can be tried."""

    def try_limits(self) -> str:
        """Describe its limits in a sentence. Raises ScannerAway; ValueError if they are below what is configured."""
        ...
