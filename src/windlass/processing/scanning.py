"""Asks the malware scanner, behind its breaker, and says in the steps' words how that went."""

from __future__ import annotations

from typing import BinaryIO

import structlog

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
from windlass.processing.scanners.registry import BrokenScanner, chosen
from windlass.resilience.circuit_breaker import BreakerOpen, breaker

BREAKER = "scanner"
#: Seconds after which a scanner that has just failed is asked again, while its breaker is closed.
AGAIN_SECONDS = 2.0
AWAY = "The malware scanner is away; the file waits for it."

log = structlog.get_logger(__name__)


def scan(file: BinaryIO, size: int) -> ScanResult:
    """What the scanner knows of the file, which is open at its beginning. Raises Unavailable, TransientError."""
    scanner = _scanner()
    if scanner.largest is not None and size > scanner.largest:
        return NotScanned(f"The scanner takes files of up to {scanner.largest} bytes.", scanner.largest, size)
    try:
        with breaker(BREAKER).call(ScannerAway):
            found = scanner.scan(file, size)
            if type(found) is Clean and isinstance(scanner, Unpacks):
                return CleanWithin(scanner.unpacking_limits())
            return found
    except BreakerOpen as error:
        raise Unavailable(AWAY, error.retry_after) from error
    except ScannerAway as error:
        log.warning("scanner.away", reason=str(error))
        raise Unavailable(AWAY, breaker(BREAKER).retry_after() or AGAIN_SECONDS) from error
    except ScanFailed as error:
        log.warning("scanner.failed", reason=str(error))
        raise TransientError("The malware scanner came to no verdict on this file.") from error


def available() -> bool:
    """Whether a scan is worth a try now; a few seconds at most, and at once while the breaker is open."""
    try:
        with breaker(BREAKER).call(ScannerAway):
            return check() is not None
    except (ScannerAway, BrokenScanner, BreakerOpen):
        return False


def check() -> str | None:
    """The scanner's version, asked without regard to the breaker; None where none is set.

    Raises ScannerAway, BrokenScanner.
    """
    scanner = chosen()
    return scanner.check() if scanner else None


def try_limits() -> str:
    """What is known of the scanner's limits, in a sentence; empty where it cannot be tried. Raises ScannerAway,
    BrokenScanner, and ValueError where they are below what the settings say."""
    scanner = chosen()
    return scanner.try_limits() if isinstance(scanner, Tried) else ""


def _scanner() -> Scanner:
    """A profile can only ask for a scan where a scanner is set; one that is broken keeps files waiting."""
    try:
        found = chosen()
    except BrokenScanner as error:
        log.error("scanner.broken", reason=str(error))
        raise Unavailable(AWAY) from error
    if found is None:
        raise Unavailable(AWAY)
    return found
