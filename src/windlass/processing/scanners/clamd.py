"""ClamAV's clamd over TCP or a Unix socket, by its INSTREAM command: it is sent the bytes and never told a path.

The protocol is clamd(8)'s: a command is ``z<NAME>\\0``, its answer one line that ends in ``\\0``. A stream's bytes
follow as chunks, each behind its length in four bytes, big-endian; a length of 0 ends it.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from windlass import conf
from windlass.kernel.clock import monotonic
from windlass.processing.scanners.contract import (
    Clean,
    Infected,
    NotScanned,
    ScanFailed,
    ScannerAway,
    ScanResult,
    UnpackingLimits,
)
from windlass.processing.scanners.probes import archive_of_test_file, archive_too_deep

MB = 1024 * 1024

#: Seconds for a connection, and for an answer that needs no scan.
CONNECT_SECONDS = 5.0
#: Seconds in which clamd must take one more chunk: it only writes it to a file of its own.
CHUNK_SECONDS = 30.0
CHUNK_SIZE = 128 * 1024
LONGEST_ANSWER = 4096

#: What clamd says of a stream longer than its ``StreamMaxLength``.
TOO_LONG = "INSTREAM size limit exceeded"
#: With ``AlertExceedsMax`` clamd says so of what it did not look into, by this name or by none; without, it says OK. Of
#: a packed file within a file that is larger than ``MaxFileSize`` it says OK either way.
BEYOND, NO_NAME = "Heuristics.Limits.Exceeded", "(null)"
#: ``MaxFiles``, where clamd does not say that there were more.
MOST_FILES = 10_000
#: Seconds for which it is known whether clamd says where it stopped: its settings may be changed.
KNOWN_SECONDS = 300.0
_VERDICT = re.compile(r"stream: (?:(?P<said>.+) )?(?P<word>OK|FOUND|ERROR)", re.DOTALL)


class Clamd:
    """``url`` is ``tcp://host:port`` or ``unix:///path``; a scan ends within ``seconds``; files above ``largest`` bytes
    are not what this clamd reads whole."""

    def __init__(self, url: str, *, seconds: float, largest: int) -> None:
        self.largest = largest
        self._url, self._seconds = url, seconds
        self._alerts: tuple[float, bool] | None = None

    def check(self) -> str:
        return self._ask("VERSION")

    def unpacking_limits(self) -> UnpackingLimits:
        if self._tells_limits():
            return UnpackingLimits(part=self.largest)
        return UnpackingLimits(part=self.largest, sum=self.largest, entries=MOST_FILES)

    def try_limits(self) -> str:
        """By the test file of EICAR, which stands at the end of an archive as large as clamd is said to read whole."""
        if not isinstance(self._scan_bytes(archive_of_test_file(0)), Infected):
            return "It does not know the test file of EICAR, so its limits were not tried."
        if not isinstance(self._scan_bytes(archive_of_test_file(self.largest)), Infected):
            raise ValueError(
                f"It does not read an archive of {self.largest // MB} MB whole: set CLAMAV_MAX_SIZE_MB to the least of "
                "its StreamMaxLength, MaxFileSize and MaxScanSize."
            )
        if not self._tells_limits():
            return (
                f"AlertExceedsMax is off, so archives that unpack to more than {self.largest // MB} MB count as not "
                "scanned: set `AlertExceedsMax yes` in clamd.conf."
            )
        return f"It reads {self.largest // MB} MB whole, and says where it stops."

    def _tells_limits(self) -> bool:
        """Whether ``AlertExceedsMax`` is on."""
        if self._alerts is None or monotonic() > self._alerts[0]:
            found = self._scan_bytes(archive_too_deep())
            self._alerts = monotonic() + KNOWN_SECONDS, isinstance(found, NotScanned)
        return self._alerts[1]

    def _scan_bytes(self, content: bytes) -> ScanResult:
        try:
            return self.scan(io.BytesIO(content), len(content))
        except ScanFailed as error:
            raise ScannerAway(str(error)) from error

    def scan(self, file: BinaryIO, size: int) -> ScanResult:
        """It is asked first whether it is there: one that hangs is known in seconds, not when a scan's time is up."""
        self._ping()
        with self._connected(monotonic() + self._seconds) as line:
            line.send(b"zINSTREAM\0")
            sent = _stream(file, line)
            try:
                answer = line.answer()
            except ScannerAway as error:
                if sent:
                    raise self._undecided(error) from error
                raise
        return _verdict(answer, size)

    def _undecided(self, error: ScannerAway) -> ScanFailed | ScannerAway:
        """It had the whole file and gave no verdict. Where it is there or has just died, it may be for this file, so
        that the attempt counts: a file that kills scanners must not do so for ever. Where it hangs, it is away."""
        if not isinstance(error, _Silent):
            return ScanFailed(str(error))
        try:
            self._ping()
        except ScannerAway as away:
            return away
        return ScanFailed(f"It gave no verdict within {self._seconds:g} seconds.")

    def _ping(self) -> None:
        answer = self._ask("PING")
        if answer != "PONG":
            raise ScannerAway(f"It answered PING with {answer[:100]!r}.")

    def _ask(self, command: str) -> str:
        with self._connected(monotonic() + CONNECT_SECONDS) as line:
            line.send(f"z{command}\0".encode())
            return line.answer()

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[_Line]:
        try:
            connection = _dial(self._url)
        except OSError as error:
            raise ScannerAway(f"It takes no connection: {error}") from error
        with connection:
            yield _Line(connection, deadline)


