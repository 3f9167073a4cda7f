"""Files are deleted when their profile says so, with unreferenced bytes; a dry run only counts."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from tests.integration.processing.received_files import processed, received, store
from tests.new_uploads import new_upload
from windlass import conf
from windlass.cli import app
from windlass.events.api import recording
from windlass.files import api as files
from windlass.files import quota
from windlass.files.api import Blob, FileAsset, FileStatus
from windlass.http.file_records import file_record
from windlass.kernel.clock import now, rfc3339
from windlass.operations import sweep
from windlass.operations.sweep import LABELS
from windlass.storage.contract import ObjectMissing


@pytest.fixture(autouse=True)
def _alone() -> None:
    """Counts are of all rows, so each test starts without any."""
    FileAsset.objects.all().delete()
    Blob.objects.all().delete()
    files.UploadSession.objects.all().delete()


def opaque() -> bytes:
    """Of which nothing is made; 20 bytes."""
    return b"\0\xff\0\xfe" + uuid.uuid4().bytes


def is_stored(key: str) -> bool:
    try:
        store().info(key)
    except ObjectMissing:
        return False
    return True


def receive_whole(content: bytes) -> FileAsset:
    """Record a file as receiving does."""
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(content), len(content))
    new = new_upload("retention", len(content), dialect="raw")
    with recording() as tell:
        _, asset = files.create_complete_upload(
            tell, new, upload_id=uuid.uuid4(), key=key, state={}, size=len(content), sha256=None
        )
    return asset


def with_times_in_the_past(asset: FileAsset, **ends: float) -> FileAsset:
    """Set these times so many hours ago."""
    moments = {name: now() - timedelta(hours=hours) for name, hours in ends.items()}
    FileAsset.objects.filter(id=asset.id).update(**moments)
    return FileAsset.objects.select_related("blob").get(id=asset.id)


def sweep_output(*arguments: str) -> dict[str, tuple[int, int]]:
    """The non-zero figures that ``windlass sweep`` prints, but for claims and words that other tests have left."""
    ended = CliRunner().invoke(app, ["sweep", "--json", "--home", str(conf.get().windlass_home), *arguments])
    assert ended.exit_code == 0, ended.output
    found = [json.loads(line) for line in ended.output.splitlines()]
    figures = {each["what"]: (each["count"], each["bytes_freed"]) for each in found if each["count"]}
    for left in ("claims_revoked", "indexes_merged"):
        figures.pop(LABELS[left], None)
    return figures


def test_a_profile_sets_expiry_and_release_of_its_files(with_profile: Callable[[str], None]) -> None:
    with_profile("retention_days = 30\nrelease_after_days = 0.5")
    before = now()
    asset = receive_whole(b"for a while")
    assert asset.expires_at is not None
    assert asset.release_at is not None
    assert timedelta(days=30) <= asset.expires_at - before < timedelta(days=30, minutes=5)
    assert timedelta(hours=12) <= asset.release_at - before < timedelta(hours=12, minutes=5)
    assert file_record(asset)["expires_at"] == rfc3339(asset.expires_at)
    with_profile("")
    kept = receive_whole(b"for good")
    assert (kept.expires_at, kept.release_at) == (None, None)


@pytest.mark.slow
def test_the_sweep_deletes_and_releases_files_past_their_time() -> None:
    ended, due, both, kept = (processed(opaque(), f"{name}.bin") for name in "abcd")
    ended, due = with_times_in_the_past(ended, expires_at=1), with_times_in_the_past(due, release_at=1)
    both = with_times_in_the_past(both, expires_at=1, release_at=2)
    kept = with_times_in_the_past(kept, expires_at=-1, release_at=-1)
    report = sweep.sweep()
    assert (report.counts["files_deleted"], report.counts["files_released"], report.bytes_freed, report.failed) == (
        2,
        1,
        60,
        (),
    )
    assert {asset.id for asset in FileAsset.objects.all()} == {due.id, kept.id}
    assert [is_stored(asset.blob.key) for asset in (ended, due, both, kept)] == [False, False, False, True]
    assert FileAsset.objects.get(id=due.id).status == FileStatus.RELEASED
    assert sweep.sweep().counts["files_released"] == 0


@pytest.mark.parametrize(("retained", "ends_in"), [(0, 7), (3, 3), (30, 7)])
def test_a_released_file_expires_as_its_profile_says(
    with_profile: Callable[[str], None], retained: int, ends_in: int
) -> None:
    """Whoever released it, and no later than it would have gone anyway."""
    with_profile(f"retention_days = {retained}\ndelete_released_after_days = 7")
    asset = receive_whole(b"published")
    before = now()
    files.delete_objects(files.release_file(asset))
    asset.refresh_from_db()
    assert asset.expires_at is not None
    assert abs(asset.expires_at - before - timedelta(days=ends_in)) < timedelta(minutes=5)
    with_times_in_the_past(asset, expires_at=1)
    assert sweep.sweep().counts["files_deleted"] == 1


@pytest.mark.slow
def test_a_dry_run_counts_shared_bytes_with_their_last_reference() -> None:
    content = opaque()
    first = processed(content, "a.bin")
    second = processed(content, "b.bin", owner=first.owner)
    with_times_in_the_past(first, expires_at=1)
    assert sweep_output("--dry-run") == {"files past their time, or their time in the trash": (1, 0)}
    with_times_in_the_past(second, release_at=1)
    assert sweep_output("--dry-run") == {"files past their time, or their time in the trash": (2, 20)}
    assert sweep_output() == {"files past their time, or their time in the trash": (2, 20)}
    assert sweep_output() == {}


def test_a_file_in_processing_is_released_too() -> None:
    asset = with_times_in_the_past(received(b"not begun", "a.txt"), release_at=1)
    sweep.sweep()
    asset.refresh_from_db()
    assert asset.status == FileStatus.RELEASED


@pytest.mark.slow
def test_wrong_reference_counts_are_corrected() -> None:
    asset = processed(b"counted", "a.txt")
    blob = Blob.objects.get(owner=asset.owner)
    Blob.objects.filter(id=blob.id).update(references=7)
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(b"nobody's"), 8)
    Blob.objects.create(owner="nobody", store=store().name, key=key, size=8)
    assert sweep_output("--dry-run") == {"wrong reference counts": (2, 8)}
    assert is_stored(key)
    assert sweep_output() == {"wrong reference counts": (2, 8)}
    assert not is_stored(key)
    assert Blob.objects.get(owner=asset.owner).references == 1
    assert is_stored(blob.key)


@pytest.mark.slow
def test_wrong_quota_accounts_are_corrected(settings: Callable[..., None]) -> None:
    settings(QUOTA_BYTES=1000)
    asset = receive_whole(b"12345")
    assert files.quota_usage(asset.owner).bytes == quota.Amount(1000, 5, 0)
    quota.OwnerAccount.objects.filter(owner=asset.owner).update(bytes_used=500, files_reserved=2)
    assert sweep_output("--dry-run") == {"wrong quota accounts": (1, 0)}
    assert sweep.housekeeping().counts["quotas_corrected"] == 1
    assert files.quota_usage(asset.owner).bytes == quota.Amount(1000, 5, 0)
    assert sweep_output() == {}


@pytest.mark.slow
def test_a_dry_run_deletes_no_object() -> None:
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(b"orphan"), 6)
    os.utime(conf.get().media_directory / key, (0, 0))
    first = sweep_output("--dry-run")["objects and parts that no row names"]
    assert is_stored(key)
    assert sweep_output()["objects and parts that no row names"] == first
    assert not is_stored(key)
