"""The first five faults of the guarantees, for both ways to receive. CHAOS_SEED and CHAOS_ROUNDS repeat them."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import samples
from tests.process import step_package
from tests.process.acknowledgements import Acknowledgements, GeneratedContent
from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    StoredData,
    Wire,
    connect,
    create,
    database_id,
    eventually,
    offset_after_restart,
    patch,
    wait_until_processed,
)

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
EACH_ROUND = pytest.mark.parametrize("seed", [SEED + number for number in range(ROUNDS)])

BIG = 200 * MB
CHECKPOINT, CHECKPOINT_SECONDS = 64 * MB, 5.0
#: What may be on its way between the client's `send` and the server's disk, and how late a busy machine may be.
IN_FLIGHT, LATE = 16 * MB, 5.0


@pytest.fixture(params=["auto", "off"], ids=["direct", "loop"])
def make_server(
    request: pytest.FixtureRequest, make_server: Callable[..., ServerProcess]
) -> Callable[..., ServerProcess]:
    """Every fault that a way to receive bytes could change happens to both ways."""
    return partial(make_server, DIRECT_RECEIVE=request.param)


IN_WORKER = pytest.mark.parametrize("make_server", ["auto"], ids=["direct"], indirect=True)


def kill_web(server: ServerProcess) -> None:
    os.kill(server.web_pid(), signal.SIGKILL)


def restart(server: ServerProcess) -> None:
    server.kill()
    server.start()


def jobs_of(stored_data: StoredData, upload: str) -> list[dict[str, Any]]:
    """Every job of every file that this upload became."""
    query = (
        "SELECT job.* FROM windlass_jobs_job job JOIN windlass_files_fileasset file ON file.id = job.file_id "
        "WHERE file.upload_id = ?"
    )
    return [dict(row) for row in stored_data.rows(query, database_id(upload))]


def is_running(stored_data: StoredData, step: str) -> bool:
    return bool(
        stored_data.scalar("SELECT count(*) FROM windlass_files_steprun WHERE step = ? AND state = 'running'", step)
    )


# Fault 1: SIGKILL in the middle of a PATCH


@EACH_ROUND
@pytest.mark.parametrize(
    ("make_server", "durability", "fault"),
    [("auto", "strict", kill_web), ("off", "strict", kill_web), ("off", "os", kill_web), ("auto", "strict", restart)],
    ids=["direct-strict", "loop-strict", "loop-os", "direct-all"],
    indirect=["make_server"],
)
def test_fault_1_killed_in_the_middle_of_a_patch(
    make_server: Callable[..., ServerProcess], durability: str, fault: Callable[[ServerProcess], None], seed: int
) -> None:
    server = make_server(DURABILITY=durability)
    stored_data, chance = StoredData(server), random.Random(seed)
    content, ledger = GeneratedContent(BIG, seed), Acknowledgements()
    with connect(server) as http:
        path = create(http, BIG)
        first = next(content.blocks())[: chance.randrange(1, MB)]
        assert patch(http, path, 0, first).status_code == 204
        ledger.acknowledge(path, len(first), content)
        committed = send_past_a_checkpoint(server, stored_data, path, content, ledger, chance.randrange(40 * MB))
        killed_at = time.monotonic()
        fault(server)

        at = offset_after_restart(http, path)
        sent = ledger.sent[-1][1]
        assert at >= ledger.last, "acknowledged"
        assert at >= committed, "a checkpoint"
        assert at <= sent
        behind, age = sent - at, ledger.age(at, killed_at)
        assert behind <= CHECKPOINT + IN_FLIGHT or age <= CHECKPOINT_SECONDS + LATE, f"{behind} bytes, {age:.1f} s"
        if at:
            stored = hashlib.sha256(stored_data.object_path(path).read_bytes()[:at]).hexdigest()
            assert stored == content.sha256(at)

        length = {"Content-Length": str(BIG - at)}
        assert patch(http, path, at, content.blocks(at), **length).status_code == 204
        file = http.head(path, headers=TUS).headers["Windlass-File"]
        record = wait_until_processed(http, file)
        assert (record["status"], record["checksum"]) == ("READY", content.sha256())
    assert stored_data.file_count() == 1


def send_past_a_checkpoint(
    server: ServerProcess,
    stored_data: StoredData,
    path: str,
    content: GeneratedContent,
    ledger: Acknowledgements,
    beyond: int,
) -> int:
    """Send until a checkpoint was committed and ``beyond`` bytes more; returns what was committed. No reply is read."""
    at = start = ledger.last
    committed = 0

    def committed_offset() -> int:
        offset = int(stored_data.session(path)["offset"])
        return offset if offset > start else 0

    with Wire(server.port) as wire:
        head = PATCH | {"Upload-Offset": str(start), "Content-Length": str(content.size - start)}
        wire.head("PATCH", path, head)
        for block in content.blocks(start):
            wire.send(block)
            at += len(block)
            ledger.send(at)
            if not committed and at - start > CHECKPOINT:
                # From here it is a matter of the disk alone: a slow one is waited for, or all would be sent by then.
                committed = (
                    eventually(committed_offset) if at - start > 2 * CHECKPOINT - 16 * MB else committed_offset()
                )
                stop_at = min(at + beyond, content.size - MB)
            if committed and at >= stop_at:
                return committed
    raise AssertionError("everything was sent without a checkpoint")


# Fault 2: SIGKILL after the last byte is durable, before the reply


def _is_written(stored_data: StoredData, path: str, size: int) -> bool:
    return stored_data.object_path(path).stat().st_size >= size


def _is_recorded(stored_data: StoredData, path: str, size: int) -> bool:
    return bool(stored_data.session(path)["status"] == "completed")


@EACH_ROUND
def test_fault_2_killed_before_the_reply(server: ServerProcess, seed: int) -> None:
    """At the moment the bytes are all there, and at the moment they are recorded. The client never reads a reply."""
    stored_data, chance = StoredData(server), random.Random(seed)
    moments: list[Callable[[StoredData, str, int], bool]] = [_is_written, _is_recorded]
    with connect(server) as http:
        for has_come in moments:
            content = chance.randbytes(chance.randrange(2 * MB, 4 * MB))
            path, files = create(http, len(content)), stored_data.file_count()
            with Wire(server.port) as wire:
                wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(len(content))})
                wire.send(content)
                web = server.web_pid()
                while not has_come(stored_data, path, len(content)):
                    pass
                os.kill(web, signal.SIGKILL)

            offset_after_restart(http, path)
            assert patch(http, path, 0, content).status_code == 204
            assert patch(http, path, 0, content).status_code == 204, "and as often as it likes"
            assert stored_data.file_count() == files + 1
            file = http.head(path, headers=TUS).headers["Windlass-File"]
            record = wait_until_processed(http, file)
            assert (record["status"], record["checksum"]) == ("READY", hashlib.sha256(content).hexdigest())
            stages = [job["stage"] for job in jobs_of(stored_data, path)]
            assert stages.count("intake") == 1
            assert len(stages) == len(set(stages))
        assert len(stored_data.objects()) == len(moments)


# Fault 3: SIGKILL between commit and notification


@EACH_ROUND
def test_fault_3_killed_between_commit_and_notification(make_server: Callable[..., ServerProcess], seed: int) -> None:
    """No notification arrives: the worker is stopped, web dies as the row appears, and sent messages are deleted."""
    server = make_server(SWEEP_SECONDS="1")
    stored_data, content = StoredData(server), random.Random(seed).randbytes(1000)
    with connect(server) as http:
        path, worker = create(http, len(content)), server.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            web = server.web_pid()
            with Wire(server.port) as wire:
                wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(len(content))}, content)
                while not jobs_of(stored_data, path):
                    pass
                os.kill(web, signal.SIGKILL)
            for message in (server.home / "broker").rglob("*.msg"):
                message.unlink(missing_ok=True)
            assert [job["state"] for job in jobs_of(stored_data, path)] == ["queued"]
        finally:
            os.kill(worker, signal.SIGCONT)
        offset_after_restart(http, path)
        record = wait_until_processed(http, http.head(path, headers=TUS).headers["Windlass-File"])
        assert record["status"] == "READY"
        assert [job["attempts"] for job in jobs_of(stored_data, path)] == [1] * len(jobs_of(stored_data, path))
        assert server.worker_pid() == worker


# Fault 4: SIGKILL of a worker in a step


@EACH_ROUND
@IN_WORKER
def test_fault_4_a_worker_is_killed_in_a_step(
    make_server: Callable[..., ServerProcess], tmp_path: Path, seed: int
) -> None:
    server = make_server(**step_package.install(tmp_path / "plugins"))
    stored_data, chance = StoredData(server), random.Random(seed)
    with connect(server) as http:
        file = http.post("/files/?filename=a.jpg", content=samples.jpeg()).json()
        eventually(lambda: is_running(stored_data, "slow"))
        time.sleep(chance.random())
        worker = server.worker_pid()
        helpers = psutil.Process(worker).children(recursive=True)
        assert helpers, "the step runs in a process of its own"
        os.kill(worker, signal.SIGKILL)

        record = wait_until_processed(http, file["id"])
        assert record["status"] == "READY"
        assert [made["name"] for made in record["renditions"]] == ["thumbnail"]
        assert http.get(record["thumbnail_url"]).status_code == 200
        assert server.worker_pid() != worker
        assert not psutil.wait_procs(helpers, timeout=30)[1], "what it had started is gone with it"
    attempts = "SELECT stage, attempts FROM windlass_jobs_job WHERE file_id = ?"
    assert {row["stage"]: row["attempts"] for row in stored_data.rows(attempts, database_id(file["id"]))}["derive"] == 2
    outcomes = (
        "SELECT outcome FROM windlass_jobs_attempt attempt JOIN windlass_jobs_job job ON job.id = attempt.job_id "
        "WHERE job.file_id = ? AND job.stage = 'derive' ORDER BY number"
    )
    assert [row[0] for row in stored_data.rows(outcomes, database_id(file["id"]))] == ["lost", "done"]
    assert len(list((server.home / "media" / "renditions").rglob("thumbnail*"))) == 1
    assert list((server.home / "scratch").glob("*")) == []


# Fault 5: a file that kills its sandbox every time


@EACH_ROUND
@IN_WORKER
def test_fault_5_a_file_kills_its_sandbox_every_time(
    make_server: Callable[..., ServerProcess], tmp_path: Path, seed: int
) -> None:
    environment = step_package.install(tmp_path / "plugins")
    server = make_server(JOB_MAX_ATTEMPTS="3", JOB_BACKOFF_SECONDS="0.1", SWEEP_SECONDS="0.5", **environment)
    stored_data, chance = StoredData(server), random.Random(seed)
    with connect(server) as http:
        worker = server.worker_pid()
        good: list[str] = []
        bad: list[str] = []
        for number in range(9):
            poisoned = number % 3 == 0
            content = (b"POISON" if poisoned else b"wholesome ") + chance.randbytes(1000)
            (bad if poisoned else good).append(http.post("/files/", content=content).json()["id"])
        assert {wait_until_processed(http, file)["status"] for file in good} == {"READY"}
        for file in bad:
            assert wait_until_processed(http, file)["status"] == "FAILED"
            status = http.get(f"/files/{file}/status/").json()
            assert "3 attempts" in status["message"]
            assert "ended by the system" in status["message"]
            (job,) = stored_data.rows("SELECT * FROM windlass_jobs_job WHERE file_id = ?", database_id(file))
            assert (job["state"], job["attempts"]) == ("dead", 3)
            assert http.get(f"/files/{file}/download/").status_code in (403, 409), "its gate was never passed"
        after = http.post("/files/", content=b"wholesome as well").json()["id"]
        assert wait_until_processed(http, after)["status"] == "READY"
        assert server.worker_pid() == worker
