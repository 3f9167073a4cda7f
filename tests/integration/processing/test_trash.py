"""A deleted file is trashed if its profile says so: its running processing, its bytes, its events."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.claims import try_claim
from tests.integration.processing.received_files import events, job_of, processed, received, work_off
from tests.integration.processing.test_retention import is_stored, opaque, sweep_output, with_times_in_the_past
from windlass.events.api import Event
from windlass.files import api as files
from windlass.files import quota
from windlass.files.api import (
    Blob,
    FileAsset,
    FileStatus,
    IllegalTransition,
    get_file,
    get_file_or_trashed,
    load_file,
    steps_of_file,
    trashed_files,
)
from windlass.http.file_records import file_record
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound
from windlass.operations import sweep
from windlass.processing import api as processing


@pytest.fixture(autouse=True)
def _alone(settings: Callable[..., None]) -> None:
    FileAsset.objects.all().delete()
    Blob.objects.all().delete()
    settings(TRASH_HOURS=24)


def owner_of(asset: FileAsset) -> Principal:
    return Principal(asset.owner)


def discarded(asset: FileAsset) -> FileAsset:
    processing.delete_or_trash(asset)
    return FileAsset.objects.select_related("blob").get(id=asset.id)


def is_there(asset: FileAsset) -> bool:
    return load_file(asset.id) is not None


def test_a_deleted_file_can_be_restored_as_it_was() -> None:
    asset = processed(opaque(), "a.bin")
    before = file_record(get_file(asset.id, owner_of(asset)))
    kept = discarded(asset)
    assert not is_there(asset)
    with pytest.raises(NotFound):
        get_file(asset.id, owner_of(asset))
    assert [each.id for each in trashed_files(owner_of(asset))] == [asset.id]
    assert not trashed_files(Principal("somebody else"))
    assert kept.trash_until is not None
    assert timedelta(hours=23) < kept.trash_until - now() <= timedelta(hours=24)
    with pytest.raises(NotFound):
        processing.delete_or_trash(asset)
    processing.restore(kept)
    processing.restore(kept)
    after = file_record(get_file(asset.id, owner_of(asset)))
    assert before | {"updated_at": after["updated_at"]} == after
    assert len(events(asset, "file.trashed")) == len(events(asset, "file.restored")) == 1
    assert events(asset, "file.deleted") == []


def test_without_trash_hours_a_file_is_deleted_at_once(with_profile: Callable[[str], None]) -> None:
    with_profile("trash_hours = 0")
    asset = processed(opaque(), "a.bin")
    blob = Blob.objects.get(files=asset)
    processing.delete_or_trash(asset)
    assert not FileAsset.objects.filter(id=asset.id).exists()
    assert not is_stored(blob.key)


@pytest.mark.slow
def test_the_sweep_deletes_trashed_files_past_their_time_only() -> None:
    over, kept = (discarded(processed(opaque(), f"{name}.bin")) for name in "ab")
    with_times_in_the_past(over, trash_until=1)
    with pytest.raises(NotFound):
        processing.restore(over)
    assert sweep_output("--dry-run") == {"files past their time, or their time in the trash": (1, 20)}
    report = sweep.sweep()
    assert (report.counts["files_deleted"], report.bytes_freed, report.failed) == (1, 20, ())
    assert [asset.id for asset in FileAsset.objects.all()] == [kept.id]
    assert over.blob is not None
    assert not is_stored(over.blob.key)
    assert len(events(over, "file.deleted")) == 1


def test_a_file_restored_in_its_last_moment_is_not_deleted() -> None:
    asset = discarded(processed(opaque(), "a.bin"))
    processing.restore(get_file_or_trashed(asset.id, owner_of(asset)))
    with pytest.raises(IllegalTransition):  # as it was read while it was in the trash
        processing.delete(asset, unless_moved=True)
    assert is_there(asset)


@pytest.mark.parametrize(
    ("begun", "job"),
    [(False, "cancelled"), (True, "cancelled"), (False, "no longer kept"), (True, "no longer kept"), (False, "ended")],
)
def test_processing_stops_in_the_trash_and_continues_after_restoring(
    begun: bool, job: str, notified: list[uuid.UUID]
) -> None:
    asset = received(b"some words", "a.txt", run_intake=begun)
    held = try_claim(job_of(asset, jobs.Stage.DESCRIBE if begun else jobs.Stage.INTAKE).id, "a worker")
    assert held is not None
    kept = discarded(FileAsset.objects.get(id=asset.id))
    assert not jobs.is_held(held), "whoever works on it is told to stop"
    work_off(asset)
    assert not FileAsset.objects.get(id=asset.id).checksum or begun, "nothing is done in the trash"
    mine = jobs.Job.objects.filter(file_id=asset.id)
    if job == "no longer kept":
        mine.delete()
    elif job == "ended":  # as where it was asked for in the moment that the file was deleted
        mine.update(state=jobs.JobState.DONE)
    notified.clear()
    processing.restore(kept)
    assert len(notified) == 1
    assert work_off(asset).status == FileStatus.READY
    assert [row.state for row in steps_of_file(asset) if row.step == "checksum"] == ["done"]


def test_trashing_a_file_keeps_bytes_that_others_share() -> None:
    content = opaque()
    first = processed(content, "a.bin")
    second = processed(content, "b.bin", owner=first.owner)
    blob = Blob.objects.get(files=second)
    assert blob.references == 2
    discarded(first)
    record = file_record(get_file(second.id, owner_of(second)))
    assert record["duplicate_of"] is None, "for a client the original is gone"
    third = processed(content, "c.bin", owner=first.owner)
    assert third.duplicate_of_id == second.id, "a file in the trash is nobody's original"
    processing.delete(second)
    assert is_stored(blob.key)
    processing.restore(get_file_or_trashed(first.id, owner_of(first)))
    assert file_record(get_file(third.id, owner_of(third)))["duplicate_of"] is None
    processing.delete(third)
    assert is_stored(blob.key)


def test_a_restored_original_is_the_original_of_its_duplicates_again() -> None:
    content = opaque()
    first = processed(content, "a.bin")
    second = processed(content, "b.bin", owner=first.owner)
    processing.restore(discarded(first))
    assert file_record(get_file(second.id, owner_of(second)))["duplicate_of"] == str(first.id)


def test_retention_applies_in_the_trash(with_profile: Callable[[str], None]) -> None:
    with_profile("trash_hours = 48")
    ending = with_times_in_the_past(processed(opaque(), "a.bin"), expires_at=-1)
    assert discarded(ending).trash_until == ending.expires_at
    releasing = with_times_in_the_past(discarded(processed(opaque(), "b.bin")), release_at=1)
    sweep.sweep()
    releasing.refresh_from_db()
    assert (releasing.status, releasing.blob_id) == (FileStatus.RELEASED, None)
    with_times_in_the_past(ending, expires_at=1)
    sweep.sweep()
    assert not FileAsset.objects.filter(id=ending.id).exists()


def test_the_trash_counts_for_the_quota(settings: Callable[..., None]) -> None:
    settings(QUOTA_BYTES=1000)
    asset = processed(opaque(), "a.bin")
    quota.OwnerAccount.objects.create(owner=asset.owner)
    files.recount_quota(asset.owner)
    discarded(asset)
    assert files.quota_usage(asset.owner).bytes == quota.Amount(1000, 20, 0, 20)
    assert files.recount_quota(asset.owner) == {}
    processing.delete(get_file_or_trashed(asset.id, owner_of(asset)))
    assert files.quota_usage(asset.owner).bytes == quota.Amount(1000, 0, 0, 0)
    assert Event.objects.filter(file_id=asset.id, type="file.deleted").count() == 1
