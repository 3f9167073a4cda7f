"""Stored bytes are read and compared with their digests; damaged bytes are not served or processed."""

from __future__ import annotations

import io
import json
import os
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.db import connection
from typer.testing import CliRunner

from tests import samples
from tests.integration.processing.received_files import events, processed, received, work_off
from windlass import conf
from windlass.cli import app
from windlass.files.api import (
    Blob,
    Damage,
    FileAsset,
    FileStatus,
    StepState,
    VerifySelection,
    blob_batches,
    oldest_verification,
    owed_steps,
    steps_of_file,
)
from windlass.http.downloads.files import servable_blob
from windlass.http.file_records import file_record
from windlass.kernel.clock import monotonic, now
from windlass.kernel.problem_types import ContentDamaged
from windlass.operations import sweep, verify
from windlass.operations.throttle import Throttle
from windlass.operations.verify import Report, Verification
from windlass.processing import api as processing
from windlass.storage import local


@pytest.fixture(autouse=True)
def _alone(settings: Callable[..., None]) -> None:
    """Counts are of all rows, so each test starts without any."""
    FileAsset.objects.all().delete()
    Blob.objects.all().delete()
    settings(VERIFY_MB_PER_SECOND=0)


def run_verification(**selected: Any) -> Report:
    return Verification(Throttle(0, threading.Event())).run(VerifySelection(**{"before": now()} | selected))


