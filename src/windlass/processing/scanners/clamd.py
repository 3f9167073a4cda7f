"""ClamAV's clamd over TCP or a Unix socket, by its INSTREAM command: it receives the bytes and never a path.

The protocol is clamd(8)'s: a command is ``z<NAME>\\0``, its answer one line that ends in ``\\0``. A stream's bytes
follow as chunks, each behind its length in four bytes, big-endian; a length of 0 ends it.
"""

from __future__ import annotations

import io
import re
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from windlass import conf
from windlass.conf import MB
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

#: Seconds for a connection, and for an answer without a scan.
CONNECT_SECONDS = 5.0
#: Seconds in which clamd must receive one more chunk, which it only writes to a temporary file.
CHUNK_SECONDS = 30.0
CHUNK_SIZE = 128 * 1024
LONGEST_ANSWER = 4096

#: clamd's answer to a stream longer than its ``StreamMaxLength``.
TOO_LONG = "INSTREAM size limit exceeded"
#: With ``AlertExceedsMax`` clamd reports this name, or none, for content beyond its limits; without, it reports OK. For
#: a packed file larger than ``MaxFileSize`` it reports OK either way.
LIMITS_EXCEEDED, NO_NAME = "Heuristics.Limits.Exceeded", "(null)"
#: ``MaxFiles``, which counts if clamd does not report that there were more files.
MOST_FILES = 10_000
#: Seconds after which it is tried again whether ``AlertExceedsMax`` is on: clamd may be reconfigured.
ALERTS_KNOWN_SECONDS = 300.0
_VERDICT = re.compile(r"stream: (?:(?P<name>.+) )?(?P<word>OK|FOUND|ERROR)", re.DOTALL)

#: The EICAR test file, which every scanner knows; in two parts, or scanners would report this module.
EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!$H+H*"))
#: Deeper than clamd's ``MaxRecursion`` can be set.
_TOO_DEEP = 120


class Clamd:
    """``url`` is ``tcp://host:port`` or ``unix:///path``; a scan ends within ``seconds``; ``largest`` is the
    size (bytes) of the largest file that this clamd reads whole."""

    def __init__(self, url: str, *, seconds: float, largest: int) -> None:
        self.largest = largest
        self._url, self._seconds = url, seconds
        self._alerts: tuple[float, bool] | None = None

    def check(self) -> str:
        return self._ask("VERSION")

    def unpacking_limits(self) -> UnpackingLimits:
        if self._reports_limits():
            return UnpackingLimits(part=self.largest)
        return UnpackingLimits(part=self.largest, sum=self.largest, entries=MOST_FILES)

    def try_limits(self) -> str:
        """Scan archives of the configured size that end in the EICAR test file."""
        if not isinstance(self._scan_bytes(archive_of_test_file(0)), Infected):
            return "It does not know the test file of EICAR, so its limits were not tried."
        if not isinstance(self._scan_bytes(archive_of_test_file(self.largest)), Infected):
            raise ValueError(
                f"It does not read an archive of {self.largest // MB} MB whole: set CLAMAV_MAX_SIZE_MB to the least of "
                "its StreamMaxLength, MaxFileSize and MaxScanSize."
            )
        if not self._reports_limits():
            return (
                f"AlertExceedsMax is off, so archives that unpack to more than {self.largest // MB} MB count as not "
                "scanned: set `AlertExceedsMax yes` in clamd.conf."
            )
        return f"It reads {self.largest // MB} MB whole, and says where it stops."

    def _reports_limits(self) -> bool:
        """Return whether ``AlertExceedsMax`` is on."""
        if self._alerts is None or monotonic() > self._alerts[0]:
            result = self._scan_bytes(archive_too_deep())
            self._alerts = monotonic() + ALERTS_KNOWN_SECONDS, isinstance(result, NotScanned)
        return self._alerts[1]

    def _scan_bytes(self, content: bytes) -> ScanResult:
        try:
            return self.scan(io.BytesIO(content), len(content))
        except ScanFailed as error:
            raise ScannerAway(str(error)) from error

    def scan(self, file: BinaryIO, size: int) -> ScanResult:
        """Pings clamd first: one that hangs is noticed within seconds, not after the time of a scan."""
        self._ping()
        with self._connected(monotonic() + self._seconds) as connection:
            connection.send(b"zINSTREAM\0")
            sent = _stream(file, connection)
            try:
                answer = connection.answer()
            except ScannerAway as error:
                if sent:
                    raise self._undecided(error) from error
                raise
        return _verdict(answer, size)

    def _undecided(self, error: ScannerAway) -> ScanFailed | ScannerAway:
        """The error for a clamd that received the whole file and gave no verdict.

        If it still answers or has just died, this file may be the cause, so the attempt counts: a file that kills
        scanners must not do so for ever. If it hangs, it counts as away.
        """
        if not isinstance(error, _TimedOut):
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
        with self._connected(monotonic() + CONNECT_SECONDS) as connection:
            connection.send(f"z{command}\0".encode())
            return connection.answer()

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[_Connection]:
        try:
            opened = _connect(self._url)
        except OSError as error:
            raise ScannerAway(f"It takes no connection: {error}") from error
        with opened:
            yield _Connection(opened, deadline)


