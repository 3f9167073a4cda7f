"""The same content of one owner is stored once, for as long as anybody refers to it."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta

import pytest

from tests import samples
from tests.integration.processing.received_files import job_of, processed, queues_of, received, store, work_off
from windlass.files.api import Blob, FileAsset, FileStatus, merge_duplicates
from windlass.jobs import api as jobs
from windlass.operations import sweep
from windlass.processing import api as processing
from windlass.storage.contract import ObjectMissing, StoreUnavailable


def is_stored(key: str) -> bool:
    try:
        store().info(key)
    except ObjectMissing:
        return False
    return True


def bytes_of(asset: FileAsset) -> bytes:
    with store().open(key_of(asset)) as file:
        return file.read()


def content() -> bytes:
    return uuid.uuid4().bytes * 10


def key_of(asset: FileAsset) -> str:
    return FileAsset.objects.select_related("blob").get(id=asset.id).blob.key


@pytest.mark.slow
def test_a_duplicate_of_the_same_owner_shares_the_first_files_blob() -> None:
    same = content()
    first = processed(same, "a.bin")
    incoming = received(same, "b.bin", owner=first.owner)
    own_key = key_of(incoming)
    second = work_off(incoming)
    assert second.status == FileStatus.READY
    assert second.duplicate_of_id == first.id
    assert key_of(second) == key_of(first) != own_key
    assert not is_stored(own_key)
    assert Blob.objects.filter(owner=first.owner).count() == 1
    assert Blob.objects.get(owner=first.owner).references == 2


def test_shared_bytes_are_deleted_with_the_last_reference() -> None:
    same = content()
    first = processed(same, "a.bin")
    second = processed(same, "b.bin", owner=first.owner)
    key = key_of(first)
    processing.delete(first)
    assert is_stored(key)
    second = FileAsset.objects.get(id=second.id)
    assert second.duplicate_of_id is None
    assert bytes_of(second) == same
    processing.release(second)
    assert not is_stored(key)
    assert not Blob.objects.filter(owner=first.owner).exists()


def test_deletion_releases_the_current_blob_of_a_stale_record() -> None:
    """Whoever deletes may have read the record before it was pointed elsewhere."""
    same = content()
    first = processed(same, "a.bin")
    incoming = received(same, "b.bin", owner=first.owner)
    as_read_before = FileAsset.objects.select_related("blob").get(id=incoming.id)
    work_off(incoming)
    processing.delete(as_read_before)
    assert Blob.objects.get(owner=first.owner).references == 1
    assert is_stored(key_of(first))


def test_equal_files_of_different_owners_are_not_shared() -> None:
    same = content()
    first, other = processed(same, "a.bin"), processed(same, "a.bin")
    assert other.duplicate_of_id is None
    assert key_of(first) != key_of(other)
    assert is_stored(key_of(first))
    assert is_stored(key_of(other))


def test_a_missing_object_is_not_shared() -> None:
    same = content()
    first = processed(same, "a.bin")
    store().delete(key_of(first))
    second = processed(same, "b.bin", owner=first.owner)
    assert key_of(second) != key_of(first)
    assert bytes_of(second) == same


def test_an_unavailable_store_does_not_block_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    same = content()
    first = processed(same, "a.bin")
    info = type(store()).info

    def away(self: object, key: str) -> object:
        if key == key_of(first):
            raise StoreUnavailable("away")
        return info(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(type(store()), "info", away)
        second = processed(same, "b.bin", owner=first.owner)
    assert second.status == FileStatus.READY
    assert key_of(second) != key_of(first)
    merge_duplicates()
    assert key_of(second) == key_of(first)


def test_later_stages_and_renditions_work_on_shared_bytes() -> None:
    picture = samples.jpeg()
    first = processed(picture, "a.jpg")
    incoming = received(picture, "b.jpg", owner=first.owner)
    processing.run_job(job_of(incoming, jobs.Stage.INTAKE).id, "test", queues_of(jobs.Stage.INTAKE))
    assert key_of(incoming) == key_of(first)
    second = work_off(incoming)
    assert (second.status, second.width) == (FileStatus.READY, first.width)
    (thumbnail,) = second.renditions.all()
    processing.delete(first)
    assert is_stored(thumbnail.key)


def test_a_reprocessed_duplicate_shares_and_its_old_object_is_retained() -> None:
    """It may be served: somebody may have learned of its key a moment ago."""
    same = content()
    first = processed(same, "a.bin")
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(same), len(same))
    own_key, own = key_of(first), Blob.objects.get(owner=first.owner)
    older = Blob.objects.create(owner=first.owner, store=store().name, key=key, size=len(same), sha256=first.checksum)
    Blob.objects.filter(id=older.id).update(created_at=own.created_at - timedelta(seconds=1))
    processing.reprocess(first)
    again = work_off(first)
    assert key_of(again) == older.key
    assert is_stored(own_key)


def test_housekeeping_merges_unnoticed_duplicates() -> None:
    same = content()
    first, second = processed(same, "a.bin"), processed(content(), "b.bin")
    blob = FileAsset.objects.get(id=first.id).blob
    second_blob = FileAsset.objects.get(id=second.id).blob
    Blob.objects.filter(id=second_blob.id).update(owner=blob.owner, sha256=blob.sha256)
    assert sweep.housekeeping().counts["duplicates_merged"] >= 1
    assert key_of(second) == key_of(first)
    assert is_stored(second_blob.key)
    assert merge_duplicates() == 0


def test_housekeeping_deletes_a_blob_without_files() -> None:
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(b"nobody's"), 8)
    blob = Blob.objects.create(owner="nobody", store=store().name, key=key, size=8, references=0)
    assert sweep.housekeeping().counts["references_corrected"] >= 1
    assert not Blob.objects.filter(id=blob.id).exists()
    assert not is_stored(key)
