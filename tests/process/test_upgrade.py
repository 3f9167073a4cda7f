"""From the previous release to this version, with data, while its processes write; and killed in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.chunk_client import API
from tests.process.conftest import ServerProcess, free_port
from tests.process.serving import TIMEOUT, Running, environment, run, until
from tests.process.wire import connect, create, offset, patch, wait_until_processed
from tests.upgrade import old_source as old_source_files
from tests.upgrade.old_installation import CHUNKS, RECEIVED, TOKEN, UNFINISHED, Installed

SEED = int(os.environ.get("CHAOS_SEED", "1"))
#: Killed migrations, in each of CHAOS_ROUNDS.
KILLS = 8 * int(os.environ.get("CHAOS_ROUNDS", "1"))
ROOT = Path(__file__).parents[2]
STATUSES_THAT_STAY = {"READY", "REJECTED", "QUARANTINED", "FAILED", "RELEASED"}


def module(name: str, *arguments: str, home: Path, **settings: str) -> Any:
    """Run a module of ``tests.upgrade`` in the server's environment; the JSON that it prints."""
    command = [sys.executable, "-m", f"tests.upgrade.{name}", *arguments]
    variables = environment(home, **settings)
    ended = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


class OldProcess:
    """A process that writes as the previous release does. ``written``: what it has committed."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.written: list[dict[str, Any]] = []
        command = [sys.executable, "-m", "tests.upgrade.old_installation", "write"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environment(home, **settings), cwd=ROOT, text=True, **pipes)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.written.append(json.loads(line))

    def wait_for_more(self, more: int = 6) -> None:
        """Wait until it has committed so many more transactions."""
        wanted = len(self.written) + more
        until(lambda: len(self.written) >= wanted or self._process.poll() is not None, "an old process to write")
        assert self._process.poll() is None, self.end()

    def end(self) -> str:
        """End it; returns its errors, empty if there were none."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(TIMEOUT)
        with self._process.stdout, self._process.stderr as errors:  # type: ignore[union-attr]  # both are pipes
            text = str(errors.read())
        return text if self._process.wait(TIMEOUT) else ""


@contextmanager
def old_process(home: Path, **settings: str) -> Iterator[OldProcess]:
    process = OldProcess(home, **settings)
    try:
        yield process
    finally:
        errors = process.end()
    assert not errors, errors


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"DATABASE_URL": request.getfixturevalue("postgres")} if request.param == "postgresql" else {}


@pytest.mark.slow
def test_the_previous_release_is_upgraded_under_load(
    make_server: Callable[..., ServerProcess], tmp_path: Path, database: dict[str, str]
) -> None:
    home = tmp_path / "home-0"
    printed = module("old_installation", "install", home=home, **database)
    installed, before = Installed(**printed["installed"]), printed["rows"]
    assert all(before.values()), f"tables without rows: {[name for name, rows in before.items() if not rows]}"
    with old_process(home, **database) as old:
        old.wait_for_more()
        killed = module("killed_migration", str(SEED), str(KILLS), home=home, **database)
        assert killed, "no migration was killed in the middle"
        old.wait_for_more()
        migrated = run("migrate", "--quiet", home=home, **database)
        assert migrated.returncode == 0, migrated.stderr
        old.wait_for_more()
    after = module("old_installation", "rows", home=home, **database)["rows"]
    for table, rows in before.items():
        found = {row["id" if "id" in row else "owner"]: row for row in after[table]}
        assert [found.get(row["id" if "id" in row else "owner"]) for row in rows] == rows, table

    server = make_server(SWEEP_SECONDS="0.5", WORKER_PROCESSES="1", **database)
    with connect(server) as http:
        assert_files(http, installed, old.written)
        assert_uploads_go_on(http, installed)
        assert_dead_letters(http, installed, old.written)
        with_token = http.get("/files/", headers={"Authorization": f"Bearer {TOKEN}"})
        assert with_token.status_code == 200
        assert http.get("/files/", headers={"Authorization": "Bearer wl_another"}).status_code == 401
        new = http.post("/files/?filename=new.txt", content=b"of the new version").json()["id"]
        assert wait_until_processed(http, new)["status"] == "READY"


def assert_files(http: httpx.Client, installed: Installed, written: list[dict[str, Any]]) -> None:
    """Every file is served with the bytes that it had; what was not processed is processed now."""
    for file, status in installed.statuses.items():
        ended = status if status in STATUSES_THAT_STAY else "READY"
        assert wait_until_processed(http, file)["status"] == ended, file
    served = installed.served | {line["file"]: line["sha256"] for line in written if line["file"]}
    for file, sha256 in served.items():
        assert wait_until_processed(http, file)["status"] == "READY"
        assert hashlib.sha256(http.get(f"/files/{file}/download/").content).hexdigest() == sha256


def assert_uploads_go_on(http: httpx.Client, installed: Installed) -> None:
    path = f"/uploads/{installed.unfinished_upload}"
    assert offset(http, path) == RECEIVED
    assert patch(http, path, RECEIVED, UNFINISHED[RECEIVED:]).status_code == 204
    file = http.head(path, headers={"Tus-Resumable": "1.0.0"}).headers["Windlass-File"]
    assert wait_until_processed(http, file)["checksum"] == hashlib.sha256(UNFINISHED).hexdigest()

    chunked = f"{API}/{installed.chunked_upload}"
    assert http.put(f"{chunked}/chunks/1", content=CHUNKS[1]).status_code in (200, 201)
    completed = http.post(f"{API}/complete", json={"upload_id": installed.chunked_upload})
    assert completed.status_code in (200, 201), completed.text
    checksum = wait_until_processed(http, completed.json()["file_id"])["checksum"]
    assert checksum == hashlib.sha256(b"".join(CHUNKS)).hexdigest()


