"""``windlass serve``: one command brings everything up, keeps it up, and takes it down."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.process.serving import TIMEOUT, Running, Serve, free_port, new_home, run, until
from windlass.cli.supervisor import DRAIN_SECONDS

#: As windlass.cli.web_server has it, which needs Django to be set up.
FINISH_SECONDS = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One server for the tests that leave it running. It starts for the first time: its home is new."""
    with Serve(tmp_path_factory.mktemp("served") / "home") as server:
        yield server.ready()


@dataclass(frozen=True)
class Place:
    """Where no server runs: a home with a database, and a free port."""

    home: Path
    port: int


@pytest.fixture(scope="module")
def free_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("free") / "home"
    new_home(home)
    return Place(home, free_port())


@pytest.fixture
def migrated_home(tmp_path: Path) -> Path:
    new_home(tmp_path / "home")
    return tmp_path / "home"


def test_serve_prints_that_it_is_ready_once_it_answers(served: Serve) -> None:
    assert served.output.read_text() == f"Windlass is ready at {served.url}\n"
    assert served.alive()
    assert (served.home / "windlass.sqlite3").stat().st_size > 0


def test_serve_runs_a_web_process_a_worker_and_a_scheduler(served: Serve) -> None:
    until(lambda: set(served.children()) == {"web", "worker", "scheduler"}, "three processes")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_and_its_sandbox_have_a_lower_priority(served: Serve) -> None:
    own = own_niceness()
    worker = until(lambda: served.children().get("worker"), "a worker")
    sandbox = until(lambda: worker.children(recursive=True), "the sandbox of the worker")
    for process in (worker, *sandbox):
        assert niceness(process) == min(own + 10, 19), process.cmdline()
        assert process.ionice() == (psutil.IOPRIO_CLASS_BE, 7), process.cmdline()
    # A session has a niceness of its own beside other sessions; within one, that of its processes counts.
    own_session = os.getsid(served.process.pid)
    others = [each for each in sandbox if os.getsid(each.pid) != own_session]
    lowered = {None, min(own + 10, 19)}
    until(lambda: {session_niceness(each) for each in others} <= lowered, "sessions of low priority")
    others = until(lambda: [served.children()[name] for name in ("web", "scheduler")], "the other processes")
    assert [niceness(process) for process in others] == [own, own]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_priority_of_a_worker_can_be_set(tmp_path: Path) -> None:
    new_home(tmp_path / "home")
    with Running("worker", home=tmp_path / "home", WORKER_NICE="0") as worker:
        process = psutil.Process(worker.process.pid)
        sandbox = until(lambda: process.children(recursive=True), "the sandbox of the worker")
        assert [niceness(each) for each in (process, *sandbox)] == [own_niceness()] * (1 + len(sandbox))


@pytest.mark.parametrize("name", ["worker", "web", "scheduler"])
def test_a_killed_process_is_restarted(served: Serve, name: str) -> None:
    killed = until(lambda: served.children().get(name), name)
    killed.kill()
    until(lambda: served.children().get(name, killed) != killed, f"another {name}")
    assert served.alive()
    counted = re.compile(rf'^windlass_process_restarts_total{{process="{name}"}} [1-9]', re.MULTILINE)
    until(lambda: counted.search(httpx.get(f"{served.url}metrics", timeout=TIMEOUT).text), "the count of restarts")


def test_a_request_during_a_restart_waits_for_the_new_web_process(served: Serve) -> None:
    until(lambda: served.children().get("web"), "a web process").kill()
    assert served.alive()


def test_a_second_serve_of_the_same_home_is_refused(served: Serve) -> None:
    second = run("serve", "--port", str(free_port()), home=served.home)
    assert second.returncode == 2
    assert second.stderr == f"windlass: {served.home} is served already, by process {served.process.pid}\n"
    assert served.alive()


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port), home=tmp_path / "home")
    assert result.returncode == 2
    assert result.stderr == f"windlass: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert not (tmp_path / "home" / "windlass.sqlite3").exists()


