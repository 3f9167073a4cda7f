"""A file's stages: what is recorded, what a retry repeats, and which worker may record."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import samples
from tests.claims import try_claim
from tests.integration.processing.received_files import (
    counting_forks,
    descendants,
    events,
    eventually,
    is_alive,
    job_of,
    processed,
    queues_of,
    received,
    scratch,
    step,
    store,
    work_off,
    worker,
)
from windlass.events.api import recording
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition, StepRun, StepState
from windlass.jobs import api as jobs
from windlass.kernel.problem_types import FileReleased, StillRunning
from windlass.processing import api as processing
from windlass.processing import job_runner

READY = FileStatus.READY
Stage = jobs.Stage


def test_each_stage_creates_the_next_job_and_notifies_workers(notified) -> None:
    asset = received(samples.jpeg(), "a.jpg")
    made = []
    for stage in (Stage.INTAKE, Stage.DESCRIBE, Stage.DERIVE):
        job = job_of(asset, stage)
        made.append(job.id)
        processing.run_job(job.id, "test", queues_of(stage))
        assert job_of(asset, stage).state == jobs.JobState.DONE
    assert notified == made
    assert FileAsset.objects.get(id=asset.id).status == READY


def test_a_worker_that_serves_the_next_stage_continues_with_it_and_sends_no_notification(notified) -> None:
    asset = received(samples.jpeg(), "a.jpg")
    processing.run_job(job_of(asset, Stage.INTAKE).id, "test", queues_of(Stage.INTAKE, Stage.DESCRIBE))
    assert job_of(asset, Stage.DESCRIBE).state == jobs.JobState.DONE
    derive = job_of(asset, Stage.DERIVE)
    assert derive.state == jobs.JobState.QUEUED
    assert notified == [job_of(asset, Stage.INTAKE).id, derive.id]
    processing.run_job(derive.id, "another")
    assert FileAsset.objects.get(id=asset.id).status == READY
    log = [(a.worker, a.outcome) for s in Stage for a in job_of(asset, s).attempt_log.all()]
    done = jobs.AttemptOutcome.DONE
    assert log == [("test", done), ("test", done), ("another", done)]


def test_a_stage_with_a_long_step_is_queued_as_a_job_of_its_own(notified) -> None:
    """So that a video's conversion does not keep other files waiting at the gate."""
    asset = received(samples.png(), "voyage.png")
    processing.run_job(job_of(asset, Stage.INTAKE).id, "test")
    assert job_of(asset, Stage.DESCRIBE).state == jobs.JobState.DONE
    assert job_of(asset, Stage.DERIVE).state == jobs.JobState.QUEUED
    assert notified[-1] == job_of(asset, Stage.DERIVE).id
    costs = [job_of(asset, stage).cost for stage in (Stage.INTAKE, Stage.DESCRIBE, Stage.DERIVE)]
    assert costs == ["light", "light", "heavy"]


def test_the_stages_of_a_large_file_are_heavy(notified, settings) -> None:
    settings(HEAVY_FILE_MB=1)
    asset = received(samples.png() + bytes(2**20), "a.png")
    light = [queue for queue in jobs.QUEUES if queue.cost == jobs.CostClass.LIGHT]
    processing.run_job(job_of(asset, Stage.INTAKE).id, "test", light)
    assert job_of(asset, Stage.DESCRIBE).state == jobs.JobState.QUEUED, "this worker serves no heavy jobs"
    processing.run_job(job_of(asset, Stage.DESCRIBE).id, "test")
    assert [job_of(asset, stage).cost for stage in (Stage.DESCRIBE, Stage.DERIVE)] == ["heavy", "heavy"]
    assert work_off(asset).status == READY


def test_the_steps_of_all_stages_share_one_child() -> None:
    with counting_forks() as children:
        asset = processed(samples.jpeg(), "a.jpg")
    assert asset.status == READY
    assert len(children) == 1


