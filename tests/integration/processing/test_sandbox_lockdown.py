"""A step that a file has taken over can reach nothing: how its attempts end, and that other files are processed."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import samples
from tests.conftest import require
from tests.integration.processing.received_files import HERE, events, job_of, processed, received, step
from windlass import conf
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.processing.sandbox.capability_level import measure
from windlass.processing.sandbox.parent import own_children

LACKING = HERE.parent / "without_system_calls.py"
STOPPED = "The step was stopped: it asked the system for something it may not do."
REFUSED = "The step asked for a file, a connection or a right that it may not have."


@pytest.fixture(scope="module", autouse=True)
def locked_down_sandbox(plugin: None) -> Iterator[None]:
    """The other files of these tests' neighbours are processed as before."""
    require(measure("best-effort").name == "full", "this machine does not have both Landlock and seccomp")
    assert processed(samples.text(), "before.txt").status == FileStatus.READY
    yield
    assert processed(samples.jpeg(), "after.jpg").status == FileStatus.READY


@pytest.fixture(autouse=True)
def few_attempts(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=2, STEP_TIMEOUT_SECONDS=2, STEP_MEMORY_MB=512, SANDBOX="require")


@pytest.fixture(autouse=True)
def same_parent(locked_down_sandbox: None) -> Iterator[None]:
    """The sandbox's parent, which no test here may end."""
    before = _parents()
    assert len(before) == 1
    yield
    assert _parents() == before


def _parents() -> list[int]:
    """Ours alone: its children look the same, and come and go."""
    return [
        pid for pid in own_children() if b"windlass.processing.sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _attempt(what: str, *words: object) -> FileAsset:
    return processed(samples.text(f"{' '.join(map(str, words))}\nHaul away.\n"), f"escape {what}.txt")


def _recorded_detail(asset: FileAsset) -> str:
    """Return the detail of the failed step: a step behind the gate fails once, and the file becomes ready."""
    step_run = step(asset, "escape")
    assert (asset.status, step_run.state) == (FileStatus.READY, StepState.FAILED)
    assert "escaped" not in asset.extra_attributes
    assert [event["state"] for event in events(asset, "file.step") if event["step"] == "escape"][-1] == "failed"
    return step_run.detail


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/usr/bin/env"])
def test_no_file_of_the_system_can_be_read(path: str) -> None:
    assert _recorded_detail(_attempt("read", path)) == REFUSED


def test_nothing_of_the_server_can_be_read(tmp_path: Path) -> None:
    home = conf.get().windlass_home
    secret = tmp_path / "secret"
    secret.write_text("open sesame")
    for path in (home / "windlass.sqlite3", secret):
        assert path.exists()
        assert _recorded_detail(_attempt("read", path)) == REFUSED
    assert _recorded_detail(_attempt("list", home)) == REFUSED
    assert _recorded_detail(_attempt("read_parent")) == REFUSED


def test_the_interpreters_libraries_can_be_read() -> None:
    """Modules that a library imports as late as it meets a rare file."""
    asset = _attempt("read", os.__file__)
    assert asset.extra_attributes["escaped"].startswith('r"""OS routines')


def test_nothing_can_be_written_changed_or_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("as it was")
    mine.chmod(0o600)
    for attempt, target in (("write", mine), ("write", tmp_path / "new"), ("write", Path("/tmp/windlass-escaped"))):
        assert _recorded_detail(_attempt(attempt, target)) == REFUSED
    for attempt in ("remove", "chmod"):
        assert _recorded_detail(_attempt(attempt, mine)) == REFUSED
    assert _recorded_detail(_attempt("reopen")) == REFUSED
    assert (mine.read_text(), stat.S_IMODE(mine.stat().st_mode)) == ("as it was", 0o600)
    assert list(tmp_path.iterdir()) == [mine]
    assert not Path("/tmp/windlass-escaped").exists()


def test_no_network_connection_can_be_opened(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        assert _recorded_detail(_attempt("tcp", tcp.getsockname()[1])) == REFUSED
        assert _recorded_detail(_attempt("udp", udp.getsockname()[1])) == REFUSED
        assert _recorded_detail(_attempt("unix", tmp_path / "unix")) == REFUSED
        for canary in (tcp, udp, unix):
            canary.setblocking(False)
            with pytest.raises(BlockingIOError):
                canary.recv(1) if canary is udp else canary.accept()


@pytest.mark.parametrize("what", ["execute", "run", "fork", "trace", "kill_parent", "kill_all", "unshare"])
def test_a_forbidden_system_call_kills_the_step(what: str) -> None:
    assert _recorded_detail(_attempt(what)) == STOPPED


@pytest.mark.parametrize("what", ["leave_group", "raise_limit", "run_the_file"])
def test_a_system_call_that_libraries_try_is_refused(what: str) -> None:
    assert _recorded_detail(_attempt(what)) == REFUSED


def test_output_is_limited() -> None:
    assert _recorded_detail(_attempt("flood")) == "The step wrote more than 64 MB."


def test_threads_are_allowed() -> None:
    asset = _attempt("threads")
    assert asset.extra_attributes["escaped"] == "8 threads"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "reason"),
    [("spin", "The step took longer than 2 s."), ("abort", "The step crashed.")],
)
def test_a_transient_failure_is_tried_again(what: str, reason: str) -> None:
    asset = _attempt(what)
    assert asset.status == FileStatus.FAILED
    assert asset.message == f"Getting out failed after 2 attempts. {reason}"


@pytest.mark.parametrize(
    ("content", "name", "fact"),
    [
        (samples.jpeg, "a.jpg", "image_format"),
        (samples.webp, "a.webp", "image_format"),
        (samples.gif, "a.gif", "frames"),
        (samples.pdf, "a.pdf", "page_width"),
        (samples.mp4, "a.mp4", "video_codec"),
        (samples.webm, "a.webm", "video_codec"),
        (samples.mp3, "a.mp3", "tags"),
        (samples.m4a, "a.m4a", "tags"),
        (samples.flac, "a.flac", "audio_codec"),
        (samples.wav, "a.wav", "audio_codec"),
    ],
)
def test_every_file_type_is_processed_under_lockdown(content, name: str, fact: str) -> None:
    asset = processed(content(), name)
    assert asset.status == FileStatus.READY
    assert fact in asset.extra_attributes
    assert not asset.steps.filter(state=StepState.FAILED).exists()


def test_this_machine_has_the_full_capability_level() -> None:
    level = processing.sandbox_level()
    assert (level.name, level.seccomp, level.gaps) == ("full", True, "")
    assert level.landlock >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacking", "mode", "status"),
    [("landlock", "best-effort", "DONE"), ("seccomp", "best-effort", "DONE"), ("landlock", "require", "QUEUED")],
)
def test_steps_run_with_partial_lockdown_unless_it_is_required(lacking: str, mode: str, status: str) -> None:
    asset = received(samples.jpeg(), "a.jpg")
    job = job_of(asset, jobs.Stage.INTAKE)
    command = [sys.executable, str(LACKING), lacking, sys.executable, str(HERE / "worker.py"), str(job.id), "lacking"]
    subprocess.run(command, env={**os.environ, "SANDBOX": mode}, check=True, timeout=60)
    job.refresh_from_db()
    assert job.state == jobs.JobState[status]
    assert ("The sandbox could not be locked down" in job.last_error) == (mode == "require")