@pytest.mark.parametrize(("command", "host"), [("serve", "0.0.0.0"), ("web", "::")])
def test_a_public_address_is_refused_in_open_mode(tmp_path: Path, command: str, host: str) -> None:
    result = run(command, "--host", host, "--port", "0", home=tmp_path / "home")
    assert result.returncode == 2
    assert f"{host} is not a loopback address" in result.stderr
    assert "AUTH_MODE=required" in result.stderr
    assert "windlass token create" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_public_address_is_allowed_if_credentials_are_required(migrated_home: Path) -> None:
    with Serve(migrated_home, HOST="0.0.0.0", AUTH_MODE="required") as server:
        assert server.ready().alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_drains_and_exits_with_code_0(migrated_home: Path, number: int) -> None:
    with Serve(migrated_home) as server:
        server.ready()
        children = until(lambda: len(server.children()) == 3 and server.children(), "three processes")
        assert server.end(number) == 0
        assert not [child for child in children.values() if child.is_running()]
        assert "Traceback" not in server.errors.read_text()
        assert not server.alive()


SIGNALS_DURING_LOCK = """
import os, signal, threading
from windlass.cli.signals import StopRequests

done = threading.Event()
stop_requests = StopRequests(lambda count: done.set() if count > 1 else None)

def send():
    while not done.wait(0.0002):
        os.kill(os.getpid(), signal.SIGTERM)

sender = threading.Thread(target=send)
sender.start()
while not done.is_set():
    with stop_requests.requested._cond:  # what Event.wait and Event.set hold
        stop_requests.requested.is_set()
sender.join()
print("ended")
"""


def test_the_signal_handler_does_not_wait_for_locks() -> None:
    """Requests to stop arrive while the main thread holds the lock that a handler which sets an event would need."""
    result = subprocess.run([sys.executable, "-c", SIGNALS_DURING_LOCK], capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stdout) == (0, "ended\n"), result.stderr


AT_THE_END = """
import atexit, os, signal
from windlass.cli.signals import StopRequests

atexit.register(lambda: print(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN))
StopRequests(lambda count: None)
"""


def test_requests_are_ignored_while_the_interpreter_ends() -> None:
    """Python puts the default actions of handlers back, but not of signals that are ignored."""
    assert subprocess.check_output([sys.executable, "-c", AT_THE_END], text=True, timeout=30) == "True\n"


@pytest.mark.parametrize("gap", [0.0, 0.001, 0.4], ids=["at-once", "passed-on", "again"])
def test_two_stop_requests_end_serve(free_place: Place, gap: float) -> None:
    """As ``make serve`` does in a process group that gets SIGTERM: make passes on a second one."""
    with Serve(free_place.home, port=free_place.port) as server:
        server.ready()
        children = server.children()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(gap)  # time is what is tested: signals within SAME_REQUEST_SECONDS are one request
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(TIMEOUT) == 0
        assert not [child for child in children.values() if is_running(child)]
        assert "Traceback" not in server.errors.read_text()


@pytest.mark.parametrize("requests", [2, 3])
def test_a_process_that_does_not_stop_is_killed_by_further_requests(free_place: Place, requests: int) -> None:
    with Serve(free_place.home, port=free_place.port) as server:
        server.ready()
        web = until(lambda: server.children().get("web"), "a web process")
        web.suspend()
        for _ in range(requests):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.4)  # time is what is tested: a signal after SAME_REQUEST_SECONDS is a further request
        assert server.process.wait(DRAIN_SECONDS / 2) == 0
        assert not is_running(web)


def test_open_streams_and_incomplete_bodies_do_not_delay_a_stop(free_place: Place) -> None:
    with Serve(free_place.home, port=free_place.port) as server, ExitStack() as stack:
        server.ready()
        created = httpx.post(f"{server.url}files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000000"})
        path = created.headers["Location"].removeprefix(server.url.rstrip("/"))
        stream = stack.enter_context(_open(server, "GET /events/", b"", 0))
        assert stream.recv(4) == b"HTTP"
        form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + b"a" * 70_000
        fields = "Content-Type: multipart/form-data; boundary=x\r\n"
        half = [
            _open(server, "POST /files/", form, 900_000, fields),
            _open(server, "PUT /files/a.bin", b"a" * 70_000, 900_000),
            _open(server, "POST /files/zip/", b"{", 900),
            _open(server, "POST /api/v1/upload/init", b"{", 900),
            _open(server, "POST /uploads/grants/", b"{", 900),
        ]
        tus = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
        upload = stack.enter_context(_open(server, f"PATCH {path}", b"a" * 70_000, 1_000_000, tus))
        for each in half:
            stack.enter_context(each)
        until(lambda: _is_leased(server.home), "the upload to be written to")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(FINISH_SECONDS / 2) == 0  # not the time after which requests are cancelled
        assert [each.recv(12) for each in half] == [b"HTTP/1.1 503"] * len(half)
        upload.close()
    with Serve(free_place.home, port=free_place.port) as server:
        assert httpx.head(server.ready().url + path[1:]).headers["Upload-Offset"] == "70000"


