"""Steps that the service level leaves out are owed, and made good when it rises: oldest first, at a bounded rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests import samples
from tests.integration.processing.received_files import events as events_of
from tests.integration.processing.received_files import job_of, processed, queues_of, received, step, work_off
from windlass.events import api as events
from windlass.events.models import ServiceLevelState
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.http.file_records import file_status
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.processing import api as processing
from windlass.processing import registry
from windlass.processing.contract import About
from windlass.processing.level_postponement import postponed_because_of_level, postponed_steps
from windlass.resilience.service_level import Observation, ServiceLevel

READY = FileStatus.READY


@pytest.fixture(autouse=True)
def _no_level() -> Iterator[None]:
    jobs.Job.objects.filter(backfill_due_at__isnull=False).update(backfill_due_at=None)
    yield
    jobs.Job.objects.filter(backfill_due_at__isnull=False).update(backfill_due_at=None)
    ServiceLevelState.objects.all().delete()
    events.current_service_level()


def pin(level: ServiceLevel) -> None:
    events.pin_service_level(level, "", "a test")


def is_queued(asset: FileAsset) -> bool:
    return jobs.Job.objects.filter(file_id=asset.id, state=jobs.JobState.QUEUED).exists()


@pytest.mark.parametrize("level", [ServiceLevel.BASIC, ServiceLevel.MAINTENANCE])
def test_what_is_derived_is_owed_and_made_good_later(level: ServiceLevel) -> None:
    pin(level)
    asset = processed(samples.gif(), "a.gif")
    assert (asset.status, asset.gate_passed, asset.width is not None) == (READY, True, True)
    owed = step(asset, "thumbnail")
    assert (owed.state, owed.detail) == (StepState.OWED, f"Postponed: the service level is {level}.")
    assert "thumbnail" in file_status(asset)["owed"]
    assert "thumbnail" not in {made.name for made in asset.renditions.all()}
    processing.backfill()
    assert not is_queued(asset), "the level has not risen"
    events.release_service_level()
    processing.backfill()
    assert is_queued(asset)
    asset = work_off(asset)
    assert (asset.status, step(asset, "thumbnail").state) == (READY, StepState.DONE)
    assert asset.renditions.exists()
    assert len(events_of(asset, "file.ready")) == 1


def test_at_degraded_only_long_steps_are_owed() -> None:
    pin(ServiceLevel.DEGRADED)
    assert postponed_steps().keys() >= {"ocr", "video_preview", "audio_preview"}
    assert "thumbnail" not in postponed_steps()
    assert step(processed(samples.gif(), "a.gif"), "thumbnail").state == StepState.DONE


def test_a_level_that_falls_again_before_the_backfill_leaves_the_step_owed() -> None:
    pin(ServiceLevel.BASIC)
    asset = processed(samples.gif(), "a.gif")
    told = len(events_of(asset, "file.step"))
    events.release_service_level()
    processing.backfill()
    pin(ServiceLevel.BASIC)
    asset = work_off(asset)
    assert (asset.status, step(asset, "thumbnail").state) == (READY, StepState.OWED)
    assert len(events_of(asset, "file.step")) == told, "nothing has changed"


def test_a_file_of_which_everything_that_is_left_is_postponed_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = received(samples.gif(), "a.gif")
    intake = job_of(asset, jobs.Stage.INTAKE)
    processing.run_job(intake.id, "test", queues_of(jobs.Stage.INTAKE, jobs.Stage.DESCRIBE))
    pin(ServiceLevel.BASIC)
    monkeypatch.setattr("windlass.processing.job_runner.open_workspace", None)
    assert work_off(asset).status == READY


@pytest.mark.parametrize("name", ["broker", "workers.derive", "workers.intake", "store", "disk"])
def test_a_worker_that_runs_postpones_nothing_because_workers_were_away(name: str) -> None:
    for _ in range(2):
        status = events.record_evaluation({name: Observation("failed")})
        row = ServiceLevelState.objects.get()
        row.health[name]["since"] -= 5
        row.save()
    status = events.record_evaluation({name: Observation("failed")})
    assert status.level != "full"
    assert postponed_steps() == {}


def test_steps_of_the_gate_are_never_postponed() -> None:
    """Among them the malware scan."""
    steps = [each.about for each in registry.installed().values()]
    gate = [about for about in steps if about.gate or about.stage == "intake"]
    assert "malware" in {about.name for about in gate}
    assert {postponed_because_of_level(about, ServiceLevel.MAINTENANCE) for about in gate} == {None}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"least_level": "best"}, "full, degraded, basic, maintenance"),
        ({"least_level": "full", "gate": True}, "before this step has run"),
        ({"least_level": "degraded", "stage": "intake"}, "before this step has run"),
    ],
)
def test_a_step_with_a_level_that_makes_no_sense_is_refused(change: dict[str, Any], problem: str) -> None:
    about = About(name="a", stage="describe", title="A", order=1, isolated=True)
    assert registry._problem(about, "a") is None
    assert problem in str(registry._problem(replace(about, **change), "a"))


def test_the_level_of_a_step_follows_from_its_stage_unless_it_says_so() -> None:
    about = About(name="a", stage="derive", title="A", order=1, isolated=True)
    assert about.runs_down_to == "degraded"
    assert replace(about, long=True).runs_down_to == "full"
    assert replace(about, long=True, stage="intake").runs_down_to == "maintenance"
    assert replace(about, stage="describe").runs_down_to == "maintenance"
    assert replace(about, stage="describe", least_level="basic").runs_down_to == "basic"


# The rate


def due_times(assets: list[FileAsset]) -> list[datetime]:
    """When the queued backfills of these files become due, in the order of the files."""
    queued = [jobs.Job.objects.filter(file_id=asset.id, state=jobs.JobState.QUEUED).first() for asset in assets]
    return [job.due_at for job in queued if job is not None]


def test_backfills_are_due_one_after_the_other_the_oldest_first(settings: Any) -> None:
    settings(BACKFILL_PER_MINUTE=60, SWEEP_SECONDS=4)
    pin(ServiceLevel.BASIC)
    assets = [processed(samples.gif(), f"{number}.gif") for number in range(7)]
    events.release_service_level()
    FileAsset.objects.filter(steps__state=StepState.OWED).exclude(id__in=[asset.id for asset in assets]).update(
        trashed_at=now()
    )
    assert processing.backfill() == 4, "as many as the rate allows until the next sweep"
    times = due_times(assets)
    assert len(times) == 4
    assert due_times(assets[:4]) == times, "the oldest"
    assert [(later - one).total_seconds() for one, later in pairwise(times)] == [1.0, 1.0, 1.0]
    assert processing.backfill() == 0, "as many are unfinished as may be"
    for asset in assets[:2]:
        work_off(asset)
    assert processing.backfill() == 2
    assert due_times(assets[2:]) == sorted(due_times(assets[2:]))
    assert (due_times(assets[2:])[2] - times[3]).total_seconds() == 1.0, "after the last one"
    for _ in range(3):
        for asset in assets:
            work_off(asset)
        processing.backfill()
    assert {step(asset, "thumbnail").state for asset in assets} == {StepState.DONE}


def test_a_backfill_that_is_not_due_is_not_announced(settings: Any, notified: list[Any]) -> None:
    settings(BACKFILL_PER_MINUTE=1, SWEEP_SECONDS=120)
    pin(ServiceLevel.BASIC)
    assets = [processed(samples.gif(), f"{number}.gif") for number in range(2)]
    events.release_service_level()
    FileAsset.objects.filter(steps__state=StepState.OWED).exclude(id__in=[asset.id for asset in assets]).update(
        trashed_at=now()
    )
    notified.clear()
    assert processing.backfill() == 2
    assert notified == [job_of(assets[0], jobs.Stage.DERIVE).id]
