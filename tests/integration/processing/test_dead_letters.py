"""Dead letters of real files: what a retry runs again and what it keeps, and which can no longer be retried."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections

from tests import samples
from tests.claims import try_claim
from tests.integration.processing.received_files import events, job_of, processed, received, step, work_off
from windlass.events.api import Event
from windlass.files.api import FileAsset, FileStatus, StepRun, StepState
from windlass.http.file_records import file_status
from windlass.jobs import api as jobs
from windlass.jobs.api import AttemptOutcome, Job, JobState, RetryResult, Stage
from windlass.kernel.clock import now
from windlass.kernel.problem_types import StillRunning
from windlass.processing import api as processing
from windlass.processing import dead_letters

READY, FAILED, PENDING = FileStatus.READY, FileStatus.FAILED, FileStatus.PENDING


@pytest.fixture(autouse=True)
def _settings(settings) -> None:
    """Two attempts, and no dead letter of another test, which would be retried before."""
    settings(JOB_MAX_ATTEMPTS=2, DEAD_RETRY_PER_MINUTE=60)
    Job.objects.all().delete()


def failed_file(filename: str = "trial again.txt") -> FileAsset:
    """A file whose step ``trial`` fails in each attempt."""
    asset = processed(samples.text(), filename)
    assert asset.status == FAILED
    return asset


def let_pass(asset: FileAsset) -> None:
    """The step goes by the file's name."""
    FileAsset.objects.filter(id=asset.id).update(original_filename="a.txt")


def retry(job: Job, request_id: str = "") -> RetryResult:
    return jobs.retry_dead_letters([job.id], request_id)[job.id]


def log_of(job: Job) -> list[tuple[int, int, str]]:
    return list(job.attempt_log.values_list("retry", "number", "outcome"))


def test_a_retried_file_is_processed_on_from_the_step_that_failed(notified) -> None:
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    assert (job.state, job.dead_step, job.dead_error_class) == (JobState.DEAD, "trial", "TransientError")
    assert job.dead_at is not None
    notified.clear()
    let_pass(asset)
    assert retry(job, "a-retry") == RetryResult.QUEUED
    job.refresh_from_db()
    asset.refresh_from_db()
    assert (job.state, job.attempts, job.retries, job.request_id) == (JobState.QUEUED, 0, 1, "a-retry")
    assert (asset.status, asset.message, asset.gate_passed) == (PENDING, "", True)
    assert step(asset, "trial").state == StepState.PENDING
    assert notified == [job.id]
    asset = work_off(asset)
    assert (asset.status, asset.run, asset.progress) == (READY, 1, 100)
    assert step(asset, "trial").state == StepState.DONE
    assert [event["step"] for event in events(asset, "file.step")].count("checksum") == 1, "what was done is kept"
    assert log_of(job) == [(0, 1, AttemptOutcome.FAILED), (0, 2, AttemptOutcome.FAILED), (1, 1, AttemptOutcome.DONE)]
    assert job.attempt_log.last().request_id == "a-retry"
    assert StepRun.objects.filter(file=asset, state__in=[StepState.PENDING, StepState.FAILED]).count() == 0


def test_steps_that_were_left_out_after_the_failure_run_after_a_retry() -> None:
    """A picture has a thumbnail in the stage after the one that fails."""
    asset = processed(samples.jpeg(), "trial again.jpg")
    assert (asset.status, step(asset, "thumbnail").state) == (FAILED, StepState.SKIPPED)
    FileAsset.objects.filter(id=asset.id).update(original_filename="a.jpg")
    assert retry(job_of(asset, Stage.DESCRIBE)) == RetryResult.QUEUED
    asset = work_off(asset)
    assert (asset.status, step(asset, "thumbnail").state) == (READY, StepState.DONE)
    assert asset.renditions.filter(name="thumbnail").exists()


def test_a_job_that_dies_again_keeps_its_whole_history() -> None:
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    for number in (1, 2):
        assert retry(job, f"retry-{number}") == RetryResult.QUEUED
        asset = work_off(asset)
        assert asset.status == FAILED
    document = jobs.dead_letter_document(Job.objects.get(id=job.id))
    attempts = document["attempts"]
    assert [(each["retry"], each["number"]) for each in attempts] == [(n, m) for n in (0, 1, 2) for m in (1, 2)]
    assert {(each["step"], each["error_class"]) for each in attempts} == {("trial", "TransientError")}
    assert [each["request_id"] for each in attempts] == [None, None, "retry-1", "retry-1", "retry-2", "retry-2"]
    assert all(each["seconds"] >= 0 and each["worker"] == "test" for each in attempts)
    assert document["first_failed_at"] == attempts[0]["ended_at"]
    assert document["last_failed_at"] == attempts[-1]["ended_at"]
    assert document["retries"] == 2
    dead = events(asset, "job.dead")
    assert len(dead) == 3
    assert dead[0] == {
        "task_id": str(job.id),
        "stage": "describe",
        "step": "trial",
        "error_class": "TransientError",
        "attempts": 2,
        "message": asset.message,
    }
    assert Event.objects.filter(file_id=asset.id, type="job.dead", owner=asset.owner).count() == 3


