"""Backups in one process: what a running backup holds, what a damaged one shows, what a restore refuses."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import django_home

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.files import api as files  # noqa: E402
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition  # noqa: E402
from windlass.files.models import BackupRun, RetainedObject  # noqa: E402
from windlass.kernel import secret_keys  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations import sweep  # noqa: E402
from windlass.operations.backup import catalogue, create, manifest  # noqa: E402
from windlass.operations.backup.create import make_backup  # noqa: E402
from windlass.operations.backup.errors import BackupError  # noqa: E402
from windlass.operations.backup.location import locked, open_location  # noqa: E402
from windlass.operations.backup.manifest import Backup, Entry  # noqa: E402
from windlass.operations.backup.verification import BackupReport, verify_backups  # noqa: E402
from windlass.operations.throttle import Stopped  # noqa: E402
from windlass.storage.registry import store  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def database() -> None:
    """A migrated database without files: those of other tests are not backed up, as some are sparse and of 4 TiB."""
    django_home.migrated()
    FileAsset.objects.all().delete()
    Blob.objects.all().delete()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def a_file(data: bytes | None = None) -> FileAsset:
    """Ready, with a thumbnail."""
    data = os.urandom(20_000) if data is None else data
    owner = f"backup-{uuid.uuid4()}"
    blob = Blob.objects.create(
        owner=owner,
        store="local",
        key=f"objects/ab/{uuid.uuid4()}",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    store("local").put(blob.key, io.BytesIO(data), len(data))
    asset = FileAsset.objects.create(
        owner=owner, blob=blob, original_filename="a", size=len(data), status=FileStatus.READY, profile="default"
    )
    key = f"renditions/{asset.id}/thumbnail"
    store("local").put(key, io.BytesIO(b"small"), 5)
    Rendition.objects.create(
        file=asset, name="thumbnail", kind="image", mime_type="image/webp", store="local", key=key, size=5
    )
    return asset


def blob_of(asset: FileAsset) -> Blob:
    return Blob.objects.get(files=asset.id)


def backup(target: Path, **options: Any) -> Backup:
    return make_backup(str(target), stop=threading.Event(), **options)


def entries(target: Path, made: Backup) -> dict[str, Entry]:
    location = open_location(str(target), conf.get())
    return {entry.key: entry for entry in manifest.read_entries(location, made)}


def verified(target: Path, **options: Any) -> BackupReport:
    return verify_backups(open_location(str(target), conf.get()), stop=threading.Event(), **options)


def object_path(target: Path, sha256: str) -> Path:
    return target / "objects" / sha256[:2] / sha256


def test_what_is_deleted_while_a_backup_runs_is_kept_until_it_has_ended(target: Path) -> None:
    asset, blob = a_file(), None
    blob = blob_of(asset)
    deleted: list[None] = []

    def delete(done: int, total: int) -> None:
        if deleted:
            return
        deleted.append(None)
        files.delete_objects(files.delete_file(asset))
        assert not Blob.objects.filter(id=blob.id).exists()
        assert store("local").info(blob.key).size == blob.size, "the object stays"
        counts = {each.kind: each.count for each in sweep.clean_up()}
        assert counts["retained_objects_deleted"] == 0

    first = backup(target, on_progress=delete)
    assert deleted
    assert first.missing == 0
    assert not files.is_backup_running()
    assert RetainedObject.objects.filter(key=blob.key).exists()
    assert {each.kind: each.count for each in sweep.clean_up()}["retained_objects_deleted"] >= 2
    assert not [info for info in store("local").objects() if info.key == blob.key]
    assert blob.key not in entries(target, backup(target))


def test_the_hold_of_a_killed_backup_ends_by_itself() -> None:
    run = files.start_backup("/nowhere")
    assert files.is_backup_running()
    assert files.extend_backup(run)
    BackupRun.objects.filter(id=run.id).update(held_until=now())
    assert not files.is_backup_running()
    assert not files.extend_backup(run), "objects may have been deleted since"
    files.start_backup("/other")
    assert not BackupRun.objects.filter(id=run.id).exists()
    BackupRun.objects.all().delete()


def test_a_failed_backup_holds_nothing_and_leaves_no_backup(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file()
    stop = threading.Event()
    with pytest.raises(Stopped):
        make_backup(str(target), stop=stop, on_progress=lambda done, total: stop.set())
    assert not BackupRun.objects.filter(finished_at=None).exists()
    assert not list(conf.get().windlass_home.glob(".backup-*"))
    assert manifest.list_backups(open_location(str(target), conf.get())) == []
    last = backup(target)
    recorded = files.last_backup()
    assert recorded is not None
    assert (recorded.target, recorded.objects_count, recorded.bytes_count) == (str(target), last.objects, last.bytes)


def test_bytes_that_are_not_those_of_the_record_are_reported_as_missing(target: Path) -> None:
    changed, gone, shorter = a_file(), a_file(), a_file()
    store("local").put(blob_of(changed).key, io.BytesIO(os.urandom(20_000)), 20_000)
    store("local").delete(blob_of(gone).key)
    store("local").put(f"renditions/{shorter.id}/thumbnail", io.BytesIO(b"new"), 3)
    missing: list[Entry] = []
    made = backup(target, on_missing=missing.append)
    reasons = {entry.key: entry.missing for entry in missing}
    assert made.missing == len(reasons)
    assert "its SHA-256 is" in reasons[blob_of(changed).key]
    assert "no such object" in reasons[blob_of(gone).key]
    assert "3 bytes" in reasons[f"renditions/{shorter.id}/thumbnail"]
    assert not object_path(target, str(blob_of(changed).sha256)).exists()
    assert verified(target).absent >= 3
    for asset in (changed, gone, shorter):
        files.delete_objects(files.delete_file(asset))


def test_a_rendition_is_read_again_only_when_it_was_written_again(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = a_file()
    backup(target)
    read: list[str] = []
    real = create.opened
    monkeypatch.setattr(create, "opened", lambda source, key: read.append(key) or real(source, key))
    assert backup(target).copied == 0
    assert read == []
    key = f"renditions/{asset.id}/thumbnail"
    store("local").put(key, io.BytesIO(b"other"), 5)
    Rendition.objects.filter(file=asset).update(run=2)
    made = backup(target)
    assert read == [key]
    assert made.copied == 1
    assert entries(target, made)[key].sha256 == hashlib.sha256(b"other").hexdigest()


def test_damage_in_a_backup_is_found_deleted_and_mended_by_the_next(target: Path) -> None:
    asset = a_file()
    sha256 = str(blob_of(asset).sha256)
    made = backup(target)
    assert verified(target).damaged == []
    path = object_path(target, sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    (found,) = verified(target).damaged
    assert (found.key, found.backups) == (f"objects/{sha256[:2]}/{sha256}", [made.id])
    assert found.files == [f"local {blob_of(asset).key}"]
    assert backup(target).copied == 0, "its size is right"
    assert verified(target, delete_damaged=True).deleted == 1
    assert backup(target).copied == 1
    assert verified(target).damaged == []

    database = target / "backups" / made.id / made.database.name
    database.write_bytes(database.read_bytes()[:-4096])
    (found,) = verified(target).damaged
    assert found.key.endswith(made.database.name)
    summary = target / "backups" / made.id / "backup.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"format": 2}))
    with pytest.raises(BackupError, match="has the format 2"):
        verified(target)


def test_pruning_keeps_what_the_other_backups_name(target: Path) -> None:
    asset, kept = a_file(), a_file()
    first = backup(target)
    sha256 = str(blob_of(asset).sha256)
    files.delete_objects(files.delete_file(asset))
    second, third = backup(target), backup(target)
    (target / "objects" / "aa").mkdir(exist_ok=True)
    (target / "objects" / "aa" / ".put-0123").write_bytes(b"of a killed backup")
    (target / "backups" / "interrupted").mkdir()
    (target / "backups" / "interrupted" / "objects.jsonl").write_bytes(b"")
    location = open_location(str(target), conf.get())
    pruned = catalogue.prune(location, 2)
    assert pruned.backups == [first.id]
    assert not object_path(target, sha256).exists()
    assert object_path(target, str(blob_of(kept).sha256)).exists()
    assert not (target / "objects" / "aa" / ".put-0123").exists()
    assert [each.id for each in manifest.list_backups(location)] == [second.id, third.id]
    assert len(os.listdir(target / "backups")) == 2
    assert verified(target).damaged == []


def test_a_location_is_refused_where_it_cannot_be_one(target: Path, tmp_path: Path) -> None:
    inside = conf.get().media_directory / "backups"
    for text, reason in {
        str(inside): "inside the directory of the store 'local'",
        "ftp://host/x": "is no place for backups",
        "s3:///x": "is not s3://bucket/prefix",
        "s3://bucket/../x": "is not s3://bucket/prefix",
    }.items():
        with pytest.raises(BackupError, match=reason):
            make_backup(text, stop=threading.Event())
    with pytest.raises(BackupError, match="there is no directory"):
        open_location(str(tmp_path / "none"), conf.get())
    target.mkdir()
    with locked(str(target), shared=True), pytest.raises(BackupError, match="another command is using"):
        backup(target)
    with pytest.raises(BackupError, match="no complete backup"):
        manifest.find_backup(open_location(str(target), conf.get()), None)
    with pytest.raises(BackupError, match="there is no backup 2020"):
        manifest.find_backup(open_location(str(target), conf.get()), "2020")


def test_an_encrypted_backup_hides_content_and_an_encrypted_store_needs_one(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(b"a secret that stands in the file" * 100)
    monkeypatch.setenv("BACKUP_ENCRYPTION_KEY", secret_keys.generate())
    conf.reload()
    backup(target)
    stored = [path for path in target.rglob("*") if path.is_file()]
    assert stored
    assert not [path for path in stored if b"a secret that" in path.read_bytes()]
    assert not [path for path in stored if b"SQLite format" in path.read_bytes()]
    assert verified(target).damaged == []
    monkeypatch.delenv("BACKUP_ENCRYPTION_KEY")
    stores = tmp_path / "stores.toml"
    stores.write_text(f'[vault]\nmedia_root = "vault"\nencryption_key = "{secret_keys.generate()}"\n')
    monkeypatch.setenv("WINDLASS_STORES", str(stores))
    conf.reload()
    try:
        with pytest.raises(BackupError, match="the store 'vault' is encrypted"):
            backup(tmp_path / "plain")
    finally:
        monkeypatch.undo()
        conf.reload()
