"""Processes and commands that start before their services, in the wrong directory, or with invalid settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests import services
from tests.conftest import require
from tests.process.serving import TIMEOUT, WINDLASS, Running, Serve, environment, free_port, new_home, run, until
from windlass.conf import first_run_key


class Postgres:
    """A PostgreSQL on one port, which can be stopped and started again, with one database."""

    def __init__(self, programs: str, directory: Path, user: dict[str, object]) -> None:
        self._server = Path(programs) / "postgres"
        self._data, self._user = directory / "data", user
        self.port = free_port()
        self.url = f"postgres://windlass@127.0.0.1:{self.port}/windlass"
        self._process: subprocess.Popen[bytes] | None = None
        call = [str(Path(programs) / "initdb"), "-D", str(self._data), "-U", "windlass", "-A", "trust", "-N"]
        subprocess.run(call, check=True, stdout=subprocess.DEVNULL, cwd=directory, **user)  # type: ignore[call-overload]
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE windlass")
        self.stop()

    def connect(self, database: str = "windlass") -> psycopg.Connection:
        url = f"postgres://windlass@127.0.0.1:{self.port}/{database}"
        return psycopg.connect(url, autocommit=True)

    def start(self) -> None:
        """Idempotent."""
        if self._process is not None:
            return
        command = [str(self._server), "-D", str(self._data), "-p", str(self.port), "-k", "", "-c", "fsync=off"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=self._data, **self._user)  # type: ignore[call-overload]
        until(self._answers, "PostgreSQL")

    def stop(self) -> None:
        """Stop immediately, as ``pg_ctl stop -m immediate``; connections break. Idempotent."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="module")