def test_a_second_retry_changes_nothing() -> None:
    job = job_of(failed_file(), Stage.DESCRIBE)
    assert retry(job) == RetryResult.QUEUED
    assert retry(job) == RetryResult.NOT_DEAD
    job.refresh_from_db()
    assert job.retries == 1


def test_of_two_retries_at_once_one_queues_the_job() -> None:
    job = job_of(failed_file(), Stage.DESCRIBE)
    barrier, results = threading.Barrier(4), []

    def race() -> None:
        barrier.wait()
        results.append(retry(job))
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["not_dead"] * 3 + ["queued"]
    job.refresh_from_db()
    assert job.retries == 1


def lose_worker(job: Job, step_name: str) -> None:
    """The worker dies in this step, in each of two attempts."""
    for _ in range(2):
        assert try_claim(job.id, "ill-fated") is not None
        StepRun.objects.filter(file_id=job.file_id, step=step_name).update(state=StepState.RUNNING)
        assert processing.revoke_claims(jobs.running_jobs_of("ill-fated")) == 1


def test_a_backfill_that_failed_is_retried_while_the_file_stays_ready(monkeypatch) -> None:
    monkeypatch.setenv("HARBOUR", "optional")
    asset = processed(samples.text(), "harbour.txt")
    Job.objects.filter(file_id=asset.id).update(updated_at=now() - timedelta(minutes=1))
    monkeypatch.setenv("HARBOUR", "open")
    processing.backfill()
    job = job_of(asset, Stage.INTAKE)
    lose_worker(job, "harbour")
    job.refresh_from_db()
    asset.refresh_from_db()
    assert (asset.status, job.state, step(asset, "harbour").state) == (READY, JobState.DEAD, StepState.FAILED)
    assert retry(job) == RetryResult.QUEUED
    asset.refresh_from_db()
    assert (asset.status, step(asset, "harbour").state) == (READY, StepState.OWED)
    asset = work_off(asset)
    assert (asset.status, step(asset, "harbour").state) == (READY, StepState.DONE)


def test_a_step_that_was_owed_before_the_failure_is_still_made_good(monkeypatch) -> None:
    monkeypatch.setenv("HARBOUR", "optional")
    asset = received(samples.text(), "harbour.txt", run_intake=True)
    FileAsset.objects.filter(id=asset.id).update(original_filename="trial again.txt")
    asset = work_off(asset)
    assert (asset.status, step(asset, "harbour").state) == (FAILED, StepState.OWED)
    let_pass(asset)
    retry(job_of(asset, Stage.DESCRIBE))
    asset = work_off(asset)
    assert (asset.status, file_status(asset)["owed"]) == (READY, ["harbour"])
    Job.objects.filter(file_id=asset.id).update(updated_at=now() - timedelta(minutes=1))
    monkeypatch.setenv("HARBOUR", "open")
    processing.backfill()
    assert step(work_off(asset), "harbour").state == StepState.DONE


def test_a_failed_file_is_not_backfilled(monkeypatch) -> None:
    monkeypatch.setenv("HARBOUR", "optional")
    asset = received(samples.text(), "harbour.txt", run_intake=True)
    FileAsset.objects.filter(id=asset.id).update(original_filename="trial again.txt")
    assert work_off(asset).status == FAILED
    Job.objects.filter(file_id=asset.id).update(updated_at=now() - timedelta(minutes=1))
    monkeypatch.setenv("HARBOUR", "open")
    processing.backfill()
    assert not Job.objects.filter(file_id=asset.id, state=JobState.QUEUED).exists()


def test_the_attempt_of_a_lost_worker_names_the_step() -> None:
    asset = received(samples.text(), "a.txt", run_intake=True)
    job = job_of(asset, Stage.DESCRIBE)
    lose_worker(job, "trial")
    job.refresh_from_db()
    assert (job.state, job.dead_step, job.dead_error_class) == (JobState.DEAD, "trial", "WorkerLost")
    assert set(job.attempt_log.values_list("outcome", "step", "error_class")) == {("lost", "trial", "WorkerLost")}
    assert events(asset, "job.dead")[0]["error_class"] == "WorkerLost"
    assert retry(job) == RetryResult.QUEUED
    assert work_off(asset).status == READY


