"""Steps that wait or are postponed: for an unavailable service, or for a library that is not installed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests import samples
from tests.claims import try_claim
from tests.integration.processing.received_files import events, job_of, processed, received, step, work_off
from windlass.files.api import FileAsset, FileStatus, StepRun, StepState
from windlass.http.file_records import file_record, file_status
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.kernel.problem_types import StillRunning
from windlass.operations.sweep import sweep
from windlass.processing import api as processing
from windlass.processing import registry

READY = FileStatus.READY


@pytest.fixture
def harbour(monkeypatch: pytest.MonkeyPatch):
    """How the service of the trial plug-in feels."""
    return lambda mood: monkeypatch.setenv("HARBOUR", mood)


def test_a_file_waits_for_a_required_service_without_using_up_attempts(harbour, settings) -> None:
    settings(JOB_MAX_ATTEMPTS=2)
    harbour("required")
    asset = received(samples.text(), "harbour.txt")
    job = job_of(asset, jobs.Stage.INTAKE)
    for _ in range(4):
        jobs.Job.objects.filter(id=job.id).update(due_at=job.created_at)
        processing.run_job(job.id, "test")
    job.refresh_from_db()
    asset.refresh_from_db()
    assert (job.state, job.attempts) == (jobs.JobState.QUEUED, 0)
    assert 30 < (job.due_at - job.updated_at).total_seconds() <= 40
    assert {attempt.outcome for attempt in job.attempt_log.all()} == {jobs.AttemptOutcome.POSTPONED}
    assert (asset.status, asset.gate_passed) == (FileStatus.PENDING, False)
    assert asset.message == "Waiting for the harbour master."
    waiting = step(asset, "harbour")
    assert (waiting.state, waiting.detail) == (StepState.PENDING, asset.message)
    with pytest.raises(StillRunning):
        processing.reprocess(asset)
    harbour("open")
    asset = work_off(asset)
    assert asset.status == FileStatus.READY
    told = [(event["step"], event["state"]) for event in events(asset, "file.step")]
    assert told.count(("checksum", "done")) == 1
    assert told.count(("harbour", "done")) == 1


def test_malware_is_quarantined_and_named_in_the_event(harbour) -> None:
    harbour("plague")
    asset = processed(samples.text(), "harbour.txt")
    assert (asset.status, asset.gate_passed) == (FileStatus.QUARANTINED, False)
    detail = "There is plague on board: Yersinia.Pestis-1."
    assert (asset.message, step(asset, "harbour").detail) == (detail, detail)
    assert asset.rejection == {"rule": "malware", "detail": detail, "limit": None, "actual": "Yersinia.Pestis-1"}
    (told,) = events(asset, "file.quarantined")
    assert (told["signature"], told["rejection"]) == ("Yersinia.Pestis-1", asset.rejection)


def test_a_step_without_its_library_is_postponed_and_the_file_becomes_ready() -> None:
    asset = processed(samples.gif(), "a.gif")
    assert asset.status == FileStatus.READY
    assert (step(asset, "spyglass").state, step(asset, "spyglass").detail) == (
        StepState.OWED,
        "Needs windlass[optics].",
    )
    assert file_status(asset)["owed"] == ["spyglass"]


def test_a_postponed_check_is_shown_as_owed(harbour) -> None:
    harbour("optional")
    asset = processed(samples.text(), "harbour.txt")
    assert (asset.status, asset.gate_passed) == (FileStatus.READY, True)
    checks = {check["name"]: (check["state"], check["detail"]) for check in file_record(asset)["checks"]}
    assert checks["harbour"] == ("owed", "The harbour master is away.")
    assert file_status(asset)["owed"] == ["harbour"]


def test_steps_are_prepared_in_the_sandbox_s_parent() -> None:
    assert processed(samples.text(), "trial prepared.txt").extra_attributes["trial"] is True


def test_a_rendition_may_have_further_widths() -> None:
    asset = processed(samples.text(), "trial sizes 320 1280.txt")
    assert {(made.name, made.kind) for made in asset.renditions.filter(name__startswith="trial")} == {
        ("trial", "text"),
        ("trial-320", "text"),
        ("trial-1280", "text"),
    }


# Backfilling postponed steps


def file_with_postponed_step(filename: str = "harbour.txt", content: bytes | None = None) -> FileAsset:
    """Return a ready file with a step that was postponed long enough ago to be tried again."""
    asset = processed(content or samples.text(), filename)
    assert asset.status == FileStatus.READY
    jobs.Job.objects.filter(file_id=asset.id).update(updated_at=now() - timedelta(minutes=1))
    return asset


def has_backfill_job(asset: FileAsset) -> bool:
    return jobs.Job.objects.filter(file_id=asset.id, state=jobs.JobState.QUEUED).exists()


def test_a_postponed_step_is_backfilled_once_its_library_is_installed(tmp_path, monkeypatch, notified) -> None:
    asset = file_with_postponed_step("a.gif", samples.gif())
    processing.backfill()
    assert not has_backfill_job(asset)
    package = tmp_path / "windlass_trial_lens"
    package.mkdir()
    (package / "glass.py").write_text("LAND = 'ahoy'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._is_installed.cache_clear()
    processing.shut_down()
    try:
        assert sweep().counts["jobs_reopened"] >= 1
        assert job_of(asset, jobs.Stage.DESCRIBE).id in notified
        before = FileAsset.objects.get(id=asset.id)
        asset = work_off(asset)
    finally:
        registry._is_installed.cache_clear()
        processing.shut_down()
    assert (asset.extra_attributes["seen"], step(asset, "spyglass").state) == ("ahoy", StepState.DONE)
    assert (before.status, asset.status, asset.progress, asset.message) == (READY, READY, 100, "")
    assert file_status(asset)["owed"] == []
    assert len(events(asset, "file.ready")) == 1
    assert [event["stage"] for event in events(asset, "file.stage")].count("describe") == 1
    job = job_of(asset, jobs.Stage.DESCRIBE)
    assert (job.state, job.attempt_log.count()) == (jobs.JobState.DONE, 2)
    assert step(asset, "image_facts").state == StepState.DONE
    assert [event["step"] for event in events(asset, "file.step")].count("image_facts") == 1


def test_backfilling_waits_while_the_service_is_unavailable(harbour) -> None:
    harbour("optional")
    asset = file_with_postponed_step()
    processing.backfill()
    assert not has_backfill_job(asset)


@pytest.mark.parametrize(
    ("mood", "status", "state"),
    [
        ("open", FileStatus.READY, StepState.DONE),
        ("plague", FileStatus.QUARANTINED, StepState.FAILED),
        ("smuggler", FileStatus.REJECTED, StepState.FAILED),
        ("wreck", FileStatus.READY, StepState.FAILED),
        ("required", FileStatus.READY, StepState.OWED),
    ],
)
def test_a_verdict_of_a_backfilled_step_is_applied(harbour, mood: str, status: FileStatus, state: StepState) -> None:
    harbour("optional")
    asset = file_with_postponed_step()
    harbour(mood)
    processing.backfill()
    asset = work_off(asset)
    assert (asset.status, asset.gate_passed) == (status, status == READY)
    assert step(asset, "harbour").state == state
    assert job_of(asset, jobs.Stage.INTAKE).state == jobs.JobState.DONE
    assert [event["step"] for event in events(asset, "file.step")].count("checksum") == 1
    processing.backfill()
    assert not has_backfill_job(asset), "it was tried a moment ago, or there is nothing left to do"


def test_backfilling_creates_a_missing_job(harbour) -> None:
    harbour("optional")
    asset = file_with_postponed_step()
    jobs.Job.objects.filter(file_id=asset.id).delete()
    harbour("open")
    processing.backfill()
    assert step(work_off(asset), "harbour").state == StepState.DONE


def test_a_worker_that_dies_while_backfilling_keeps_the_file_available(harbour, settings) -> None:
    settings(JOB_MAX_ATTEMPTS=2)
    harbour("optional")
    asset = file_with_postponed_step()
    harbour("open")
    processing.backfill()
    job = job_of(asset, jobs.Stage.INTAKE)
    for _ in range(2):
        StepRun.objects.filter(file=asset, step="harbour").update(state=StepState.RUNNING)
        assert try_claim(job.id, "ill-fated") is not None
        assert processing.revoke_claims(jobs.running_jobs_of("ill-fated")) == 1
    asset.refresh_from_db()
    assert (asset.status, asset.gate_passed) == (READY, True)
    assert step(asset, "harbour").state == StepState.FAILED
    assert events(asset, "job.dead")[0]["attempts"] == 2


def test_reprocessing_ends_backfilling(harbour) -> None:
    harbour("optional")
    asset = file_with_postponed_step()
    harbour("open")
    processing.backfill()
    old = job_of(asset, jobs.Stage.INTAKE)
    held = try_claim(old.id, "slow")
    assert held is not None
    processing.reprocess(asset)
    with pytest.raises(jobs.LeaseLost):
        jobs.renew_lease(held)
    assert (work_off(asset).status, step(asset, "harbour").state) == (READY, StepState.DONE)


def test_steps_that_the_profile_no_longer_needs_are_no_longer_postponed(harbour, monkeypatch, request) -> None:
    harbour("optional")
    asset = file_with_postponed_step()
    harbour("open")
    harbour_step = registry.installed()["harbour"]
    monkeypatch.setattr(harbour_step, "about", replace(harbour_step.about, wanted_by="media_types"))
    processing.plan_for.cache_clear()  # what steps are about does not change while a server runs
    request.addfinalizer(processing.plan_for.cache_clear)
    processing.backfill()
    assert step(work_off(asset), "harbour").state == StepState.SKIPPED
