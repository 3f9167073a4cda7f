"""What a hostile file can do in the sandbox, which is little, and what becomes of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import pytest

from tests import samples
from tests.integration.processing.given import (
    descendants,
    events,
    eventually,
    is_alive,
    job_of,
    processed,
    received,
    scratch,
    step,
    work_off,
)
from windlass.files.api import FileStatus, StepState
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.processing.contract import Cancelled
from windlass.processing.sandbox.client import Order, Sandbox
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.scratch import real_file

PLANS = """
import sys, django
django.setup()
from windlass.files.api import profile
from windlass.processing import api
assert len(api.plan_for(profile("default"), "image/png")) > 5
print([name for name in ("pyvips", "av", "pypdfium2", "magic", "mutagen") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def impatient(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=2, STEP_TIMEOUT_SECONDS=2, STEP_MEMORY_MB=512)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("crash", "The step was killed by SIGSEGV."),
        ("sleep 100", "The step took longer than 2 s."),
        ("eat", "The step needed more than 512 MB of memory."),
        ("regicide", "The sandbox itself ended while the step ran."),
        ("again", "The tide is out."),
    ],
)
def test_a_file_that_kills_its_sandbox_each_time_is_dead_with_the_reason(command: str, reason: str) -> None:
    """Guarantee 5. Other files are processed as before."""
    asset = processed(samples.text(), f"trial {command}.txt")
    assert asset.status == FileStatus.FAILED
    assert asset.message == f"Trying it out failed after 2 attempts. {reason}"
    assert asset.gate_passed
    assert (step(asset, "trial").state, step(asset, "trial").detail) == (StepState.FAILED, reason)
    job = job_of(asset, jobs.Stage.DESCRIBE)
    assert (job.state, job.attempts) == (jobs.JobState.DEAD, 2)
    assert [attempt.step for attempt in job.attempt_log.all()] == ["trial", "trial"]
    assert events(asset, "job.dead") == [{"stage": "describe", "attempts": 2, "message": asset.message}]
    assert processed(samples.jpeg(), "after.jpg").status == FileStatus.READY
    assert scratch() == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("lie", "not announced to give 'checksum'"),
        ("script", "a rendition that it was not announced to make"),
        ("beyond", "not in its output"),
        ("babble", "is not usable"),
        ("write", "The step failed with OSError."),
    ],
)
def test_what_a_child_says_is_not_believed(command: str, reason: str) -> None:
    asset = processed(samples.text(), f"trial {command}.txt")
    assert asset.status == FileStatus.READY
    assert (step(asset, "trial").state, asset.renditions.count()) == (StepState.FAILED, 0)
    assert reason in step(asset, "trial").detail
    assert asset.checksum != "0" * 64


def test_text_that_a_database_cannot_hold_is_cleaned() -> None:
    asset = processed(samples.text(), "trial nul.txt")
    assert (asset.extra_attributes["trial"], step(asset, "trial").detail) == ("abc", "de")


def test_a_child_finds_no_secret_and_no_file_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    processing.shut_down()  # so that the parent starts with this secret about
    (tmp_path / "secret").write_text("open sesame")
    with open(tmp_path / "secret") as secret:
        os.set_inheritable(secret.fileno(), True)
        asset = processed(samples.text(), "trial look.txt")
    found = asset.extra_attributes["trial"]
    assert "sesame" not in str(found)
    assert not {"AWS_SECRET_ACCESS_KEY", "PATH", "HOME", "WINDLASS_HOME", "DATABASE_URL"} & set(found["environment"])
    kinds = [name for name in found["files"] if name != "the listing itself"]
    assert len(kinds) == 4  # nothing, the file, the answer, the output
    assert "/dev/null" in kinds
    assert "socket" in kinds
    assert [name for name in kinds if "secret" in name] == []
    assert found["session"]
    assert (found["no_new_privileges"], found["core"], found["memory"]) == ("1", 0, 512 * 2**20)


def test_what_a_child_leaves_behind_is_killed() -> None:
    asset = processed(samples.text(), "trial orphan.txt")
    eventually(lambda: not is_alive(asset.extra_attributes["trial"]))


def test_the_libraries_are_not_loaded_into_this_process() -> None:
    """Whoever asks for the plan, or runs jobs, parses nothing itself."""
    said = subprocess.run([sys.executable, "-c", PLANS], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_plug_in_that_is_broken_is_left_out() -> None:
    from windlass.processing.registry import installed

    assert "trial" in installed()
    assert "absent" not in installed()


def _order(file: int, **facts: object) -> Order:
    return Order("trial", facts, {}, Limits(memory=2**29, seconds=60), file)


def test_a_parent_that_died_is_started_again() -> None:
    sandbox = Sandbox()
    try:
        with open(os.devnull, "rb") as file:
            for _ in range(2):
                said = sandbox.run(_order(file.fileno(), filename="trial sleep 0.txt"), lambda _: None, _never())
                assert said["facts"] == {"trial": "rested"}
                os.kill(descendants(os.getpid())[-1], 9)
    finally:
        sandbox.close()


def test_who_no_longer_wants_the_result_ends_the_child() -> None:
    sandbox, unwanted = Sandbox(), threading.Event()
    try:
        with open(os.devnull, "rb") as file:
            threading.Timer(0.5, unwanted.set).start()
            with pytest.raises(Cancelled):
                sandbox.run(_order(file.fileno(), filename="trial sleep 50.txt"), lambda _: None, unwanted)
        parent = sandbox._process
        assert parent is not None
        eventually(lambda: not descendants(parent.pid))
        assert parent.poll() is None
    finally:
        sandbox.close()


def test_bytes_of_a_distant_store_come_through_scratch_and_leave_nothing() -> None:
    """A store that gives no real file: the sandbox gets a copy that it can only read."""
    with real_file(io.BytesIO(samples.jpeg())) as local:
        assert scratch() == []
        assert local.read() == samples.jpeg()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(local.fileno(), b"x")


def test_a_file_that_fails_in_the_gate_is_never_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type cannot be found because the sandbox cannot be had: the gate stays shut."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    processing.shut_down()
    asset = work_off(received(samples.text(), "a.txt"))
    processing.shut_down()
    assert (asset.status, asset.gate_passed) == (FileStatus.FAILED, False)
    assert "Detecting the type failed after 2 attempts" in asset.message


def _never() -> threading.Event:
    return threading.Event()
