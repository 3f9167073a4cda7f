"""Circuit breakers over several real processes: shared, kept over a restart, one trial, reset from outside."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx
import pytest

from tests import services
from tests.process.conftest import ServerProcess
from tests.process.serving import TIMEOUT, environment, new_home, run, until
from tests.process.wire import StoredData, connect

PATH = "/error-handling/circuit-breakers"


@pytest.fixture
def clamd(clamd_program: str) -> Iterator[services.Clamd]:
    with services.clamd(clamd_program) as running:
        yield running


def upload(http: httpx.Client, content: bytes) -> str:
    answer = http.post("/files/", params={"filename": "a.txt"}, content=content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def scanner(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"{PATH}/scanner").json()
    return found


def events(server: ServerProcess) -> list[str]:
    rows = StoredData(server).rows("SELECT data FROM windlass_events_event WHERE type = 'system.breaker' ORDER BY id")
    return [json.loads(row["data"])["state"] for row in rows]


def test_a_breaker_of_the_worker_is_seen_kept_and_reset(
    make_server: Callable[..., ServerProcess], clamd: services.Clamd
) -> None:
    """The scanner is killed: the worker's breaker opens, the web process shows it, a restart of all processes keeps it
    open although the scanner is back, and the command closes it in the worker."""
    long = {"BREAKER_SCANNER_RECOVERY_SECONDS": "3600", "BREAKER_SCANNER_FAILURE_THRESHOLD": "2"}
    server = make_server(CLAMAV_URL=clamd.tcp, SWEEP_SECONDS="0.5", **long)
    with connect(server) as http:
        assert http.get(PATH).json()["circuit_breakers"].keys() == {"scanner"}
        assert scanner(http)["state"] == "closed"
        clamd.kill()
        for number in range(2):
            upload(http, b"first %d" % number)
        found = until(lambda: (now := scanner(http))["state"] == "open" and now, "the breaker to open")
        assert (found["failure_count"], found["failure_threshold"]) == (2, 2)
        assert found["retry_at"] > found["opened_at"]

        server.kill()
        clamd.start()
        server.start()
        assert scanner(http) == found
        waiting = upload(http, b"second")
        until(lambda: "scanner is away" in http.get(f"/files/{waiting}/status/").text, "the reason")
        assert scanner(http) == found, "the scanner was not called"
        attempts = StoredData(server).rows("SELECT attempts, state FROM windlass_jobs_job WHERE stage = 'intake'")
        assert {(row["attempts"], row["state"]) for row in attempts} == {(0, "queued")}

        listed = server.command("breaker", "list")
        assert "scanner" in listed.stdout
        assert "open" in listed.stdout
        for _ in range(2):
            ended = server.command("breaker", "reset", "scanner", "--json")
            assert json.loads(ended.stdout)["state"] == "closed", ended.stderr
        assert json.loads(server.command("breaker", "list", "--json").stdout) == scanner(http)
        time.sleep(1)  # what a process has read may be a second old
        after = upload(http, b"third")
        assert until(lambda: http.get(f"/files/{after}/status/").json()["status"] == "READY", "the file")
        assert events(server) == ["open", "closed"]


def test_the_command_names_the_breakers_that_there_are(tmp_path: Path) -> None:
    home = tmp_path / "home"
    new_home(home)
    assert run("breaker", "list", home=home).stdout == ""
    refused = run("breaker", "reset", "scaner", home=home, CLAMAV_URL="tcp://127.0.0.1:1")
    assert (refused.returncode, refused.stderr) == (
        2,
        "windlass: There is no circuit breaker 'scaner'. There are: scanner.\n",
    )


#: Calls the service four times at once for each line that it reads.
CALLER = """
import os, socket, sys, threading
import django
import structlog

django.setup()
# Not to stdout: with PYTHONUNBUFFERED the end of a log line is written apart, and a result could come before it.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from windlass.resilience.circuit_breaker import BreakerOpen, breaker


def call():
    try:
        with breaker("scanner").call(OSError), socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as service:
            os.write(1, b"called\\n")
            service.recv(1)
    except BreakerOpen:
        os.write(1, b"refused\\n")


