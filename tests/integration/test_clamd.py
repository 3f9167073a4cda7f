"""The clamd client against a real clamd, and against servers that fail in its place."""

from __future__ import annotations

import io
import random
import signal
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests import services
from tests.services import EICAR, EICAR_SIGNATURE
from windlass.processing.scanners import clamd as module
from windlass.processing.scanners.clamd import Clamd
from windlass.processing.scanners.contract import (
    Clean,
    Infected,
    NotScanned,
    ScanFailed,
    ScannerAway,
    ScanResult,
    UnpackingLimits,
)

MB = 1024 * 1024
#: Limits far below the defaults, so that small files are beyond them.
LIMITS = ("StreamMaxLength 4M", "MaxFileSize 2M", "AlertExceedsMax yes")


@pytest.fixture(scope="module")
def server(clamd_program: str) -> Iterator[services.Clamd]:
    with services.clamd(clamd_program, *LIMITS) as running:
        yield running


@pytest.fixture(params=["tcp", "unix"])
def scanner(request: pytest.FixtureRequest, server: services.Clamd) -> Clamd:
    return client(getattr(server, request.param))


@pytest.fixture
def private_clamd(clamd_program: str) -> Iterator[services.Clamd]:
    """A clamd that a test may stop and kill."""
    with services.clamd(clamd_program) as running:
        yield running


def client(url: str, seconds: float = 60) -> Clamd:
    return Clamd(url, seconds=seconds, largest=100 * MB)


def scan(scanner: Clamd, content: bytes) -> ScanResult:
    return scanner.scan(io.BytesIO(content), len(content))


def zipped(*contents: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.txt", content)
    return made.getvalue()


def test_check_returns_the_version(scanner: Clamd) -> None:
    assert scanner.check().startswith("ClamAV ")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(MB)], ids=["empty", "short", "chunks"])
def test_harmless_bytes_are_clean(scanner: Clamd, content: bytes) -> None:
    assert scan(scanner, content) == Clean()


@pytest.mark.parametrize("content", [EICAR, zipped(b"hello", EICAR)], ids=["plain", "in a zip"])
def test_malware_is_infected_with_its_signature(scanner: Clamd, content: bytes) -> None:
    assert scan(scanner, content) == Infected(EICAR_SIGNATURE)


@pytest.mark.parametrize("size", [5 * MB, 40 * MB])
def test_a_stream_above_clamds_limit_is_not_scanned(scanner: Clamd, size: int) -> None:
    result = scan(scanner, bytes(size))
    assert isinstance(result, NotScanned)
    assert (result.limit, result.actual) == ("StreamMaxLength", size)


def test_a_file_above_the_engines_limit_is_not_scanned(scanner: Clamd) -> None:
    """It takes the stream, and says with AlertExceedsMax that it read no further."""
    result = scan(scanner, random.Random(3).randbytes(3 * MB))
    assert isinstance(result, NotScanned)
    assert result.limit == "MaxFileSize"


def test_the_unpacking_limits_are_probed_and_remembered(scanner: Clamd, private_clamd: services.Clamd) -> None:
    """Of a packed file in an archive that is larger than MaxFileSize clamd never says so."""
    assert scan(scanner, zipped(bytes(3 * MB) + EICAR)) == Clean()
    assert scanner.unpacking_limits() == UnpackingLimits(part=scanner.largest)
    silent = client(private_clamd.tcp)
    assert silent.unpacking_limits() == UnpackingLimits(part=silent.largest, sum=silent.largest, entries=10_000)
    private_clamd.kill()
    assert silent.unpacking_limits().sum, "it is remembered for a while"


def test_limits_are_tried_with_the_eicar_file(server: services.Clamd, private_clamd: services.Clamd) -> None:
    fitting = Clamd(server.tcp, seconds=60, largest=MB)
    assert fitting.try_limits() == "It reads 1 MB whole, and says where it stops."
    with pytest.raises(ValueError, match="set CLAMAV_MAX_SIZE_MB to the least"):
        Clamd(server.tcp, seconds=60, largest=3 * MB).try_limits()
    assert "set `AlertExceedsMax yes`" in Clamd(private_clamd.unix, seconds=60, largest=MB).try_limits()


