"""What the client stores of unfinished uploads, and how long it retries."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.pure.client_exchange import UPLOAD
from windlass.client.resume_state import KEEP_SECONDS, ResumeFile, state_directory
from windlass.client.retries import RetryBudget


def resume_file(directory: Path, **more: Any) -> ResumeFile:
    return ResumeFile(directory, {"server": "http://a", "path": "/x", "size": 1, "modified_ns": 2, **more})


def test_a_stored_url_is_found_for_the_same_upload_only(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    assert resume_file(tmp_path).load_url() == UPLOAD
    assert resume_file(tmp_path, size=2).load_url() is None
    assert resume_file(tmp_path, profile="media").load_url() is None
    (entry,) = (tmp_path / "uploads").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    resume_file(tmp_path).delete()
    assert resume_file(tmp_path).load_url() is None


def test_a_damaged_state_file_or_an_unwritable_directory_raises_nothing(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    entry.write_text("{")
    assert resume_file(tmp_path).load_url() is None
    (tmp_path / "file").write_text("")
    resume_file(tmp_path / "file").save_url(UPLOAD)
    resume_file(tmp_path / "file").delete()


def test_old_state_files_are_deleted(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    old = entry.stat().st_mtime - KEEP_SECONDS - 60
    os.utime(entry, (old, old))
    resume_file(tmp_path, size=2).save_url(UPLOAD)
    assert resume_file(tmp_path).load_url() is None
    assert resume_file(tmp_path, size=2).load_url() == UPLOAD


def test_the_state_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert state_directory() == Path("/somewhere/state/windlass")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_directory() == Path.home() / ".local" / "state" / "windlass"


def test_delays_double_up_to_a_limit_and_have_jitter() -> None:
    steady = RetryBudget(1e9, first=1e9, shortest=0.5, longest=30.0, jitter=lambda _low, high: high)
    assert [steady.delay_after_failure() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    spread = RetryBudget(1e9, first=1e9)
    delays = [spread.delay_after_failure() or 0.0 for _ in range(50)]
    assert all(15.0 <= delay <= 30.0 for delay in delays[10:])
    assert len(set(delays[10:])) > 10


def test_the_budget_before_the_first_response_is_smaller() -> None:
    waiting = RetryBudget(300.0, first=15.0)
    total = 0.0
    while (delay := waiting.delay_after_failure(spent=1.0)) is not None:
        total += delay + 1.0
    assert total < 40.0
    waiting = RetryBudget(300.0, first=15.0)
    waiting.note_response()
    assert all(waiting.delay_after_failure(spent=1.0) is not None for _ in range(10))
