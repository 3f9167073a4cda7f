"""What a hostile file can do in the sandbox, and how its processing ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from tests import samples
from tests.integration.processing.received_files import (
    descendants,
    events,
    eventually,
    is_alive,
    job_of,
    processed,
    received,
    scratch,
    step,
    store,
    work_off,
)
from windlass.files.api import FileStatus, StepState
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.processing import worker_sandbox
from windlass.processing.contract import Cancelled, PermanentError, StepError
from windlass.processing.sandbox import client
from windlass.processing.sandbox.client import ORDERS_PER_CHILD, Order, Sandbox, Session
from windlass.processing.sandbox.exit_status import StepDied
from windlass.processing.sandbox.lockdown import Limits
from windlass.processing.step_workspace import local_file

PLANS = """
import sys, django
django.setup()
from windlass.files.api import profile
from windlass.processing import api
assert len(api.plan_for(profile("default"), "image/png")) > 5
print([name for name in ("pyvips", "av", "pypdfium2", "magic", "mutagen") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def few_attempts(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=2, STEP_TIMEOUT_SECONDS=2, STEP_MEMORY_MB=512)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("crash", "The step crashed."),
        ("sleep 100", "The step took longer than 2 s."),
        ("eat", "The step needed more than 512 MB of memory."),
        ("again", "The tide is out."),
    ],
)
def test_a_file_that_always_kills_its_sandbox_fails_with_the_reason(command: str, reason: str, settings) -> None:
    """Guarantee 5. Other files are processed as before."""
    if not command.startswith("sleep"):
        settings(STEP_TIMEOUT_SECONDS=60)  # a busy machine takes its time to crash, too
    asset = processed(samples.text(), f"trial {command}.txt")
    assert asset.status == FileStatus.FAILED
    assert asset.message == f"Trying it out failed after 2 attempts. {reason}"
    assert asset.gate_passed
    assert (step(asset, "trial").state, step(asset, "trial").detail) == (StepState.FAILED, reason)
    job = job_of(asset, jobs.Stage.DESCRIBE)
    assert (job.state, job.attempts) == (jobs.JobState.DEAD, 2)
    assert [attempt.step for attempt in job.attempt_log.all()] == ["trial", "trial"]
    (dead,) = events(asset, "job.dead")
    assert (dead["task_id"], dead["step"]) == (str(job.id), "trial")
    assert (dead["stage"], dead["attempts"], dead["message"]) == ("describe", 2, asset.message)
    assert processed(samples.jpeg(), "after.jpg").status == FileStatus.READY
    assert scratch() == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("lie", "not announced to give 'checksum'"),
        ("script", "a rendition that it was not announced to make"),
        ("beyond", "not in its output"),
        ("babble", "is not usable"),
        ("write", "The step wrote more than 64 MB."),
    ],
)
def test_invalid_results_of_a_child_are_refused(command: str, reason: str) -> None:
    asset = processed(samples.text(), f"trial {command}.txt")
    assert asset.status == FileStatus.READY
    assert step(asset, "trial").state == StepState.FAILED
    assert not asset.renditions.filter(name__startswith="trial").exists()
    assert reason in step(asset, "trial").detail
    assert asset.checksum != "0" * 64


def test_text_that_a_database_cannot_hold_is_cleaned() -> None:
    asset = processed(samples.text(), "trial nul.txt")
    assert (asset.extra_attributes["trial"], step(asset, "trial").detail) == ("abc", "de")