def test_stages_of_one_run_are_recorded_in_one_transaction(monkeypatch) -> None:
    """A small file that one worker takes through costs a transaction for its claim and one for all that came of it."""
    monkeypatch.setattr(job_runner, "SAVE_INTERVAL", 60)  # a busy machine takes its time
    asset = received(samples.jpeg(), "a.jpg")
    Blob.objects.filter(id=asset.blob_id).update(sha256=hashlib.sha256(samples.jpeg()).hexdigest())
    with CaptureQueriesContext(connection) as asked:
        processing.run_job(job_of(asset, Stage.INTAKE).id, "test")
    begun = [query for query in asked.captured_queries if query["sql"].startswith("BEGIN")]
    assert len(begun) == 2
    assert len(asked) < 30
    for stage in Stage:
        job = job_of(asset, stage)
        (attempt,) = job.attempt_log.all()
        assert (job.state, job.attempts, attempt.outcome) == (jobs.JobState.DONE, 1, jobs.AttemptOutcome.DONE)
        assert attempt.started_at <= attempt.ended_at


def test_an_internal_error_repeats_the_steps_since_the_last_save(monkeypatch) -> None:
    """The stages that were gone through since the last record are done again, from the first step that is not done."""
    monkeypatch.setattr(job_runner, "SAVE_INTERVAL", 60)
    asset = received(samples.jpeg(), "a.jpg")

    def fail(run: Any, last: Any) -> None:
        if run.stage == Stage.DERIVE:
            raise RuntimeError("there is a hole in the boat")

    with monkeypatch.context() as patched:
        patched.setattr(job_runner, "_delete_stale_renditions", fail)
        processing.run_job(job_of(asset, Stage.INTAKE).id, "test")
    job = job_of(asset, Stage.INTAKE)
    assert (job.state, job.attempts) == (jobs.JobState.QUEUED, 1)
    assert jobs.Job.objects.filter(file_id=asset.id).count() == 1
    assert work_off(asset).status == READY
    told = [event["step"] for event in events(asset, "file.step")]
    assert told.count("image_facts") == told.count("thumbnail") == 1


def test_a_failed_step_fails_the_job_of_its_own_stage(settings) -> None:
    settings(JOB_BACKOFF_SECONDS=60)
    asset = received(samples.text(), "trial again.txt")
    processing.run_job(job_of(asset, Stage.INTAKE).id, "test")
    assert job_of(asset, Stage.INTAKE).state == jobs.JobState.DONE
    job = job_of(asset, Stage.DESCRIBE)
    assert (job.state, job.attempts) == (jobs.JobState.QUEUED, 1)
    assert [attempt.step for attempt in job.attempt_log.all()] == ["trial"]


@pytest.mark.slow
def test_results_of_earlier_steps_are_saved_before_a_slow_one_ends() -> None:
    asset = received(samples.jpeg(), "trial sleep 60.jpg", run_intake=True)
    process = worker(job_of(asset, Stage.DESCRIBE), "patient")
    try:
        eventually(lambda: step(asset, "trial").state == StepState.RUNNING)
        assert step(asset, "image_facts").state == StepState.DONE
        assert FileAsset.objects.get(id=asset.id).width == 320
    finally:
        process.kill()
        process.wait()


def test_stages_without_steps_are_skipped() -> None:
    asset = processed(b"\0asm\1\0\0\0", "a.wasm")
    assert asset.status == READY
    assert jobs.Job.objects.filter(file_id=asset.id).count() == 1


def test_a_duplicate_notification_runs_the_job_once() -> None:
    asset = received(samples.jpeg(), "a.jpg", run_intake=True)
    processing.run_job(job_of(asset, Stage.INTAKE).id, "another")
    assert len([e for e in events(asset, "file.step") if e["step"] == "checksum"]) == 1
    assert job_of(asset, Stage.INTAKE).attempts == 1


def test_every_step_is_recorded_and_published_in_order() -> None:
    asset = processed(samples.jpeg(), "a.jpg")
    names = ["size", "checksum", "duplicate", "type", "type_rules", "harbour"]
    names += ["image_facts", "pixel_rules", "trial", "thumbnail"]
    rows = list(StepRun.objects.filter(file=asset).order_by("position"))
    assert [row.step for row in rows] == names
    assert {row.state for row in rows} == {StepState.DONE}
    assert all(row.seconds is not None for row in rows)
    assert [event["step"] for event in events(asset, "file.step")] == names
    assert [event["stage"] for event in events(asset, "file.stage")] == ["intake", "describe", "derive"]
    assert len(events(asset, "file.ready")) == 1