def test_a_limit_without_a_name_means_not_scanned() -> None:
    def say(connection: socket.socket, seen: bytes) -> None:
        whole_stream(connection, seen)
        connection.sendall(b"stream: (null) FOUND\0")

    with fake_clamd(say) as url:
        assert isinstance(scan(client(url), b"hello"), NotScanned)


def test_a_file_is_sent_in_bounded_pieces(scanner: Clamd) -> None:
    class Watched(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size > 0
            self.largest = max(self.largest, size)
            return super().read(size)

    file = Watched(bytes(2 * MB))
    assert scanner.scan(file, 2 * MB) == Clean()
    assert 0 < file.largest <= 256 * 1024


def test_a_stopped_clamd_is_unavailable(private_clamd: services.Clamd) -> None:
    private_clamd.kill()
    for url in (private_clamd.tcp, private_clamd.unix):
        with pytest.raises(ScannerAway):
            client(url).check()
        with pytest.raises(ScannerAway):
            scan(client(url), b"hello")
    private_clamd.start()
    assert scan(client(private_clamd.unix), b"hello") == Clean()


def test_a_hanging_clamd_is_unavailable_after_the_connect_timeout(
    private_clamd: services.Clamd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.2)
    private_clamd.signal(signal.SIGSTOP)
    with pytest.raises(ScannerAway):
        scan(client(private_clamd.tcp, seconds=3600), b"hello")


def test_reloading_signatures_does_not_fail_scans(private_clamd: services.Clamd) -> None:
    for _ in range(10):
        private_clamd.reload()
        assert scan(client(private_clamd.unix), EICAR) == Infected(EICAR_SIGNATURE)


@contextmanager
def fake_clamd(say: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """The address of something that answers PING, and to a stream what ``say`` does."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with door.accept()[0] as connection:
                    command = connection.recv(100)
                    if command.startswith(b"zPING"):
                        connection.sendall(b"PONG\0")
                    elif command:
                        say(connection, command)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{door.getsockname()[1]}"
        over.set()
        socket.create_connection(door.getsockname()).close()
        thread.join()


def whole_stream(connection: socket.socket, seen: bytes) -> None:
    """Read to the stream's end."""
    while not seen.endswith(b"\0\0\0\0"):
        seen += connection.recv(65536)


def test_a_clamd_that_dies_after_the_whole_file_fails_the_scan() -> None:
    """Otherwise a file that kills scanners would be retried for ever."""
    with fake_clamd(whole_stream) as url, pytest.raises(ScanFailed):
        scan(client(url), b"hello")


def test_a_clamd_that_dies_before_the_whole_file_is_unavailable() -> None:
    with fake_clamd(lambda connection, seen: None) as url, pytest.raises(ScannerAway):
        scan(client(url), bytes(20 * MB))


def test_a_clamd_without_a_verdict_in_time_fails_the_scan() -> None:
    held: list[socket.socket] = []

    def hold(connection: socket.socket, seen: bytes) -> None:
        whole_stream(connection, seen)
        held.append(connection.dup())

    with fake_clamd(hold) as url, pytest.raises(ScanFailed, match=r"within 0.3 seconds"):
        scan(client(url, seconds=0.3), b"hello")
    held[0].close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"stream: OK", ScanFailed),
        (b"stream: Time limit reached ERROR\0", ScanFailed),
        (b"COMMAND READ TIMED OUT\0", ScannerAway),
        (b"Can't create temporary file ERROR\0", ScannerAway),
        (b"x" * 100_000 + b"\0", ScanFailed),
        (b"stream: O", ScanFailed),
    ],
)
def test_an_unknown_answer_is_an_error(answer: bytes, error: type[Exception]) -> None:
    def say(connection: socket.socket, seen: bytes) -> None:
        whole_stream(connection, seen)
        connection.sendall(answer)

    with fake_clamd(say) as url, pytest.raises(error):
        scan(client(url), b"hello")