def assert_dead_letters(http: httpx.Client, installed: Installed, written: list[dict[str, Any]]) -> None:
    """Those from before the migration, and those that old processes have written since, with their attempts."""
    wanted = {installed.dead_job, *(line["dead"] for line in written if line["dead"])}

    def listed() -> dict[str, Any]:
        found, page = {}, "/error-handling/failed-tasks?step=text_facts"
        while page:
            answer = http.get(page).raise_for_status().json()
            found |= {task["task_id"]: task for task in answer["results"]}
            page = answer["next"]
        return found

    tasks = until(lambda: (found := listed()).keys() >= wanted and found, "all dead letters")
    assert tasks.keys() == wanted
    assert {len(task["attempts"]) for task in tasks.values()} == {2}
    assert {task["error_class"] for task in tasks.values()} == {"TransientError"}
    answer = http.post("/error-handling/retry-tasks", json={"task_ids": [installed.dead_job]})
    assert answer.json()["results"] == {installed.dead_job: "queued"}
    assert wait_until_processed(http, tasks[installed.dead_job]["file_id"])["status"] == "READY"


@pytest.fixture(scope="module")
def old_source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which ``windlass`` is the source of the previous release."""
    variables = old_source_files.extract(tmp_path_factory.mktemp("previous") / "release")
    if variables is None:
        pytest.skip("the history of the previous release is not here")
    return variables


def upload(http: httpx.Client, text: str) -> tuple[str, str]:
    """Upload a text; returns its file and its SHA-256."""
    answer = http.post("/files/", params={"filename": "a.txt"}, content=text.encode())
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], hashlib.sha256(text.encode()).hexdigest()


def assert_served(http: httpx.Client, files: Iterable[tuple[str, str]]) -> None:
    for file, sha256 in files:
        assert wait_until_processed(http, file)["status"] == "READY"
        assert hashlib.sha256(http.get(f"/files/{file}/download/").content).hexdigest() == sha256


class Uploads:
    """Uploads one small file after the other, in a thread."""

    def __init__(self, http: httpx.Client) -> None:
        self.files: list[tuple[str, str]] = []
        self._http, self._ended, self._error = http, threading.Event(), ""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._ended.wait(0.05):
                self.files.append(upload(self._http, f"during the migration: {len(self.files)}"))
        except (AssertionError, httpx.HTTPError) as error:
            self._error = str(error) or type(error).__name__

    def end(self) -> list[tuple[str, str]]:
        self._ended.set()
        self._thread.join(TIMEOUT)
        assert not self._error, self._error
        return self.files


@pytest.mark.slow
def test_processes_of_both_versions_run_side_by_side(
    make_server: Callable[..., ServerProcess],
    old_source: dict[str, str],
    database: dict[str, str],
) -> None:
    """The database is migrated while the old server takes uploads. Then a new web process and a new worker start beside
    it, uploads go through both, and each goes on with what the other has begun. Then the old one is stopped."""
    settings = {"SWEEP_SECONDS": "0.5", "WORKER_PROCESSES": "1", **database}
    old = make_server(**settings, **old_source)
    port = free_port()
    with connect(old) as to_old, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as to_new:
        files = [upload(to_old, "before the migration")]
        assert to_old.get("/error-handling/failed-tasks").status_code == 404, "that is not the old version"
        uploads = Uploads(to_old)
        try:
            migrated = run("migrate", "--quiet", home=old.home, **settings)
            assert migrated.returncode == 0, migrated.stderr
            seen = len(uploads.files)
            until(lambda: len(uploads.files) > seen + 3, "uploads to the old version on the new schema")
        finally:
            files += uploads.end()
        assert_served(to_old, files)
        again = run("migrate", "--quiet", home=old.home, **settings, **old_source)
        assert again.returncode == 0, f"the old version leaves the new schema as it is: {again.stderr}"

        with (
            Running("web", "--port", str(port), home=old.home, **settings),
            Running("worker", home=old.home, **settings) as worker,
        ):
            until(lambda: _answers(to_new), "the new web process")
            for first, second in ((to_old, to_new), (to_new, to_old)):
                path = create(first, 2000)
                assert patch(first, path, 0, b"a" * 1000).status_code == 204
                assert patch(second, path, 1000, b"b" * 1000).status_code == 204
                file = first.head(path, headers={"Tus-Resumable": "1.0.0"}).headers["Windlass-File"]
                files.append(
                    (file.rstrip("/").rpartition("/")[2], hashlib.sha256(b"a" * 1000 + b"b" * 1000).hexdigest())
                )
            for number in range(4):
                files += [upload(to_old, f"to the old one: {number}"), upload(to_new, f"to the new one: {number}")]
            assert_served(to_old, files)
            assert_served(to_new, files)
            assert old.stop() == 0
            last = upload(to_new, "after the old version")
            assert_served(to_new, [last])
            assert worker.process.poll() is None


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