@pytest.mark.slow
def test_progress_never_falls() -> None:
    """The step reports 10, 90, 40, 60, 100."""
    asset = received(samples.jpeg(), "trial progress.jpg", run_intake=True)
    seen: list[tuple[int, int]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            row = StepRun.objects.get(file=asset, step="trial")
            seen.append((FileAsset.objects.get(id=asset.id).progress, row.progress))
        connection.close()

    watching = threading.Thread(target=watch)
    watching.start()
    processing.run_job(job_of(asset, Stage.DESCRIBE).id, "test")
    over.set()
    watching.join()
    overall = [told["progress"] for told in events(asset, "file.step")] + [work_off(asset).progress]
    assert seen == sorted(seen)
    assert any(0 < percent < 100 for _, percent in seen)
    assert overall == sorted(overall)
    assert overall[-1] == 100


def test_a_retry_starts_at_the_first_step_that_is_not_done(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=3)
    asset = work_off(received(samples.jpeg(), "trial crash.jpg"))
    told = [(event["step"], event["state"]) for event in events(asset, "file.step")]
    assert told.count(("image_facts", "done")) == 1
    assert told.count(("trial", "pending")) == 2
    assert told.count(("trial", "failed")) == 1


def test_a_failed_attempt_is_due_again_after_its_backoff(settings) -> None:
    settings(JOB_BACKOFF_SECONDS=60)
    asset = received(samples.text(), "trial again.txt", run_intake=True)
    processing.run_job(job_of(asset, Stage.DESCRIBE).id, "test")
    job, row = job_of(asset, Stage.DESCRIBE), step(asset, "trial")
    assert (job.state, job.attempts) == (jobs.JobState.QUEUED, 1)
    assert 50 < (job.due_at - job.updated_at).total_seconds() <= 60
    assert (row.state, row.detail) == (StepState.PENDING, "The tide is out. It will be tried again.")


@pytest.mark.slow
def test_a_worker_killed_in_a_step_uses_up_one_attempt() -> None:
    """Guarantee 4: one output, attempts = 2, scratch space empty; and no child lives on."""
    asset = received(samples.jpeg(), "trial sleep 2.jpg", run_intake=True)
    job = job_of(asset, Stage.DESCRIBE)
    process = worker(job, "worker-1")
    eventually(lambda: step(asset, "trial").state == StepState.RUNNING and len(descendants(process.pid)) == 2)
    below = descendants(process.pid)
    process.kill()
    process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in below))
    assert processing.revoke_claims(jobs.running_jobs_of("worker-1")) == 1
    asset = work_off(asset, "worker-2")
    log = [(attempt.worker, attempt.outcome) for attempt in job_of(asset, Stage.DESCRIBE).attempt_log.all()]
    assert asset.status == READY
    assert log == [("worker-1", jobs.AttemptOutcome.LOST), ("worker-2", jobs.AttemptOutcome.DONE)]
    assert [made.key for made in store().objects(f"renditions/{asset.id}/")] == [f"renditions/{asset.id}/thumbnail"]
    assert Rendition.objects.filter(file=asset).count() == 1
    assert scratch() == []


@pytest.mark.slow
def test_a_worker_that_finishes_after_its_lease_records_nothing() -> None:
    """Guarantee 6: the worker stops in the middle of a step; another does it; the first wakes up and finishes."""
    asset = received(samples.jpeg(), "trial sleep 1.jpg", run_intake=True)
    job = job_of(asset, Stage.DESCRIBE)
    process = worker(job, "slow", JOB_LEASE_SECONDS="1")
    eventually(lambda: step(asset, "trial").state == StepState.RUNNING)
    process.send_signal(signal.SIGSTOP)
    mine = eventually(lambda: [lapsed for lapsed in jobs.expired_claims() if lapsed.id == job.id])
    assert processing.revoke_claims(mine) == 1
    assert processing.revoke_claims(mine) == 0
    asset = work_off(asset, "quick")
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0
    told = [(event["step"], event["state"]) for event in events(asset, "file.step")]
    outcomes = [attempt.outcome for attempt in job_of(asset, Stage.DESCRIBE).attempt_log.all()]
    assert asset.status == READY
    assert told.count(("trial", "done")) == 1
    assert outcomes == [jobs.AttemptOutcome.LOST, jobs.AttemptOutcome.DONE]
    assert len(events(asset, "file.ready")) == 1


def test_a_job_that_always_loses_its_worker_fails_its_file_with_the_reason(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=1)
    asset = received(samples.text(), "a.txt", run_intake=True)
    assert try_claim(job_of(asset, Stage.DESCRIBE).id, "ill-fated") is not None
    StepRun.objects.filter(file=asset, step="trial").update(state=StepState.RUNNING)
    assert processing.revoke_claims(jobs.running_jobs_of("ill-fated")) == 1
    asset.refresh_from_db()
    assert (asset.status, asset.gate_passed) == (FileStatus.FAILED, True)
    assert "worker died" in asset.message
    assert step(asset, "trial").state == StepState.FAILED
    assert events(asset, "job.dead")[0]["attempts"] == 1