def late_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that is not started yet."""
    programs = require(services.find_postgres(), "PostgreSQL's server programs are not installed")
    with services._scratch("postgres") as (directory, user):
        server = Postgres(programs, directory, user)
        yield server
        server.stop()


def test_commands_and_processes_wait_for_a_database_that_starts_later(tmp_path: Path, late_postgres: Postgres) -> None:
    settings = {"DATABASE_URL": late_postgres.url, "PORT": str(free_port()), "CELERY_BROKER_URL": ""}
    late_postgres.stop()
    with (
        Running("web", home=tmp_path / "one", **settings) as web,
        Running("worker", home=tmp_path / "two", **settings) as worker,
        Running("scheduler", home=tmp_path / "three", **settings) as scheduler,
        Running("migrate", "--quiet", home=tmp_path / "four", **settings) as migrate,
        Running("token", "create", "--user", "ann", home=tmp_path / "five", **settings) as token,
    ):
        processes, commands = (web, worker, scheduler), (migrate, token)
        for each in processes:
            until(lambda each=each: "start.waiting" in each.errors.read_text(), "a log line about waiting")  # type: ignore[misc]
        for each in commands:
            until(lambda each=each: "waiting for the database" in each.errors.read_text(), "a log line about waiting")  # type: ignore[misc]
        late_postgres.start()
        assert migrate.process.wait(TIMEOUT) == 0, migrate.errors.read_text()
        assert migrate.errors.read_text().count("\n") == 1
        token.process.wait(TIMEOUT)  # its database had no tables yet, or had them
        until(lambda: "web.listening" in web.errors.read_text(), "web to start")
        until(lambda: "celery@" in worker.errors.read_text() or "Connected" in worker.errors.read_text(), "the worker")
        until(lambda: "scheduler.started" in scheduler.errors.read_text(), "the scheduler")
        for each in (*processes, *commands):
            assert "Traceback" not in each.errors.read_text()
        for each in processes:
            waits = [
                json.loads(line)["part"] for line in each.errors.read_text().splitlines() if "start.waiting" in line
            ]
            assert len(waits) == len(set(waits)), "each wait is logged once"


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_requests_are_503_while_the_database_is_unavailable(tmp_path: Path, late_postgres: Postgres) -> None:
    late_postgres.start()
    with Serve(tmp_path / "home", DATABASE_URL=late_postgres.url, AUTH_MODE="required") as server:
        server.ready()
        settings = {"DATABASE_URL": late_postgres.url}
        token = run("token", "create", "--user", "ann", "--staff", home=server.home, **settings).stdout.strip()
        fields = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=server.url, headers=fields, timeout=TIMEOUT) as client:
            file = client.post("/files/", files={"file": ("a.txt", b"hello")}).json()["id"]
            tus = {"Tus-Resumable": "1.0.0"}
            upload = client.post("/files/", headers=tus | {"Upload-Length": "4"}).headers["Location"]
            late_postgres.stop()
            until(
                lambda: client.get("/readyz").status_code == 503,
                "the check of the database, which is kept for a second",
            )
            part = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
            calls = [
                client.build_request("GET", "/files/"),
                client.build_request("GET", f"/files/{file}/"),
                client.build_request("GET", f"/files/{file}/download/"),
                client.build_request("GET", f"/files/{file}/events/"),
                client.build_request("GET", "/events/"),
                client.build_request("POST", "/files/", files={"file": ("b.txt", b"hello")}),
                client.build_request("POST", "/files/", content=b"hello"),
                client.build_request("POST", "/files/", headers=tus | {"Upload-Length": "4"}),
                client.build_request("HEAD", upload, headers=tus),
                client.build_request("PATCH", upload, headers=part, content=b"abcd"),
                client.build_request("POST", "/api/v1/upload/init", json={"filename": "a", "total_size": 1}),
                client.build_request("POST", "/files/zip/", json={"ids": [file]}),
                client.build_request("POST", "/uploads/grants/", json={"profile": "default"}),
                client.build_request("GET", "/api/v1/quota"),
                client.build_request("GET", "/admin/", cookies={"sessionid": "x" * 32}),
                client.build_request("GET", "/readyz"),
                client.build_request("GET", "/error-handling/health/"),
                client.build_request("GET", "/error-handling/circuit-breakers/"),
                client.build_request("GET", "/error-handling/failed-tasks/"),
                client.build_request("POST", "/error-handling/retry-tasks/", json={"task_ids": []}),
                client.build_request("GET", "/", headers=HANDSHAKE),
            ]
            for call in calls:
                reply = client.send(call)
                assert reply.status_code == 503, (call.method, call.url, reply.status_code, reply.text)
                assert reply.headers["Retry-After"], call.url
            assert client.get("/livez").status_code == 200
            late_postgres.start()
            until(lambda: client.get("/readyz").status_code == 200, "the server to be ready again")
            assert client.patch(upload, headers=part, content=b"abcd").status_code == 204
            until(lambda: client.get(f"/files/{file}/download/").content == b"hello", "the file to be served")
        log = server.errors.read_text()
        web = [line for line in log.splitlines() if '"process": "web"' in line]
        assert not [line for line in web if "Traceback" in line], log
        assert len([line for line in web if "database.unavailable" in line]) == 1, log
        assert [line for line in web if "database.available" in line]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DATABASE_URL": "postgresq://x"}, "DATABASE_URL begins with 'postgresq' (did you mean 'postgresql'?)"),
        ({"DATABASE_URL": "mysql://u:hush@h/n"}, "DATABASE_URL begins with 'mysql'"),
        ({"DATABASE_URL": "postgres"}, "DATABASE_URL begins with 'postgres'"),
        ({"DATABASE_URL": "postgres://u:hush@h"}, "DATABASE_URL names no database"),
        ({"DATABASE_URL": "postgres://u:hu/sh@h:x/n"}, "DATABASE_URL names no database, or cannot be read"),
        ({"DATABASE_URL": "postgres://u:hush@h:99999/n"}, "DATABASE_URL names no database, or cannot be read"),
        ({"CELERY_BROKER_URL": "redi://:hush@h"}, "CELERY_BROKER_URL begins with 'redi' (did you mean 'redis'?)"),
        ({"CELERY_BROKER_URL": "redis://:hu#sh@h:port/"}, "CELERY_BROKER_URL"),
    ],
)
def test_an_invalid_url_is_reported_in_one_sentence(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    result = run("web", home=tmp_path / "home", **settings)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert message in result.stderr
    assert "hush" not in result.stderr


def test_a_process_ends_with_the_reason_when_the_database_stays_unavailable(tmp_path: Path) -> None:
    settings = {"DATABASE_URL": f"postgres://x@127.0.0.1:{free_port()}/x", "START_WAIT_SECONDS": "0.5"}
    for command in (["web", "--port", "0"], ["migrate"], ["user", "list"]):
        result = run(*command, home=tmp_path / "home", **settings)
        assert result.returncode == 2
        assert "the database failed: " in result.stderr
        assert "Traceback" not in result.stderr


COMMANDS = [
    ["token", "create", "--user", "ann"],
    ["token", "list"],
    ["token", "revoke", "1"],
    ["user", "add", "ann"],
    ["user", "list"],
    ["sweep"],
    ["verify"],
    ["quota", "show"],
    ["move", "--to", "default"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_creates_nothing_where_no_server_has_run(tmp_path: Path, command: list[str]) -> None:
    variables = environment(tmp_path)
    del variables["WINDLASS_HOME"]
    result = subprocess.run(
        [*WINDLASS, *command], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert "no server has run with the home directory" in result.stderr
    assert "--home" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("migrated") / "home"
    new_home(home)
    return home


def run_with_input(home: Path, text: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with ``text`` on its standard input."""
    return subprocess.run(
        [*WINDLASS, *command],
        env=environment(home),
        input=text,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_one_command_creates_a_user_with_a_password(migrated: Path) -> None:
    made = run_with_input(migrated, "seven-ells-of-rope\n", "user", "add", "ann", "--staff", "--password-file", "-")
    assert (made.returncode, made.stdout) == (0, "user ann made, staff\n"), made.stderr
    again = run("user", "add", "ann", home=migrated)
    assert again.stdout == "user ann was there already, staff\n"
    listed = run("user", "list", home=migrated).stdout
    assert "ann" in listed
    assert "staff" in listed
    first_run_key.create(migrated)
    with Running("web", home=migrated, PORT=str(port := free_port())) as web:
        until(lambda: "web.listening" in web.errors.read_text(), "the web process to say where it listens")
        assert not first_run_key.exists(migrated)  # nobody needs a link for the first account
        assert f"http://127.0.0.1:{port}/" in web.errors.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=TIMEOUT) as client:
            client.get("/admin/login/")
            fields = {"username": "ann", "password": "seven-ells-of-rope", "next": "/admin/"}
            fields["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
            page = client.post("/admin/login/", data=fields)
            assert page.url.path == "/admin/"
            assert "File assets" in page.text or "windlass" in page.text.lower()


def test_a_password_can_be_changed(migrated: Path) -> None:
    assert (
        run_with_input(migrated, "seven-ells-of-rope\n", "user", "add", "bob", "--password-file", "-").returncode == 0
    )
    assert (
        run_with_input(migrated, "nine-ells-of-rope\n", "user", "password", "bob", "--password-file", "-").returncode
        == 0
    )
    assert "there is no user 'zoe'" in run("user", "password", "zoe", home=migrated).stderr


@pytest.mark.parametrize(
    ("text", "command", "message"),
    [
        ("short\n", ["--password-file", "-"], "too short"),
        ("\n", ["--password-file", "-"], "the password is empty"),
        ("", [], "no terminal to ask for a password"),
        ("", ["--password-file", "/nowhere"], "the password cannot be read from /nowhere"),
    ],
)
def test_an_invalid_password_creates_no_user(migrated: Path, text: str, command: list[str], message: str) -> None:
    result = run_with_input(migrated, text, "user", "add", "zoe", *command)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert message in result.stderr
    assert "zoe" not in run("user", "list", home=migrated).stdout


def test_check_warns_of_settings_that_several_machines_cannot_share(tmp_path: Path) -> None:
    away = {"DATABASE_URL": f"postgres://x@127.0.0.1:{free_port()}/x", "START_WAIT_SECONDS": "0"}
    output = run("check", home=tmp_path / "home", **away).stdout
    assert "SECRET_KEY is not set" in output
    assert "MEDIA_ROOT is in the home directory" in output
    shared = {"SECRET_KEY": "k" * 50, "MEDIA_ROOT": str(tmp_path / "shared")}
    output = run("check", home=tmp_path / "home", **away, **shared).stdout
    assert "SECRET_KEY" not in output
    assert "MEDIA_ROOT" not in output


WEB = """
import gc, sys, weakref
from windlass.cli import processes

class Node:
    pass

gc.disable()
node = Node()
node.itself, garbage = node, weakref.ref(node)
del node
set_up_django = processes.set_up_django

def set_up(process):
    set_up_django(process)
    from windlass.cli import web_server
    web_server.run = lambda *_: print(garbage() is None, gc.get_freeze_count() > 0)

processes.set_up_django = set_up
processes.web(port=0)
"""


def test_a_web_process_exempts_what_is_loaded_from_collection_and_no_garbage(migrated: Path) -> None:
    command = [sys.executable, "-c", WEB]
    ended = subprocess.run(command, env=environment(migrated), capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.stdout == "True True\n", ended.stderr