class _TimedOut(ScannerAway):
    """It took too long."""


class _Connection:
    """One connection with a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._socket, self._deadline = connection, deadline

    def send(self, data: bytes) -> None:
        """Raises ScannerAway."""
        with self._bounded(CHUNK_SECONDS):
            self._socket.sendall(data)

    def answer(self) -> str:
        """Receive the one answer. Raises ScannerAway."""
        answer = bytearray()
        while not answer.endswith(b"\0"):
            with self._bounded():
                piece = self._socket.recv(LONGEST_ANSWER)
            if not piece or len(answer) > LONGEST_ANSWER:
                raise ScannerAway("It ended the connection in the middle of an answer.")
            answer += piece
        return answer[:-1].decode(errors="replace").strip()

    @contextmanager
    def _bounded(self, seconds: float = float("inf")) -> Iterator[None]:
        left = min(seconds, self._deadline - monotonic())
        if left <= 0:
            raise _TimedOut("It took too long.")
        self._socket.settimeout(left)
        try:
            yield
        except TimeoutError as error:
            raise _TimedOut("It took too long.") from error
        except OSError as error:
            raise ScannerAway(f"It ended the connection: {error}") from error


def _connect(url: str) -> socket.socket:
    scheme, _, address = url.partition("://")
    if scheme == "tcp":
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a stream's end is four bytes
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _stream(file: BinaryIO, connection: _Connection) -> bool:
    """Send the whole file. Return False if clamd stopped receiving; its answer may say why."""
    try:
        while chunk := file.read(CHUNK_SIZE):
            connection.send(len(chunk).to_bytes(4, "big") + chunk)
        connection.send(bytes(4))
    except _TimedOut:
        raise
    except ScannerAway:
        return False
    return True


def _verdict(answer: str, size: int) -> ScanResult:
    """Interpret an answer. One that is not about this file means that clamd takes no files: raises ScannerAway."""
    if answer.startswith(TOO_LONG):
        return NotScanned(f"The file has {size} bytes, more than the scanner takes.", "StreamMaxLength", size)
    match = _VERDICT.fullmatch(answer)
    if match is None:
        raise ScannerAway(f"It answered {answer[:200]!r}.")
    name = match["name"] or ""
    if match["word"] == "ERROR":
        raise ScanFailed(f"It answered {name[:200]!r}.")
    if match["word"] == "OK":
        return Clean()
    if name.startswith(LIMITS_EXCEEDED) or name == NO_NAME:
        limit = name.removeprefix(NO_NAME).removeprefix(LIMITS_EXCEEDED).strip(".") or None
        return NotScanned(f"The scanner did not look into all of it: {limit or 'a limit'} was exceeded.", limit)
    return Infected(name)


def configured() -> Clamd:
    """The clamd in the settings. Raises ValueError if CLAMAV_URL is not set."""
    settings = conf.get()
    if not settings.clamav_url:
        raise ValueError("CLAMAV_URL is not set.")
    return Clamd(
        settings.clamav_url,
        seconds=settings.clamav_timeout_seconds,
        largest=settings.clamav_max_size_mb * MB,
    )


def archive_of_test_file(size: int) -> bytes:
    """A zip archive of at most ``size`` bytes whose last entry is the EICAR test file."""
    padding = max(size - 1024, 0)
    return _zip_archive({"padding": bytes(padding), "eicar.com": EICAR})


def archive_too_deep() -> bytes:
    """Zip archives nested deeper than any scanner reads."""
    content = b"nothing"
    for _ in range(_TOO_DEEP):
        content = _zip_archive({"inner.zip": content})
    return content


def _zip_archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()
