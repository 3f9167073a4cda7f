"""Long steps: their own limits and child process, their progress, and their end when their file is deleted."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from django.db import connection

from tests import samples
from tests.integration.processing.received_files import (
    descendants,
    eventually,
    is_alive,
    job_of,
    received,
    step,
    work_off,
    worker,
)
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.http.live.progress import Progress, progress_under_way
from windlass.http.live.topics import Topic
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic
from windlass.processing import api as processing
from windlass.processing import job_run


def sailing(filename: str) -> FileAsset:
    """A file whose long step is due and nothing else."""
    asset = received(samples.png(), filename)
    processing.run_job(job_of(asset, jobs.Stage.INTAKE).id, "test")
    assert job_of(asset, jobs.Stage.DERIVE).state == jobs.JobState.QUEUED
    return asset


@pytest.mark.slow
def test_a_long_step_has_its_own_timeout_and_child_process(settings) -> None:
    settings(STEP_TIMEOUT_SECONDS=1)
    asset = work_off(sailing("voyage 2.5 1.png"))
    assert (asset.status, step(asset, "voyage").state) == (FileStatus.READY, StepState.DONE)
    assert {made.name: made.size for made in asset.renditions.all()}["logbook"] == 2**20
    assert "thumbnail" in {made.name for made in asset.renditions.all()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "filename", "reason"),
    [
        ({"LONG_STEP_TIMEOUT_SECONDS": 1}, "voyage 60 0.png", "The step took longer than 1 s."),
        ({"LONG_STEP_OUTPUT_MB": 1}, "voyage 0 2.png", "more than"),
    ],
)
def test_a_long_step_has_limits(settings, limit: dict[str, object], filename: str, reason: str) -> None:
    settings(JOB_MAX_ATTEMPTS=1, **limit)
    asset = work_off(sailing(filename))
    assert step(asset, "voyage").state == StepState.FAILED
    assert reason in step(asset, "voyage").detail or "OSError" in step(asset, "voyage").detail
    assert not asset.renditions.filter(name="logbook").exists()


@pytest.mark.slow
def test_progress_inside_a_step_rises_and_is_saved_at_most_four_times_a_second(monkeypatch) -> None:
    asset, told, over = sailing("voyage 2 0.png"), [], threading.Event()
    save = job_run.JobRun.save

    def counted(run: job_run.JobRun) -> None:
        told.append(monotonic())
        save(run)

    monkeypatch.setattr(job_run.JobRun, "save", counted)
    seen: list[Progress] = []

    def watch() -> None:
        while not over.wait(0.02):
            seen.extend(progress_under_way([Topic(file_id=asset.id)]))
        connection.close()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        asset = work_off(asset)
    finally:
        over.set()
        watching.join()
    assert asset.status == FileStatus.READY
    marks = [each.mark for each in seen]
    assert marks == sorted(marks)
    assert len({each.mark for each in seen if each.message == "Sailing round the world"}) >= 3
    assert all(later - earlier >= job_run.SAVE_INTERVAL for earlier, later in pairwise(told))


@pytest.mark.slow
@pytest.mark.parametrize("end", [processing.release, processing.delete])
def test_a_long_step_ends_with_its_file(end) -> None:
    asset = sailing("voyage 600 0.png")
    process = worker(job_of(asset, jobs.Stage.DERIVE), "captain")
    try:
        eventually(lambda: step(asset, "voyage").progress > 0, seconds=60)
        below = descendants(process.pid)
        asset.refresh_from_db()
        end(asset)
        assert process.wait(60) == 0, "hundreds of seconds before the voyage would have ended"
        eventually(lambda: not any(is_alive(pid) for pid in below))
    finally:
        process.kill()
        process.wait()