def test_a_child_has_no_secrets_and_no_other_files(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    processing.shut_down()  # so that the parent starts with this secret about
    (tmp_path / "secret").write_text("open sesame")
    with open(tmp_path / "secret") as secret:
        os.set_inheritable(secret.fileno(), True)
        asset = processed(samples.text(), "trial look.txt")
    found = asset.extra_attributes["trial"]
    assert "sesame" not in str(found)
    assert not {"AWS_SECRET_ACCESS_KEY", "PATH", "HOME", "WINDLASS_HOME", "DATABASE_URL"} & set(found["environment"])
    # Nothing on the first three; the file, the answer, the output.
    assert found["files"] == ["device", "device", "device", "file", "socket", "file"]
    # A group of its own; no session, because the scheduler would give each as much as all web processes.
    assert (found["group"], found["session"]) == (True, True)
    assert (found["no_new_privileges"], found["dumpable"], found["core"]) == (1, 0, 0)
    assert 512 * 2**20 <= found["memory"] < 2048 * 2**20, "on top of what the parent's libraries take"


@pytest.mark.slow
def test_without_lockdown_a_killed_sandbox_is_reported_as_such(settings) -> None:
    settings(SANDBOX="off")
    asset = processed(samples.text(), "trial regicide.txt")
    assert asset.status == FileStatus.FAILED
    assert asset.message == "Trying it out failed after 2 attempts. The sandbox itself ended while the step ran."
    assert processed(samples.jpeg(), "after.jpg").status == FileStatus.READY


def test_processes_left_by_a_child_are_killed(settings) -> None:
    """Without seccomp, which would keep it from starting a process."""
    settings(SANDBOX="off")
    asset = processed(samples.text(), "trial orphan.txt")
    eventually(lambda: not is_alive(asset.extra_attributes["trial"]))


@pytest.mark.slow
def test_the_workers_process_loads_no_parsing_library() -> None:
    """Processes that make plans or run jobs parse nothing themselves."""
    result = subprocess.run([sys.executable, "-c", PLANS], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_warming_up_starts_no_thread() -> None:
    """A fork of a process with threads may hang. Steps that cannot be warmed up are reported on the error output."""
    look = (
        "import os; from windlass.processing.sandbox.parent import warm_up; warm_up(['trial']); "
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {**client.ENVIRONMENT, "PYTHONPATH": client.library_path()}
    seen = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert (seen.stdout.splitlines()[-1], seen.stderr) == ("1", "")


def test_a_broken_plug_in_is_skipped() -> None:
    from windlass.processing.registry import installed

    assert "trial" in installed()
    assert "absent" not in installed()


# Sessions: one child for the steps of one file

LIMITS = Limits(memory=2**29, seconds=60)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[Session]:
    with open(os.devnull, "rb") as file, sandbox.session(file.fileno(), None, LIMITS) as made:
        yield made


def run_trial(session: Session, command: str, unwanted: threading.Event | None = None) -> Any:
    """Return the fact that the trial step returned."""
    order = Order("trial", {"filename": f"trial {command}.txt"}, {})
    return session.run(order, lambda _: None, unwanted or threading.Event())["facts"].get("trial")


def test_steps_of_one_file_share_a_child_process(sandbox: Sandbox, session: Session) -> None:
    first = run_trial(session, "who")
    assert run_trial(session, "who") == first
    with open(os.devnull, "rb") as file, sandbox.session(file.fileno(), None, LIMITS) as another:
        assert run_trial(another, "who") != first
    assert run_trial(session, "who") == first


def test_a_child_is_prepared_ahead_of_its_file() -> None:
    with closing(Sandbox(usual=LIMITS)) as sandbox, open(os.devnull, "rb") as file:

        def who(limits: Limits = LIMITS) -> Any:
            with sandbox.session(file.fileno(), None, limits) as session:
                first = run_trial(session, "who")
                assert run_trial(session, "who") == first
                return first

        def prepared(*former: Any) -> int:
            assert sandbox._process is not None
            parent = sandbox._process.pid
            [found] = eventually(lambda: set(descendants(parent)) - set(former))
            return found

        first = who()
        waiting = prepared(first)
        forked = who(replace(LIMITS, memory=2**30))
        assert forked != waiting, "the waiting child was locked down with other limits"
        assert who() == waiting
        following = prepared(first, waiting, forked)
        os.kill(following, signal.SIGKILL)
        eventually(lambda: not is_alive(following))
        assert who() not in {first, waiting, forked, following}


def test_a_permanent_error_keeps_the_child_for_the_next_step(session: Session) -> None:
    first = run_trial(session, "who")
    with pytest.raises(PermanentError, match="cannot be read"):
        run_trial(session, "unreadable")
    assert run_trial(session, "who") == first


@pytest.mark.slow
@pytest.mark.parametrize("command", ["crash", "eat", "fault", "twice", "again"])
def test_a_misbehaving_child_is_replaced(session: Session, command: str) -> None:
    first = run_trial(session, "who")
    with pytest.raises(StepError):
        run_trial(session, command)
    eventually(lambda: not is_alive(first))
    assert run_trial(session, "who") != first


@pytest.mark.slow
def test_a_child_that_ended_between_two_steps_is_replaced(session: Session) -> None:
    first = run_trial(session, "who")
    os.kill(first, 9)
    channel = session._channel
    assert channel is not None
    eventually(channel.has_ended)  # its parent, which reports it, may come later than its end
    assert run_trial(session, "who") != first


def test_a_child_ends_with_its_session(session: Session) -> None:
    first = run_trial(session, "who")
    session.close()
    eventually(lambda: not is_alive(first))


@pytest.mark.slow
def test_each_step_has_its_own_timeout(sandbox: Sandbox) -> None:
    with open(os.devnull, "rb") as file, sandbox.session(file.fileno(), None, Limits(2**29, 1.5)) as session:
        for _ in range(3):
            assert run_trial(session, "sleep 0.8") == "rested"
        with pytest.raises(StepDied, match="took longer than"):
            run_trial(session, "sleep 60")


def test_a_child_is_replaced_after_a_number_of_steps(session: Session) -> None:
    assert len({run_trial(session, "who") for _ in range(ORDERS_PER_CHILD + 1)}) == 2


def test_the_output_of_a_step_has_nothing_of_the_step_before() -> None:
    """Each step's output begins empty, and what the store gets is that step's: the thumbnail follows the trial's."""
    asset = processed(samples.jpeg(), "trial sizes 320.jpg")
    stored = {}
    for made in asset.renditions.all():
        with store().open(made.key) as kept:
            stored[made.name] = kept.read()
    assert stored["trial"] == stored["trial-320"] == b"ahoy"
    assert stored["thumbnail"][:4] == b"RIFF"
    assert {made.name: made.size for made in asset.renditions.all()} == {n: len(b) for n, b in stored.items()}


def test_a_dead_sandbox_parent_is_restarted(sandbox: Sandbox, session: Session) -> None:
    for _ in range(2):
        assert run_trial(session, "sleep 0") == "rested"
        parent = sandbox._process
        assert parent is not None
        parent.kill()


def test_cancelling_a_step_kills_its_child(sandbox: Sandbox, session: Session) -> None:
    unwanted = threading.Event()
    threading.Timer(0.5, unwanted.set).start()
    with pytest.raises(Cancelled):
        run_trial(session, "sleep 50", unwanted)
    parent = sandbox._process
    assert parent is not None
    eventually(lambda: not descendants(parent.pid))
    assert parent.poll() is None


def test_bytes_of_a_remote_store_are_copied_to_scratch_and_removed() -> None:
    """A store that gives no real file: the sandbox gets a copy that it can only read."""
    with local_file(io.BytesIO(samples.jpeg())) as local:
        assert scratch() == []
        assert local.read() == samples.jpeg()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(local.fileno(), b"x")


def test_a_file_that_fails_before_the_gate_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type cannot be detected because the sandbox does not start: the gate is not passed."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    processing.shut_down()
    asset = work_off(received(samples.text(), "a.txt"))
    processing.shut_down()
    assert (asset.status, asset.gate_passed) == (FileStatus.FAILED, False)
    assert "Detecting the type failed after 2 attempts" in asset.message


def test_libraries_of_unused_steps_are_not_preloaded(tmp_path, settings) -> None:
    """Each would make every fork dearer. A step that is asked for all the same still finds its library."""
    unexpected = worker_sandbox.unexpected_steps()
    assert "ocr" in unexpected
    assert not {"type", "thumbnail", "trial"} & set(unexpected)
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[default]\nocr = true\n")
    settings(WINDLASS_PROFILES=profiles)
    assert "ocr" not in worker_sandbox.unexpected_steps()
    with (
        open(os.devnull, "rb") as file,
        closing(Sandbox(unexpected=["trial"])) as sandbox,
        sandbox.session(file.fileno(), None, LIMITS) as session,
    ):
        assert run_trial(session, "sleep 0") == "rested"
        assert run_trial(session, "prepared") is False