def run_command(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run ``windlass verify`` and return its exit code and its JSON lines."""
    home = str(conf.get().windlass_home)
    ended = CliRunner().invoke(app, ["verify", "--json", "--home", home, *arguments])
    assert ended.exit_code in (0, 1), ended.output
    return ended.exit_code, [json.loads(line) for line in ended.stdout.splitlines()]


def content() -> bytes:
    return b"\0\xff\0\xfe" + os.urandom(100_000)


def reloaded(asset: FileAsset) -> FileAsset:
    return FileAsset.objects.select_related("blob").get(id=asset.id)


def blob(asset: FileAsset) -> Blob:
    found = reloaded(asset).blob
    assert found is not None
    return found


def object_path(asset: FileAsset) -> Path:
    return conf.get().media_directory / blob(asset).key


def flip(path: Path, at: int = 50_000) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def shorten(path: Path) -> None:
    os.truncate(path, 10)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (flip, Damage.CHANGED),
        (shorten, Damage.SHORT),
        (lengthen, Damage.LONG),
        (Path.unlink, Damage.MISSING),
    ],
)
def test_each_kind_of_damage_is_found_refused_and_repaired(spoil: Callable[[Path], None], kind: Damage) -> None:
    asset, other = processed(content(), "a.bin"), processed(content(), "b.bin")
    whole = object_path(asset).read_bytes()
    report = run_verification()
    assert (report.objects, report.bytes, report.damaged, report.unread) == (2, 2 * len(whole), [], 0)
    assert file_record(reloaded(asset))["checks"][-1]["state"] == "passed"
    spoil(object_path(asset))
    report = run_verification()
    assert [(found.kind, found.files) for found in report.damaged] == [(kind, [asset.id])]
    assert servable_blob(reloaded(other)), "the others are served"
    with pytest.raises(ContentDamaged) as refused:
        servable_blob(reloaded(asset))
    assert refused.value.members == {"damage": kind}
    (check,) = [each for each in file_record(reloaded(asset))["checks"] if each["name"] == "integrity"]
    assert check["state"] == "failed"
    run_verification()
    assert events(asset, "file.damaged") == [{"damage": kind}], "told once"
    object_path(asset).write_bytes(whole)
    assert run_verification().mended == 1
    assert servable_blob(reloaded(asset))
    assert len(events(asset, "file.mended")) == 1
    assert blob(asset).damage == ""


def test_an_io_error_of_the_medium_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = processed(content(), "a.bin")
    opened = local.LocalStore.open

    class Bad(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    def bad(self: local.LocalStore, key: str) -> BinaryIO:
        return io.BufferedReader(Bad()) if key == blob(asset).key else opened(self, key)  # type: ignore[return-value]

    monkeypatch.setattr(local.LocalStore, "open", bad)
    assert [found.kind for found in run_verification().damaged] == [Damage.UNREADABLE]


def test_an_unavailable_store_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = processed(content(), "a.bin")
    processed(content(), "b.bin")
    media = conf.get().media_directory
    away = media.with_name("away")
    media.rename(away)
    try:
        report = run_verification()
        assert (report.unread, report.damaged) == (2, [])
        media.mkdir()  # as a file system that is not mounted leaves it
        report = run_verification()
        assert (report.unread, report.damaged) == (2, [])
        media.rmdir()
    finally:
        away.rename(media)
    assert blob(asset).damaged_at is None
    assert run_command()[0] == 0


def test_a_file_that_was_deleted_or_moved_meanwhile_is_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, moved = processed(content(), "a.bin"), processed(content(), "b.bin")
    elsewhere = f"objects/{uuid.uuid4()}"
    opened = local.LocalStore.open

    def while_opening(self: local.LocalStore, key: str) -> BinaryIO:
        if FileAsset.objects.filter(id=gone.id, blob__key=key).exists():
            processing.delete(reloaded(gone))
        if FileAsset.objects.filter(id=moved.id, blob__key=key).exists() and key != elsewhere:
            target = conf.get().media_directory / elsewhere
            object_path(moved).rename(target)
            Blob.objects.filter(key=key).update(key=elsewhere)
        return opened(self, key)

    monkeypatch.setattr(local.LocalStore, "open", while_opening)
    report = run_verification()
    assert (report.objects, report.damaged, report.unread) == (1, [], 0)
    assert blob(moved).verified_at is not None


def test_verifying_stores_a_missing_digest() -> None:
    asset = received(content(), "a.bin")
    assert blob(asset).sha256 is None
    assert run_verification().digests == 1
    known = blob(asset).sha256
    assert known is not None
    assert work_off(asset).checksum == known


def test_damaged_bytes_are_not_processed() -> None:
    asset = received(b"some words", "a.txt")
    served = processed(b"other words", "b.txt")
    for each in (asset, served):
        object_path(each).unlink()
    run_verification()
    ended = work_off(asset)
    assert (ended.status, "damaged" in ended.message) == (FileStatus.FAILED, True)
    with pytest.raises(ContentDamaged):
        processing.reprocess(reloaded(served))
    row = steps_of_file(served)[-1]
    type(row).objects.filter(id=row.id).update(state=StepState.OWED)
    assert owed_steps([row.step], after=0, at_most=10) == []


@pytest.mark.slow
def test_new_duplicates_replace_damaged_bytes() -> None:
    data = content()
    first = processed(data, "a.bin")
    flip(object_path(first))
    run_verification()
    second = processed(data, "b.bin", owner=first.owner)
    assert blob(second).id != blob(first).id
    assert sweep.housekeeping().counts["duplicates_merged"] == 1
    assert blob(first).id == blob(second).id
    assert servable_blob(reloaded(first))
    assert len(events(first, "file.mended")) == 1


def test_missing_renditions_are_damage() -> None:
    asset = processed(samples.jpeg(), "a.jpg")
    (made,) = asset.renditions.filter(name="thumbnail")
    (conf.get().media_directory / made.key).unlink()
    (found,) = run_verification().damaged
    assert (found.rendition, found.kind, found.files) == ("thumbnail", Damage.MISSING, [asset.id])
    assert servable_blob(reloaded(asset)), "the file itself is sound"


def test_the_command_reports_and_selects(settings: Callable[..., None]) -> None:
    asset, other = processed(content(), "a.bin"), processed(content(), "b.bin")
    flip(object_path(asset))
    code, told = run_command("--dry-run")
    assert (code, told[0]["kind"], told[-1]["damaged"]) == (1, "changed", 1)
    assert blob(asset).verified_at is None
    assert run_command("--list") == (0, [])
    assert run_command("--file", str(other.id))[1][-1]["objects"] == 1
    assert run_command("--owner", "nobody")[1][-1]["objects"] == 0
    assert run_command("--store", "local", "--dry-run")[1][-1]["objects"] == 2
    for nobodys in (("--store", "elsewhere"), ("--file", str(uuid.uuid4()))):
        assert CliRunner().invoke(app, ["verify", "--home", str(conf.get().windlass_home), *nobodys]).exit_code == 2
    assert run_command("--older-than", "1")[1][-1]["objects"] == 0
    code, told = run_command()
    assert (code, told[0]["files"], told[-1]["objects"]) == (1, [str(asset.id)], 2)
    code, told = run_command("--list")
    assert (code, [each["key"] for each in told]) == (1, [blob(asset).key])
    flip(object_path(asset))
    code, told = run_command("--damaged")
    assert (code, told[-1]["objects"], told[-1]["mended"]) == (0, 1, 1)


def test_the_longest_unverified_come_first_and_young_files_are_skipped(settings: Callable[..., None]) -> None:
    settings(VERIFY_EVERY_DAYS=30)
    made = [processed(content(), f"{name}.bin") for name in "abc"]
    for asset, days in zip(made, (40, 50, 1), strict=True):
        Blob.objects.filter(files=asset).update(created_at=now() - timedelta(days=days))
    (first, second), *_ = blob_batches(VerifySelection(now() - timedelta(days=30)))
    assert [first.id, second.id] == [blob(made[1]).id, blob(made[0]).id]
    stop = threading.Event()
    assert verify.verify_due(stop).objects == 2
    assert verify.verify_due(stop).objects == 0
    oldest = oldest_verification()
    assert oldest is not None
    assert timedelta(days=1) <= now() - oldest < timedelta(days=2)


def test_verifying_stops_between_blocks_and_keeps_its_rate() -> None:
    for _ in range(3):
        processed(content(), "a.bin")
    stop = threading.Event()
    seen: list[int] = []

    def stop_after_block(size: int) -> None:
        seen.append(size)
        stop.set()

    report = Verification(Throttle(0, stop), on_read=stop_after_block).run(VerifySelection(now()))
    assert (report.stopped, report.objects, len(seen)) == (True, 0, 1)
    began = monotonic()
    Verification(Throttle(600_000, threading.Event())).run(VerifySelection(now()))
    assert monotonic() - began >= 0.4, "300,000 bytes at 600,000 a second"


def test_concurrent_verification_finds_the_same_damage() -> None:
    made = [processed(content(), "a.bin") for _ in range(6)]
    flip(object_path(made[0]))
    found: list[Report] = []

    def run() -> None:
        found.append(run_verification())
        connection.close()  # this thread's own

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.unread for report in found) == 0
    assert blob(made[0]).damage == "changed"
    assert len(events(made[0], "file.damaged")) == 1
    assert all(blob(asset).verified_at for asset in made)


@pytest.fixture
def pages() -> Callable[[Path], int]:
    """How many pages of a file the operating system holds in memory."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None, use_errno=True)

    def count(path: Path) -> int:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=3) as mapped:
            length = (len(mapped) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
            states = (ctypes.c_ubyte * length)()
            start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
            assert libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(mapped)), states) == 0
            return sum(state & 1 for state in states)

    return count


def test_verifying_leaves_the_page_cache_empty(pages: Callable[[Path], int]) -> None:
    asset = processed(b"\0\xff" + os.urandom(4 * conf.MB), "a.bin")
    descriptor = os.open(object_path(asset), os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    object_path(asset).read_bytes()
    if not pages(object_path(asset)):
        pytest.skip("this file system does not report cached pages")
    run_verification()
    assert pages(object_path(asset)) == 0


def test_damage_is_a_metric(settings: Callable[..., None]) -> None:
    from windlass.operations.metrics import _objects

    asset = processed(content(), "a.bin")
    flip(object_path(asset))
    run_verification()
    figures = {metric.name: metric.samples[0].value for metric in _objects() if metric.samples}
    assert figures["windlass_damaged_objects"] == 1