def test_releasing_a_file_stops_its_processing() -> None:
    asset = received(samples.jpeg(), "trial sleep 120.jpg", run_intake=True)
    key, job = asset.blob.key, job_of(asset, Stage.DESCRIBE)

    def work() -> None:
        processing.run_job(job.id, "test")
        connection.close()

    working = threading.Thread(target=work)
    working.start()
    eventually(lambda: step(asset, "trial").state == StepState.RUNNING)
    children = [pid for pid in descendants(os.getpid()) if _is_child(pid)]
    processing.release(asset)
    working.join(60)
    assert not working.is_alive()
    # One has the file; another may be prepared for the next.
    eventually(lambda: sum(is_alive(pid) for pid in children) == len(children) - 1)
    asset.refresh_from_db()
    assert (asset.status, asset.blob, asset.gate_passed) == (FileStatus.RELEASED, None, False)
    assert list(store().objects(key)) == []
    assert job_of(asset, Stage.DESCRIBE).state == jobs.JobState.CANCELLED
    processing.release(asset)
    with pytest.raises(FileReleased):
        processing.reprocess(asset)


def _is_child(pid: int) -> bool:
    """A child of the sandbox's parent: a process group of its own in the session that the parent leads."""
    try:
        return os.getpgid(pid) == pid and os.getsid(pid) == _parent(pid)
    except OSError:
        return False


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def test_deleting_a_file_deletes_rows_and_bytes() -> None:
    asset = processed(samples.jpeg(), "a.jpg")
    keys = [asset.blob.key, asset.renditions.get().key]
    processing.delete(asset)
    assert not FileAsset.objects.filter(id=asset.id).exists()
    assert not jobs.Job.objects.filter(file_id=asset.id).exists()
    assert [found for key in keys for found in store().objects(key)] == []


def test_reprocessing_is_a_new_run() -> None:
    asset = processed(samples.jpeg(), "a.jpg")
    processing.reprocess(asset, "request-2")
    with pytest.raises(StillRunning):
        processing.reprocess(asset)
    assert (asset.status, asset.run, asset.progress, asset.gate_passed) == (FileStatus.PENDING, 2, 0, False)
    asset = work_off(asset)
    assert (asset.status, asset.run, asset.progress) == (READY, 2, 100)
    assert StepRun.objects.filter(file=asset, step="thumbnail", state=StepState.DONE).count() == 2
    assert Rendition.objects.filter(file=asset).count() == 1
    assert job_of(asset, Stage.DERIVE).request_id == "request-2"


def test_a_failed_file_can_be_reprocessed(settings) -> None:
    settings(JOB_MAX_ATTEMPTS=1)
    asset = processed(samples.text(), "trial again.txt")
    assert asset.status == FileStatus.FAILED
    FileAsset.objects.filter(id=asset.id).update(original_filename="fine.txt")
    processing.reprocess(asset)
    assert work_off(asset).status == READY


def test_eager_mode_runs_all_stages_in_the_call_that_enqueues(monkeypatch: pytest.MonkeyPatch) -> None:
    """CELERY_TASK_ALWAYS_EAGER: the notification runs the job, stage within stage, as soon as the row is committed."""
    monkeypatch.setattr(
        "windlass.jobs.notify.notify_workers", lambda job_id, stage: processing.run_job(job_id, "eager")
    )
    asset = received(samples.jpeg(), "a.jpg")
    asset.refresh_from_db()
    assert asset.status == READY
    assert [event["stage"] for event in events(asset, "file.stage")] == ["intake", "describe", "derive"]
    with recording():
        pass  # nothing of the runs is left open
    assert len(events(asset, "file.ready")) == 1


def test_concurrent_files_keep_their_own_results() -> None:
    assets = [received(samples.png(40 + n, 30), f"{n}.png") for n in range(6)]

    def work(asset: FileAsset) -> None:
        work_off(asset)
        connection.close()

    threads = [threading.Thread(target=work, args=[asset]) for asset in assets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [FileAsset.objects.get(id=asset.id).width for asset in assets] == [40, 41, 42, 43, 44, 45]