os.write(1, b"ready\\n")
for _ in sys.stdin:
    threads = [threading.Thread(target=call) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os.write(1, b"done\\n")
"""

#: The breaker has opened an hour ago.
OPEN = """
change_circuit("scanner", Circuit(), Circuit(State.OPEN, 1, failures=5, opened_at=time.time() - 3600))
"""
END_LEASE = """
assert CircuitBreaker.objects.filter(trial_until__gt=now()).update(trial_until=now()) == 1
"""
PRINT = """
print([event.data["state"] for event in Event.objects.filter(type="system.breaker").order_by("id")])
"""
IMPORTS = """
import time
import django
django.setup()
from windlass.events.api import CircuitBreaker, Event
from windlass.events.circuit_breakers import change_circuit
from windlass.kernel.clock import now
from windlass.resilience.circuits import Circuit, State
"""


class Callers:
    """Processes that call one service, which answers when it is released."""

    def __init__(self, count: int, variables: dict[str, str]) -> None:
        self.lines: Queue[tuple[int, str]] = Queue()
        self.done: set[int] = set()
        self._unanswered = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        port = str(self._listener.getsockname()[1])
        self.processes = {
            number: subprocess.Popen(
                [sys.executable, "-c", CALLER, port], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for number in range(count)
        }
        for number in self.processes:
            threading.Thread(target=self._read, args=(number,), daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._connections.append(self._listener.accept()[0])
            except OSError:
                return

    def _read(self, number: int) -> None:
        output = self.processes[number].stdout
        assert output is not None
        with output:
            for line in map(bytes.decode, map(bytes.strip, output)):
                self.lines.put((number, line))

    def call(self) -> None:
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()

    def results(self, count: int) -> list[tuple[int, str]]:
        """What became of the next calls: each process's number, and ``called`` or ``refused``."""
        found: list[tuple[int, str]] = []
        while len(found) < count:
            try:
                number, line = self.lines.get(timeout=TIMEOUT)
            except Empty:
                ended = {number: process.poll() for number, process in self.processes.items()}
                raise AssertionError(f"{count} results wanted, but only {found}; exit codes: {ended}") from None
            if line == "done":
                self.done.add(number)
            else:
                found.append((number, line))
                self._unanswered += line == "called"
        return found

    def wait_until_done(self, *numbers: int) -> None:
        while not self.done.issuperset(numbers):
            number, line = self.lines.get(timeout=TIMEOUT)
            assert line == "done"
            self.done.add(number)
        self.done.clear()

    def release(self) -> None:
        """Answer each call, and return when all processes have seen that."""
        until(
            lambda: len(self._connections) >= self._unanswered,
            "the connections, of which the last may not be accepted yet",
        )
        self._unanswered = 0
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self.wait_until_done(*self.processes)

    def kill(self, number: int) -> None:
        process = self.processes.pop(number)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
        assert process.stdin is not None
        process.stdin.close()

    def close(self) -> None:
        for number in list(self.processes):
            self.kill(number)
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for connection in self._connections:
            connection.close()


@contextmanager
def callers(count: int, variables: dict[str, str]) -> Iterator[Callers]:
    with closing(Callers(count, variables)) as made:
        assert {line for _, line in made.results(count)} == {"ready"}
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_four_processes_make_one_trial(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    home = tmp_path / "home"
    url = {"DATABASE_URL": request.getfixturevalue("postgres")} if database == "postgresql" else {}
    new_home(home, **url)
    variables = environment(home, DJANGO_SETTINGS_MODULE="windlass.settings", **url)

    def do(code: str) -> str:
        command = [sys.executable, "-c", IMPORTS + code]
        return subprocess.run(
            command, env=variables, check=True, capture_output=True, text=True, timeout=TIMEOUT
        ).stdout

    do(OPEN)
    with ExitStack() as stack:
        site = stack.enter_context(callers(4, variables))
        site.call()
        assert Counter(line for _, line in site.results(16)) == {"called": 1, "refused": 15}
        site.release()

        time.sleep(1)  # what a process has read may be a second old
        site.call()
        seen = site.results(16)
        assert Counter(line for _, line in seen) == {"called": 1, "refused": 15}
        (number,) = (number for number, line in seen if line == "called")
        site.wait_until_done(*(other for other in site.processes if other != number))
        site.kill(number)
        do(END_LEASE)

        time.sleep(1)
        site.call()
        assert Counter(line for _, line in site.results(12)) == {"called": 1, "refused": 11}
        site.release()

        time.sleep(1)
        site.call()
        assert Counter(line for _, line in site.results(12)) == {"called": 12}, "two trials succeeded: it is closed"
        site.release()
    assert do(PRINT) == "['open', 'closed']\n"


#: Opens the breaker, and says whether it is open.
FAIL = """
import django

django.setup()
from windlass.resilience.circuit_breaker import BreakerOpen, breaker

for _ in range(5):
    try:
        with breaker("scanner").call(OSError):
            raise OSError
    except OSError:
        pass
try:
    with breaker("scanner").call(OSError):
        print("admitted")
except BreakerOpen:
    print("refused")
"""


@pytest.mark.parametrize("database", ["refuses", "hangs"])
def test_a_database_that_cannot_be_reached_does_not_hold_calls_up(database: str, tmp_path: Path) -> None:
    """The breaker opens in the process alone. A connection that hangs would take minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = 1 if database == "refuses" else silent.getsockname()[1]
        url = f"postgres://windlass@127.0.0.1:{port}/windlass"
        variables = environment(tmp_path / "home", DJANGO_SETTINGS_MODULE="windlass.settings", DATABASE_URL=url)
        ended = subprocess.run([sys.executable, "-c", FAIL], env=variables, capture_output=True, text=True, timeout=60)
    assert "refused" in ended.stdout.splitlines(), ended.stderr
    assert ended.stdout.count("breaker.state_not_shared") == 1