def _is_leased(home: Path) -> bool:
    with closing(sqlite3.connect(home / "windlass.sqlite3")) as database:
        query = "select count(*) from windlass_files_uploadsession where lease_holder != ''"
        return bool(database.execute(query).fetchone()[0])


def _open(server: Serve, line: str, body: bytes, length: int, fields: str = "") -> socket.socket:
    """A request of which no more is sent."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {length}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def test_serve_can_be_stopped_during_its_start(tmp_path: Path) -> None:
    with Serve(tmp_path / "home") as server:
        children = until(server.children, "a first process")
        assert server.end() == 0
        assert not [child for child in children.values() if child.is_running()]
        assert "Traceback" not in server.errors.read_text()


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def niceness(process: psutil.Process) -> int:
    """The niceness of every thread but one at most, which reads signals."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    found = Counter(int((thread / "stat").read_text().rpartition(")")[2].split()[16]) for thread in threads)
    [(usual, count)] = found.most_common(1)
    assert count >= found.total() - 1, f"{process.cmdline()}: {found}"
    return usual


def session_niceness(process: psutil.Process) -> int | None:
    """The niceness of its session beside other sessions; None where the kernel knows no such thing."""
    autogroup = Path(f"/proc/{process.pid}/autogroup")
    return int(autogroup.read_text().split()[-1]) if autogroup.exists() else None


def is_running(process: psutil.Process) -> bool:
    """A process without a parent may stay a zombie until the system gets round to it; it has ended all the same."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_processes_end_with_a_killed_supervisor_and_the_next_serve_waits(migrated_home: Path) -> None:
    with Serve(migrated_home) as first:
        first.ready()
        children = until(lambda: len(first.children()) == 3 and first.children(), "three processes")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    with Serve(migrated_home, port=first.port) as second:
        assert second.ready().alive()
        assert not [child for child in children.values() if is_running(child)]


def test_a_killed_serve_can_be_restarted_at_once(free_place: Place) -> None:
    """Its parent has not noticed the death yet, and its processes still drain."""
    with Serve(free_place.home, port=free_place.port) as first:
        first.ready()
        first.process.send_signal(signal.SIGKILL)
        with Serve(free_place.home, port=free_place.port) as second:
            assert second.ready().alive()


def test_an_invalid_setting_is_reported_on_one_line(tmp_path: Path) -> None:
    result = run("serve", home=tmp_path / "home", DURABILITY="mostly")
    assert result.returncode == 2
    assert result.stderr == "windlass: DURABILITY is 'mostly': it must be one of strict, complete, os\n"


def test_an_unreachable_database_ends_serve_with_the_reason(tmp_path: Path) -> None:
    url = f"postgres://windlass@127.0.0.1:{free_port()}/windlass"
    settings = {"DATABASE_URL": url, "START_WAIT_SECONDS": "0.5"}
    result = run("serve", "--port", str(free_port()), home=tmp_path / "home", **settings)
    assert result.returncode == 2
    assert "windlass: the database failed: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["web", "worker", "scheduler"])
def test_each_process_runs_and_stops_on_its_own(tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    new_home(home)
    port = free_port()
    with Running(command, home=home, PORT=str(port)) as process:
        started = {"web": "Application startup complete", "worker": "Connected to", "scheduler": "scheduler.started"}
        until(lambda: started[command] in process.errors.read_text() or _answers(port), f"{command} to start")
        assert process.end() == 0
        assert "Traceback" not in process.errors.read_text()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
