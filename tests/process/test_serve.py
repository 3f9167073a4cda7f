"""``windlass serve``: one command brings everything up, keeps it up, and takes it down."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.process.serving import Running, Serve, free_port, run, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One server for the tests that leave it running."""
    with Serve(tmp_path_factory.mktemp("served") / "home") as server:
        yield server.ready()


def test_it_says_that_it_is_ready_once_it_answers(served: Serve) -> None:
    assert served.output.read_text() == f"Windlass is ready at {served.url}\n"
    assert served.alive()
    assert (served.home / "windlass.sqlite3").stat().st_size > 0


def test_it_runs_a_web_process_a_worker_and_a_scheduler(served: Serve) -> None:
    until(lambda: set(served.children()) == {"web", "worker", "scheduler"}, "three processes")


@pytest.mark.parametrize("name", ["worker", "web", "scheduler"])
def test_a_process_that_is_killed_is_started_again(served: Serve, name: str) -> None:
    killed = until(lambda: served.children().get(name), name)
    killed.kill()
    until(lambda: served.children().get(name, killed) != killed, f"another {name}")
    assert served.alive()


def test_a_request_that_comes_while_no_web_process_runs_waits_for_the_next(served: Serve) -> None:
    until(lambda: served.children().get("web"), "a web process").kill()
    assert served.alive()


def test_a_second_serve_of_the_same_home_is_refused(served: Serve) -> None:
    second = run("serve", "--port", str(free_port()), home=served.home)
    assert second.returncode == 2
    assert second.stderr == f"windlass: {served.home} is served already, by process {served.process.pid}\n"
    assert served.alive()


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
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


def test_a_public_address_is_served_where_credentials_are_required(tmp_path: Path) -> None:
    with Serve(tmp_path / "home", HOST="0.0.0.0", AUTH_MODE="required") as server:
        assert server.ready().alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_drains_and_ends_without_complaint(tmp_path: Path, number: int) -> None:
    with Serve(tmp_path / "home") as server:
        server.ready()
        children = until(lambda: len(server.children()) == 3 and server.children(), "three processes")
        assert server.end(number) == 0
        assert not [child for child in children.values() if child.is_running()]
        assert "Traceback" not in server.errors.read_text()
        assert not server.alive()


def test_it_ends_while_it_is_still_starting(tmp_path: Path) -> None:
    with Serve(tmp_path / "home") as server:
        children = until(server.children, "a first process")
        assert server.end() == 0
        assert not [child for child in children.values() if child.is_running()]
        assert "Traceback" not in server.errors.read_text()


def still_runs(process: psutil.Process) -> bool:
    """A process without a parent may stay a zombie until the system gets round to it; it has ended all the same."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_supervisor_takes_its_processes_along_and_another_takes_over(tmp_path: Path) -> None:
    with Serve(tmp_path / "home") as first:
        first.ready()
        children = until(lambda: len(first.children()) == 3 and first.children(), "three processes")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    with Serve(tmp_path / "home", port=first.port) as second:
        assert second.ready().alive()
        assert not [child for child in children.values() if still_runs(child)]


def test_a_bad_setting_ends_it_with_one_line(tmp_path: Path) -> None:
    result = run("serve", home=tmp_path / "home", DURABILITY="mostly")
    assert result.returncode == 2
    assert result.stderr == "windlass: DURABILITY is 'mostly': it must be one of strict, complete, os\n"


def test_a_database_that_is_away_ends_it_with_the_reason(tmp_path: Path) -> None:
    url = f"postgres://windlass@127.0.0.1:{free_port()}/windlass"
    result = run("serve", "--port", str(free_port()), home=tmp_path / "home", DATABASE_URL=url)
    assert result.returncode == 2
    assert "windlass: the database failed: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["web", "worker", "scheduler"])
def test_each_process_runs_on_its_own_and_ends_quietly(tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    assert run("migrate", "--quiet", home=home).returncode == 0
    port = free_port()
    with Running(command, home=home, PORT=str(port)) as process:
        started = {"web": "Application startup complete", "worker": "Connected to", "scheduler": "scheduler.started"}
        until(lambda: started[command] in process.errors.read_text() or _answers(port), f"{command} to start")
        assert process.end() == 0
        assert "Traceback" not in process.errors.read_text()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
