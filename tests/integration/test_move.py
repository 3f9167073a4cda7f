"""Files move to another store and back; whatever happens meanwhile, each is complete in the store of its record."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request

from tests import django_home

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.events.api import recording  # noqa: E402
from windlass.files import api as files  # noqa: E402
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition  # noqa: E402
from windlass.files.models import RetainedObject  # noqa: E402
from windlass.http.downloads.stored_object_response import sendfile_headers  # noqa: E402
from windlass.http.downloads.zip_archives import _blocks  # noqa: E402
from windlass.jobs import api as jobs  # noqa: E402
from windlass.kernel import secret_keys  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations import sweep  # noqa: E402
from windlass.operations.move import Failure, Report, Selection  # noqa: E402
from windlass.operations.move import move as move_files  # noqa: E402
from windlass.storage.contract import ObjectMissing  # noqa: E402
from windlass.storage.registry import UnknownStore, store  # noqa: E402

MB = 1024 * 1024


@pytest.fixture(autouse=True, scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Further stores: another directory, one that is encrypted, one of Django's."""
    django_home.migrated()
    place = tmp_path_factory.mktemp("stores")
    (place / "stores.toml").write_text(
        '[attic]\nmedia_root = "attic"\n'
        f'[vault]\nmedia_root = "vault"\nencryption_key = "{secret_keys.generate()}"\n'
        '[shelf]\nstorage_backend = "django"\ndjango_storage = "django.core.files.storage.FileSystemStorage"\n'
        f'django_storage_options = \'{{"location": "{place}/shelf"}}\'\n'
        'django_storage_staging = "staging"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINDLASS_STORES", str(place / "stores.toml"))
        conf.reload()
        yield
    conf.reload()


@pytest.fixture
def owner() -> str:
    return f"moving-{uuid.uuid4()}"


def a_file(owner: str, data: bytes | None = None, **values: Any) -> FileAsset:
    """Ready, with a thumbnail."""
    data = os.urandom(3 * MB + 17) if data is None else data
    where: dict[str, Any] = {"owner": owner, "store": "local", "size": len(data)}
    blob = Blob.objects.create(key=f"objects/ab/{uuid.uuid4()}", sha256=hashlib.sha256(data).hexdigest(), **where)
    overwrite(blob, data)
    values = {"status": FileStatus.READY, "profile": "default", "gate_passed": True} | values
    asset = FileAsset.objects.create(owner=owner, blob=blob, original_filename="a", size=len(data), **values)
    thumbnail = Rendition(file=asset, name="thumbnail", kind="image", mime_type="image/webp", store="local", size=5)
    thumbnail.key = f"renditions/{asset.id}/thumbnail"
    thumbnail.save()
    overwrite(thumbnail, b"small")
    return asset


def overwrite(row: Blob | Rendition, data: bytes) -> None:
    import io

    store(row.store).put(row.key, io.BytesIO(data), len(data))


def read(row: Blob | Rendition) -> bytes:
    with store(row.store).open(row.key) as source:
        return source.read()


def fresh(asset: FileAsset) -> Blob:
    return Blob.objects.get(files=asset.id)


def move(owner: str, to: str = "attic", **options: Any) -> Report:
    return move_files(Selection(to, owner=owner), **options)


def figures(report: Report) -> tuple[int, int, int, int]:
    return report.files, report.renditions, report.skipped, report.failed


def in_the_middle(work: Callable[[], None]) -> Callable[[int], None]:
    """Does ``work`` once, when the first block of the first object has been copied."""
    done: list[None] = []

    def gone(count: int) -> None:
        if not done:
            done.append(None)
            work()

    return gone


def unreferenced_objects(name: str) -> set[str]:
    """The objects of a store that no row speaks of."""
    kinds: tuple[Any, ...] = (Blob, Rendition, RetainedObject)
    named = {key for kind in kinds for key in kind.objects.filter(store=name).values_list("key", flat=True)}
    return {found.key for found in store(name).objects()} - named


def test_a_file_and_its_thumbnail_move(owner: str) -> None:
    asset = a_file(owner)
    before = fresh(asset)
    data = read(before)
    report = move(owner)
    assert (*figures(report), report.bytes, report.stopped) == (1, 1, 0, 0, len(data) + 5, "")
    blob, thumbnail = fresh(asset), asset.renditions.get()
    assert (blob.store, thumbnail.store) == ("attic", "attic")
    assert read(blob) == data
    assert read(thumbnail) == b"small"
    assert read(before) == data, "the old place stays for whoever learned of it a moment ago"
    assert figures(move(owner)) == (0, 0, 0, 0), "there is nothing left to do"


def test_files_move_between_all_kinds_of_stores(owner: str) -> None:
    asset = a_file(owner)
    data = read(fresh(asset))
    for to in ("vault", "shelf", "vault", "local"):
        assert figures(move(owner, to)) == (1, 1, 0, 0)
        assert fresh(asset).store == to
        assert read(fresh(asset)) == data
        assert read(asset.renditions.get()) == b"small"


def test_the_old_object_is_deleted_after_its_grace_period(owner: str) -> None:
    asset = a_file(owner)
    before = fresh(asset)
    move(owner)
    files.delete_orphans(store("local"), older_than_hours=-1)
    sweep.sweep()
    assert read(before)
    RetainedObject.objects.update(until=now() - timedelta(seconds=1))
    report = sweep.sweep()
    assert report.counts["retained_objects_deleted"] >= 2
    assert report.bytes_freed >= before.size
    with pytest.raises(ObjectMissing):
        read(before)
    assert len(read(fresh(asset))) == before.size


def test_a_file_moves_back_within_the_grace_period(owner: str) -> None:
    asset = a_file(owner)
    data = read(fresh(asset))
    for to in ("attic", "local", "attic", "local"):
        assert figures(move(owner, to)) == (1, 1, 0, 0)
    RetainedObject.objects.update(until=now() - timedelta(seconds=1))
    files.remove_expired_objects()
    assert fresh(asset).store == "local"
    assert read(fresh(asset)) == data
    assert read(asset.renditions.get()) == b"small"


@pytest.mark.parametrize("damage", [b"x" * 17, b"", b"x" * 50])
def test_a_damaged_file_is_reported_and_not_moved(owner: str, damage: bytes) -> None:
    asset, whole = a_file(owner, b"y" * 17), a_file(owner)
    overwrite(fresh(asset), damage)
    told: list[Failure] = []
    report = move(owner, on_failure=told.append)
    assert figures(report) == (1, 2, 0, 1)
    assert report.failures == told
    assert told[0].file_id == str(asset.id)
    assert (fresh(asset).store, fresh(whole).store) == ("local", "attic")
    assert unreferenced_objects("attic") == set()


def test_missing_bytes_are_reported(owner: str) -> None:
    asset = a_file(owner)
    store().delete(fresh(asset).key)
    (failure,) = move(owner).failures
    assert failure.reason == "its bytes are not in the store local"


@pytest.mark.parametrize("status", [FileStatus.PENDING, FileStatus.PROCESSING])
def test_a_file_that_is_being_processed_is_skipped(owner: str, status: FileStatus) -> None:
    asset = a_file(owner, status=status)
    assert figures(move(owner)) == (0, 0, 2, 0)
    FileAsset.objects.filter(id=asset.id).update(status=FileStatus.READY)
    job = jobs.enqueue(jobs.Stage.DERIVE, asset.id)
    assert figures(move(owner)) == (0, 0, 2, 0), "what was owed is being made good"
    job.delete()
    assert figures(move(owner)) == (1, 1, 0, 0)


def test_a_move_yields_to_processing_that_starts_meanwhile(owner: str) -> None:
    asset = a_file(owner)
    began = in_the_middle(lambda: FileAsset.objects.filter(id=asset.id).update(status=FileStatus.PENDING) and None)
    assert figures(move(owner, on_progress=began)) == (0, 0, 2, 0)
    assert fresh(asset).store == "local"
    assert unreferenced_objects("attic") == set()


def test_a_file_that_is_deleted_while_it_is_copied_stays_deleted(owner: str) -> None:
    asset = a_file(owner)

    def delete() -> None:
        with recording():
            gone = files.delete_file(FileAsset.objects.get(id=asset.id))
        files.delete_objects(gone)

    assert figures(move(owner, on_progress=in_the_middle(delete))) == (0, 0, 1, 0)
    assert not Blob.objects.filter(owner=owner).exists()
    assert unreferenced_objects("attic") == set()


def test_files_that_share_a_blob_share_it_after_the_move(owner: str) -> None:
    asset = a_file(owner)
    other = FileAsset.objects.create(
        owner=owner, blob=asset.blob, original_filename="b", size=asset.size, profile="default", status="READY"
    )
    Blob.objects.filter(owner=owner).update(references=2)
    assert figures(move(owner)) == (1, 1, 0, 0)
    assert fresh(asset) == fresh(other)
    with recording():
        assert files.delete_file(other) == []
    assert read(fresh(asset))


def test_a_stopped_move_is_completed_by_the_next_run(owner: str) -> None:
    pool = [a_file(owner) for _ in range(3)]
    stop = threading.Event()
    blocks: list[int] = []

    def gone(count: int) -> None:
        blocks.append(count)
        if sum(blocks) > 5 * MB:  # in the second file
            stop.set()

    report = move(owner, stop=stop, on_progress=gone)
    assert (*figures(report), report.stopped) == (1, 0, 0, 0, "It was asked to stop.")
    assert unreferenced_objects("attic") == set()
    assert figures(move(owner)) == (2, 3, 0, 0)
    assert {fresh(asset).store for asset in pool} == {"attic"}


def test_an_expired_copy_is_not_used(owner: str) -> None:
    """Its maker slept for longer than the sweep waits: the copy is removed, and what wakes up must not point at it."""
    asset = a_file(owner, b"so small that it is stored when it was read")

    def overslept() -> None:
        RetainedObject.objects.filter(store="attic").update(until=now() - timedelta(seconds=1))
        assert files.remove_expired_objects()[0] == 1

    assert figures(move(owner, on_progress=in_the_middle(overslept))) == (0, 1, 1, 0)
    assert fresh(asset).store == "local"
    assert read(fresh(asset))
    assert unreferenced_objects("attic") == set()


def test_readers_with_the_old_location_find_the_new_one(owner: str) -> None:
    asset = a_file(owner)
    opened, zipped = fresh(asset), fresh(asset)
    data = read(opened)
    thumbnail = asset.renditions.get()
    move(owner)
    RetainedObject.objects.update(until=now() - timedelta(seconds=1))
    files.remove_expired_objects()
    with files.open_blob(opened) as source:
        assert source.read() == data
    assert b"".join(_blocks(zipped)) == data
    assert files.has_moved(thumbnail)
    assert not files.has_moved(thumbnail)
    store("attic").delete(fresh(asset).key)
    with pytest.raises(ObjectMissing):
        files.open_blob(fresh(asset))


def test_only_files_of_the_local_store_are_delegated_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDFILE", "x-accel-redirect")
    conf.reload()
    request = Request({"type": "http", "headers": []})
    found = [sendfile_headers(request, name, "objects/a") for name in ("local", "attic")]
    monkeypatch.undo()
    conf.reload()
    assert found == [{"X-Accel-Redirect": "/windlass-media/objects/a"}, {}]


def test_renditions_are_stored_in_the_store_of_their_file(owner: str) -> None:
    asset = a_file(owner)
    assert files.store_of_file(asset) == "local"
    move(owner)
    assert files.store_of_file(asset) == "attic"


def test_only_selected_files_move(owner: str) -> None:
    profiles = [a_file(owner, b"1"), a_file(owner, b"2", profile="media")]
    referred = a_file(owner, b"3", reference=owner)
    old = a_file(owner, b"4")
    FileAsset.objects.filter(id=old.id).update(created_at=now() - timedelta(days=10))
    a_file(f"{owner}-other", b"5")

    def foretold(**restricted: Any) -> int:
        return files.move_totals(Selection("attic", **restricted)).get("local", (0, 0, 0))[0]

    assert foretold(owner=owner) == 4
    assert foretold(owner=owner, profile="media") == 1
    assert foretold(reference=owner) == 1
    assert foretold(owner=owner, older_than_days=9) == 1
    assert foretold(owner=owner, of="local") == 4
    assert foretold(owner=owner, of="attic") == 0
    assert figures(move_files(Selection("attic", owner=owner, profile="media"))) == (1, 1, 0, 0)
    assert fresh(profiles[1]).store == "attic"
    assert {fresh(each).store for each in (profiles[0], referred, old)} == {"local"}


def test_a_full_target_ends_the_run(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(owner), a_file(owner)
    monkeypatch.setenv("DISK_RESERVE_MB", "1000000000")
    conf.reload()
    report = move(owner)
    monkeypatch.undo()
    conf.reload()
    assert (*figures(report), report.stopped) == (0, 0, 0, 1, "There is no room left.")


@pytest.mark.slow
def test_a_store_that_is_not_configured_is_skipped(owner: str) -> None:
    asset, before = a_file(owner), sweep.housekeeping().counts["stores_skipped"]
    Blob.objects.filter(owner=owner).update(store="cellar")
    try:
        with pytest.raises(UnknownStore, match="There is no store 'cellar'"):
            read(fresh(asset))
        report = sweep.housekeeping()
        assert report.counts["stores_skipped"] == before + 1
        assert report.failed == ()
        assert "cellar" in files.stores_in_use()
        assert "no store 'cellar'" in move(owner).failures[0].reason
    finally:
        Blob.objects.filter(owner=owner).update(store="local")