class _Silent(ScannerAway):
    """It took too long."""


class _Line:
    """One connection, with a moment by which everything must be over."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def send(self, data: bytes) -> None:
        """Raises ScannerAway."""
        with self._bounded(CHUNK_SECONDS):
            self._connection.sendall(data)

    def answer(self) -> str:
        """Its one answer, complete. Raises ScannerAway."""
        said = bytearray()
        while not said.endswith(b"\0"):
            with self._bounded():
                piece = self._connection.recv(LONGEST_ANSWER)
            if not piece or len(said) > LONGEST_ANSWER:
                raise ScannerAway("It ended the connection in the middle of an answer.")
            said += piece
        return said[:-1].decode(errors="replace").strip()

    @contextmanager
    def _bounded(self, seconds: float = float("inf")) -> Iterator[None]:
        left = min(seconds, self._deadline - monotonic())
        if left <= 0:
            raise _Silent("It took too long.")
        self._connection.settimeout(left)
        try:
            yield
        except TimeoutError as error:
            raise _Silent("It took too long.") from error
        except OSError as error:
            raise ScannerAway(f"It ended the connection: {error}") from error


def _dial(url: str) -> socket.socket:
    scheme, _, where = url.partition("://")
    if scheme == "tcp":
        host, _, port = where.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a stream's end is four bytes
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


def _stream(file: BinaryIO, line: _Line) -> bool:
    """Send every byte. False where clamd stopped taking them: it may have said why."""
    try:
        while chunk := file.read(CHUNK_SIZE):
            line.send(len(chunk).to_bytes(4, "big") + chunk)
        line.send(bytes(4))
    except _Silent:
        raise
    except ScannerAway:
        return False
    return True


def _verdict(answer: str, size: int) -> ScanResult:
    """What an answer means. One that is not about this file means that clamd takes no files."""
    if answer.startswith(TOO_LONG):
        return NotScanned(f"The file has {size} bytes, more than the scanner takes.", "StreamMaxLength", size)
    found = _VERDICT.fullmatch(answer)
    if found is None:
        raise ScannerAway(f"It answered {answer[:200]!r}.")
    said = found["said"] or ""
    if found["word"] == "ERROR":
        raise ScanFailed(f"It answered {said[:200]!r}.")
    if found["word"] == "OK":
        return Clean()
    if said.startswith(BEYOND) or said == NO_NAME:
        limit = said.removeprefix(NO_NAME).removeprefix(BEYOND).strip(".") or None
        return NotScanned(f"The scanner did not look into all of it: {limit or 'a limit'} was exceeded.", limit)
    return Infected(said)


def configured() -> Clamd:
    """The clamd that the settings name. Raises ValueError where they name none."""
    settings = conf.get()
    if not settings.clamav_url:
        raise ValueError("CLAMAV_URL is not set.")
    return Clamd(
        settings.clamav_url,
        seconds=settings.clamav_timeout_seconds,
        largest=settings.clamav_max_size_mb * conf.MB,
    )
