"""Steps that have to wait, or are left for later: for a service that is away, for a library that is not installed."""

from __future__ import annotations

import pytest

from tests import samples
from tests.integration.processing.given import events, job_of, processed, received, step, work_off
from windlass.files.api import FileStatus, StepState
from windlass.http.records import file_record, file_status
from windlass.jobs import api as jobs
from windlass.kernel.errors import StillRunning
from windlass.processing import api as processing


@pytest.fixture
def harbour(monkeypatch: pytest.MonkeyPatch):
    """How the service of the trial plug-in feels."""
    return lambda mood: monkeypatch.setenv("HARBOUR", mood)


def test_a_file_waits_for_a_service_that_it_needs_and_uses_up_no_attempt(harbour, settings) -> None:
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


def test_malware_is_kept_apart_and_the_event_says_which(harbour) -> None:
    harbour("plague")
    asset = processed(samples.text(), "harbour.txt")
    assert (asset.status, asset.gate_passed) == (FileStatus.QUARANTINED, False)
    detail = "There is plague on board: Yersinia.Pestis-1."
    assert (asset.message, step(asset, "harbour").detail) == (detail, detail)
    assert asset.rejection == {"rule": "malware", "detail": detail, "limit": None, "actual": "Yersinia.Pestis-1"}
    (told,) = events(asset, "file.quarantined")
    assert (told["signature"], told["rejection"]) == ("Yersinia.Pestis-1", asset.rejection)


def test_a_step_whose_library_is_missing_is_owed_and_the_file_goes_on() -> None:
    asset = processed(samples.gif(), "a.gif")
    assert asset.status == FileStatus.READY
    assert (step(asset, "spyglass").state, step(asset, "spyglass").detail) == (
        StepState.OWED,
        "Needs windlass[optics].",
    )
    assert file_status(asset)["owed"] == ["spyglass"]


def test_an_owed_check_is_shown_as_such(harbour) -> None:
    harbour("optional")
    asset = processed(samples.text(), "harbour.txt")
    assert (asset.status, asset.gate_passed) == (FileStatus.READY, True)
    checks = {check["name"]: (check["state"], check["detail"]) for check in file_record(asset)["checks"]}
    assert checks["harbour"] == ("owed", "The harbour master is away.")
    assert file_status(asset)["owed"] == ["harbour"]


def test_steps_are_prepared_in_the_sandbox_s_parent() -> None:
    assert processed(samples.text(), "trial prepared.txt").extra_attributes["trial"] is True


def test_a_rendition_may_come_in_further_widths() -> None:
    asset = processed(samples.text(), "trial sizes 320 1280.txt")
    assert {(made.name, made.kind) for made in asset.renditions.all()} == {
        ("trial", "text"),
        ("trial-320", "text"),
        ("trial-1280", "text"),
    }
