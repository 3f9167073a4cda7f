"""The malware scanner that the settings name, found by entry point and called behind its circuit breaker."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points
from typing import BinaryIO

import structlog

from windlass import conf
from windlass.processing.contract import TransientError, Unavailable
from windlass.processing.scanners.contract import (
    Clean,
    CleanWithin,
    NotScanned,
    ScanFailed,
    Scanner,
    ScannerAway,
    ScanResult,
    Tried,
    Unpacks,
)
from windlass.resilience.circuit_breaker import BreakerOpen, breaker

GROUP = "windlass.scanners"
BREAKER = "scanner"
#: Seconds after which a scanner that has just failed is asked again, while its breaker is closed.
RETRY_SECONDS = 2.0
AWAY = "The malware scanner is away; the file waits for it."

log = structlog.get_logger(__name__)


class BrokenScanner(Exception):
    """The scanner that the settings name cannot be used, so no file that must be scanned may pass."""


def configured_scanner() -> Scanner | None:
    """This process's scanner; None if the settings name none. Raises BrokenScanner."""
    settings = conf.get()
    return _load(settings) if settings.scanner_name else None


@lru_cache(maxsize=1)
def _load(settings: conf.Settings) -> Scanner:
    name = settings.scanner_name
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted(points))
        raise BrokenScanner(f"SCANNER is {name!r}: there is no such scanner here. There are: {known}.")
    try:
        scanner: Scanner = points[name].load()()
    except Exception as error:  # a plug-in may fail in any way
        raise BrokenScanner(f"The scanner {name} cannot be loaded: {error}") from error
    return scanner


def scan(file: BinaryIO, size: int) -> ScanResult:
    """Scan a file that is open at its start. Raises Unavailable, TransientError."""
    scanner = _required_scanner()
    if scanner.largest is not None and size > scanner.largest:
        return NotScanned(f"The scanner takes files of up to {scanner.largest} bytes.", scanner.largest, size)
    try:
        with breaker(BREAKER).call(ScannerAway):
            result = scanner.scan(file, size)
            if type(result) is Clean and isinstance(scanner, Unpacks):
                return CleanWithin(scanner.unpacking_limits())
            return result
    except BreakerOpen as error:
        raise Unavailable(AWAY, error.retry_after) from error
    except ScannerAway as error:
        log.warning("scanner.away", reason=str(error))
        raise Unavailable(AWAY, breaker(BREAKER).retry_after() or RETRY_SECONDS) from error
    except ScanFailed as error:
        log.warning("scanner.failed", reason=str(error))
        raise TransientError("The malware scanner came to no verdict on this file.") from error


def available() -> bool:
    """Return whether a scan may succeed now: within a few seconds, at once while the breaker is open."""
    try:
        with breaker(BREAKER).call(ScannerAway):
            return scanner_version() is not None
    except (ScannerAway, BrokenScanner, BreakerOpen):
        return False


def scanner_version() -> str | None:
    """Ask the scanner for its version, whatever the state of the breaker; None if no scanner is configured.

    Raises ScannerAway, BrokenScanner.
    """
    scanner = configured_scanner()
    return scanner.check() if scanner else None


def try_scanner_limits() -> str:
    """Describe the scanner's limits in a sentence; empty if they cannot be tried.

    Raises ScannerAway, BrokenScanner, and ValueError if they are below what the settings say.
    """
    scanner = configured_scanner()
    return scanner.try_limits() if isinstance(scanner, Tried) else ""


def _required_scanner() -> Scanner:
    """A profile can ask for a scan only if a scanner is configured; files wait for one that is broken."""
    try:
        scanner = configured_scanner()
    except BrokenScanner as error:
        log.error("scanner.broken", reason=str(error))
        raise Unavailable(AWAY) from error
    if scanner is None:
        raise Unavailable(AWAY)
    return scanner