# What can no longer be retried


def test_reprocessing_replaces_the_dead_letter() -> None:
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    let_pass(asset)
    processing.reprocess(asset)
    assert retry(job) == RetryResult.NOT_DEAD
    assert not processing.find_dead_letters().filter(file_id=asset.id).exists()
    assert work_off(asset).status == READY


def test_a_refused_reprocess_leaves_the_dead_letters_alone() -> None:
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    FileAsset.objects.filter(id=asset.id).update(status=FileStatus.PROCESSING)
    with pytest.raises(StillRunning):
        processing.reprocess(asset)
    job.refresh_from_db()
    assert job.state == JobState.DEAD


def test_releasing_a_file_ends_its_dead_letter() -> None:
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    processing.release(asset)
    assert retry(job) == RetryResult.NOT_DEAD
    asset.refresh_from_db()
    assert asset.status == FileStatus.RELEASED


def test_the_dead_letter_of_a_file_in_the_trash_is_hidden_until_it_is_restored(settings) -> None:
    settings(TRASH_HOURS=1)
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    processing.delete_or_trash(asset)
    assert not processing.find_dead_letters().filter(id=job.id).exists()
    assert retry(job) == RetryResult.NOT_FOUND
    job.refresh_from_db()
    assert (job.state, job.retries) == (JobState.DEAD, 0), "nothing changed"
    processing.restore(FileAsset.objects.get(id=asset.id))
    assert processing.find_dead_letters().get().id == job.id
    assert retry(job) == RetryResult.QUEUED


def test_a_dead_letter_of_an_earlier_run_is_cancelled_instead_of_retried() -> None:
    """Those of versions before this one, which reprocessing left behind."""
    asset = failed_file()
    job = job_of(asset, Stage.DESCRIBE)
    FileAsset.objects.filter(id=asset.id).update(run=2)
    assert retry(job) == RetryResult.NOT_DEAD
    job.refresh_from_db()
    assert (job.state, job.retries) == (JobState.CANCELLED, 0)


def test_files_are_selected_by_their_type() -> None:
    text, picture = failed_file(), processed(samples.jpeg(), "trial again.jpg")
    by_type = {
        mime_type: [job.file_id for job in processing.find_dead_letters(mime_type=mime_type)]
        for mime_type in ("text/plain", "image/*", "image/png", None)
    }
    assert by_type == {
        "text/plain": [text.id],
        "image/*": [picture.id],
        "image/png": [],
        None: [picture.id, text.id],
    }


# The rate


def test_many_retries_become_due_one_after_the_other(notified, settings) -> None:
    settings(DEAD_RETRY_PER_MINUTE=2)
    first = [job_of(failed_file(), Stage.DESCRIBE) for _ in range(3)]
    last = job_of(failed_file(), Stage.DESCRIBE)
    notified.clear()
    before = now()
    assert set(jobs.retry_dead_letters([job.id for job in first]).values()) == {RetryResult.QUEUED}
    assert retry(last) == RetryResult.QUEUED
    due = [Job.objects.get(id=job.id).due_at for job in (*first, last)]
    assert before <= due[0] <= now()
    assert [(later - due[0]).total_seconds() for later in due] == [0.0, 30.0, 60.0, 90.0], "later calls queue behind"
    assert notified == [first[0].id], "the others are announced when they are due"
    assert try_claim(last.id, "test") is None
    new = received(samples.text(), "new.txt")
    assert try_claim(job_of(new, Stage.INTAKE).id, "test") is not None, "a new upload does not wait for them"


def test_the_rate_does_not_lag_behind(settings) -> None:
    """A retry long ago does not delay another one."""
    job, other = (job_of(failed_file(), Stage.DESCRIBE) for _ in range(2))
    retry(job)
    Job.objects.filter(id=job.id).update(retry_due_at=now() - timedelta(minutes=5))
    retry(other)
    other.refresh_from_db()
    assert abs((other.due_at - now()).total_seconds()) < 5


def test_retries_need_processing(monkeypatch) -> None:
    job = job_of(failed_file(), Stage.DESCRIBE)
    from windlass.jobs import dead_letters as of_jobs

    monkeypatch.setattr(of_jobs, "_resume_file", of_jobs._resume_nothing)
    with pytest.raises(RuntimeError):
        retry(job)
    jobs.resume_files_by(dead_letters.resume_file)
    job.refresh_from_db()
    assert job.state == JobState.DEAD
