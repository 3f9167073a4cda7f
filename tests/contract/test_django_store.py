"""The store over Django storages: a file system's, and real ones that are reached over a network."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import django_home

django_home.set_up()

from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage, storages  # noqa: E402

from tests.services import S3Server, Sftp  # noqa: E402  after Django
from windlass.files import api as files  # noqa: E402
from windlass.storage.conformance import StoreConformance  # noqa: E402
from windlass.storage.conformance.base import KEY, OTHER, keys, make, pattern, read, through_json, write  # noqa: E402
from windlass.storage.contract import (  # noqa: E402
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from windlass.storage.django_storage.gateway import StorageName  # noqa: E402
from windlass.storage.django_storage.store import DjangoStore  # noqa: E402


class Place(NamedTuple):
    """Where the bytes of one test are. Picklable: another process opens the same."""

    named: StorageName
    staging: Path


def open_store(place: Place) -> DjangoStore:
    return DjangoStore(place.named, place.staging)


FILES = "django.core.files.storage.FileSystemStorage"


def in_files(directory: Path, **options: Any) -> Place:
    return Place(StorageName(FILES, {"location": str(directory / "files"), **options}), directory / "staging")


class TestOverAFileSystem(StoreConformance):
    open_store = staticmethod(open_store)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return in_files(tmp_path)


class TestOverAStorageOfDjangoStorages(StoreConformance):
    """Theirs for S3, against a real server: every call goes over a network."""

    open_store = staticmethod(open_store)

    @pytest.fixture
    def place(self, tmp_path: Path, s3_server: S3Server) -> Place:
        return in_bucket(tmp_path, s3_server)


class TestOverSftp(StoreConformance):
    """OpenSSH: a storage whose connection no two threads can share, and that knows directories."""

    open_store = staticmethod(open_store)

    @pytest.fixture
    def place(self, tmp_path: Path, sftp_server: Sftp) -> Place:
        options = sftp_server.options(tmp_path / "files")
        return Place(StorageName("storages.backends.sftpstorage.SFTPStorage", options), tmp_path / "staging")


def in_bucket(directory: Path, server: S3Server, **options: Any) -> Place:
    named = {"access_key": server.ACCESS, "secret_key": server.SECRET, "endpoint_url": server.url}
    named |= {"bucket_name": server.new_bucket(), "region_name": "us-east-1", "addressing_style": "path"}
    return Place(StorageName("storages.backends.s3.S3Storage", named | options), directory / "staging")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return in_files(tmp_path)


@pytest.fixture
def store(place: Place) -> DjangoStore:
    return open_store(place)


def in_storage(place: Place, key: str = KEY) -> Path:
    return Path(place.named.options["location"], key)


# Staged, then saved once


def test_a_file_system_storage_renames_the_staged_file(store: DjangoStore, place: Place) -> None:
    state = write(store, KEY, through_json(store.create(KEY)), 0, b"bytes")
    staged = (place.staging / KEY).stat().st_ino
    assert not in_storage(place).exists()
    store.complete(KEY, state, 5)
    assert in_storage(place).stat().st_ino == staged, "renamed, not copied"
    assert store.local_path(KEY) == in_storage(place)
    assert list(store._staging.objects()) == []


def test_another_storage_gets_a_copy(store: DjangoStore, s3_server: S3Server, tmp_path: Path) -> None:
    place = in_bucket(tmp_path, s3_server)
    store = open_store(place)
    data = pattern(9_000_000)
    make(store, KEY, data)
    assert list(store._staging.objects()) == []
    found = s3_server.client.get_object(Bucket=place.named.options["bucket_name"], Key=KEY)
    assert found["Body"].read() == data


def test_completion_is_repeatable_after_a_crash_between_saving_and_recording(store: DjangoStore, place: Place) -> None:
    """The last bytes are sent again, to a process that has the state before them; they may differ."""
    first, state = pattern(5000), through_json(store.create(KEY))
    state = write(store, KEY, state, 0, first)
    last = write(store, KEY, state, 5000, pattern(3000, seed=2))
    store.complete(KEY, last, 8000)
    heir = open_store(place)
    state = write(heir, KEY, state, 5000, pattern(3000, seed=3))
    heir.complete(KEY, state, 8000)
    assert read(store, KEY) == first + pattern(3000, seed=3)
    assert keys(store) == {KEY}


def test_an_upload_staged_on_another_machine_is_unavailable(store: DjangoStore, tmp_path: Path) -> None:
    place = Place(store._gateway._name, tmp_path / "another")
    state = through_json(store.create(KEY))
    for call in (lambda other: other.open_writer(KEY, state), lambda other: other.complete(KEY, state, 0)):
        with pytest.raises(StoreUnavailable, match="DJANGO_STORAGE_STAGING"):
            call(open_store(place))
    write(store, KEY, state, 0, b"here it goes on")


def test_staged_files_left_by_crashes_are_found_and_deleted(store: DjangoStore, place: Place) -> None:
    make(store, KEY, b"finished")
    store._staging.put(KEY, io.BytesIO(b"left over"), 9)
    store._staging.put(".put-0123", io.BytesIO(b"left over"), 9)
    assert {found.key for found in store.objects() if found.unfinished} == {KEY, ".put-0123"}
    assert store.clear(KEY) == store.clear(".put-0123") == 9
    assert read(store, KEY) == b"finished"
    assert keys(store) == {KEY}


def test_foreign_files_in_the_same_storage_are_not_deleted(store: DjangoStore, place: Place) -> None:
    django_home.migrated()
    make(store, KEY, b"orphan")
    for name in ("reports/of/somebody", "objects/Not Ours", "objects/ab/README.TXT"):
        in_storage(place, name).parent.mkdir(parents=True, exist_ok=True)
        in_storage(place, name).write_text("theirs")
    assert keys(store) == {KEY}
    assert files.delete_orphans(store, older_than_hours=0) == (1, 6)
    assert len([path for path in in_storage(place, "").rglob("*") if path.is_file()]) == 3


# What storages do that stores must not


class Renames(FileSystemStorage):
    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return f"{name}-1"


class Forgets(FileSystemStorage):
    """Saves less than it is given."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)
        Path(self.path(saved)).write_bytes(b"less")
        return saved


class CannotList(FileSystemStorage):
    listdir = Storage.listdir


class CannotDate(FileSystemStorage):
    get_modified_time = Storage.get_modified_time


class Breaks(InMemoryStorage):
    """Raises ``error`` at every call."""

    error: Exception = ConnectionError("secret.example.org refused")

    def exists(self, name: str) -> bool:
        raise self.error

    size = _open = _save = delete = exists  # type: ignore[assignment]


def over(place: Place, kind: type[Storage]) -> DjangoStore:
    named = StorageName(f"{__name__}.{kind.__name__}", {} if issubclass(kind, InMemoryStorage) else place.named.options)
    return DjangoStore(named, place.staging)


def test_a_storage_that_changes_names_is_refused_and_keeps_nothing(place: Place) -> None:
    store = over(place, Renames)
    state = write(store, KEY, through_json(store.create(KEY)), 0, b"bytes")
    with pytest.raises(StoreError, match="must keep the given name"):
        store.complete(KEY, state, 5)
    assert [path for path in in_storage(place, "").rglob("*") if path.is_file()] == []


def test_a_wrong_size_after_saving_is_an_error(place: Place) -> None:
    store = over(place, Forgets)
    state = write(store, KEY, through_json(store.create(KEY)), 0, b"bytes")
    with pytest.raises(StoreError, match="4 bytes of it after saving 5"):
        store.complete(KEY, state, 5)


@pytest.mark.parametrize("kind", [CannotList, CannotDate])
def test_the_sweep_needs_listing_and_modification_times(place: Place, kind: type[Storage]) -> None:
    django_home.migrated()
    store = over(place, kind)
    make(store, KEY, b"bytes")
    with pytest.raises(StoreError, match=r"cannot list|no modification times"):
        files.delete_orphans(store, older_than_hours=0)
    assert read(store, KEY) == b"bytes"
    assert store.info(KEY).size == 5


def test_the_sweep_queries_rows_before_the_storage(store: DjangoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size and its date are a request each."""
    make(store, KEY, b"known")
    make(store, OTHER, b"orphan")
    asked: list[str] = []
    size = FileSystemStorage.size
    monkeypatch.setattr(FileSystemStorage, "size", lambda self, name: asked.append(name) or size(self, name))
    assert {found.key for found in store.objects(unless=lambda key: key == KEY)} == {OTHER}
    assert asked == [OTHER]


# Reading


def test_large_objects_are_not_held_in_memory(s3_server: S3Server, tmp_path: Path) -> None:
    """django-storages keeps fetched objects of any size in memory by default."""
    store = open_store(in_bucket(tmp_path, s3_server))
    make(store, KEY, pattern(3_000_000))
    with store.open(KEY) as source:
        spooled: Any = source.raw._file  # type: ignore[attr-defined]
        assert isinstance(spooled, tempfile.SpooledTemporaryFile)
        assert spooled._rolled  # type: ignore[attr-defined]  # it is on the disk
        source.seek(1_000_000)
        assert source.read(100) == pattern(3_000_000)[1_000_000:1_000_100]


def test_fetched_objects_leave_no_named_temporary_file(sftp_server: Sftp, tmp_path: Path) -> None:
    options = sftp_server.options(tmp_path / "files")
    store = DjangoStore(StorageName("storages.backends.sftpstorage.SFTPStorage", options), tmp_path / "staging")
    make(store, KEY, pattern(300_000))
    with store.open(KEY) as source:
        assert [path.name for path in (tmp_path / "staging").rglob("*") if path.is_file()] == ["STAGING"]
        assert source.read() == pattern(300_000)


# What goes wrong


class Status(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("secret.example.org refused"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (OSError(28, "No space left on device"), StoreFull),
        (Status(503), StoreUnavailable),
        (Status(403), StoreUnavailable),
        (Status(507), StoreFull),
        (EOFError(), StoreUnavailable),
        (FileNotFoundError(), ObjectMissing),
        (Status(404), ObjectMissing),
    ],
)
def test_errors_of_a_storage_are_translated_by_their_type(
    place: Place, error: Exception, kind: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Breaks, "error", error)
    with pytest.raises(kind) as told:
        over(place, Breaks).info(KEY)
    assert type(told.value) is kind
    assert "example.org" not in str(told.value)


def test_a_programming_error_is_not_transient(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaks, "error", TypeError("no such argument"))
    with pytest.raises(StoreError) as told:
        over(place, Breaks).put(KEY, io.BytesIO(b"x"), 1)
    assert not told.value.transient


def test_an_unavailable_server_keeps_the_staged_file(sftp_server: Sftp, tmp_path: Path) -> None:
    options = sftp_server.options(tmp_path / "files")
    away = options | {"params": options["params"] | {"port": 1}}
    store = DjangoStore(StorageName("storages.backends.sftpstorage.SFTPStorage", away), tmp_path / "staging")
    state = write(store, KEY, through_json(store.create(KEY)), 0, b"bytes")
    with pytest.raises(StoreUnavailable):
        store.complete(KEY, state, 5)
    back = DjangoStore(StorageName("storages.backends.sftpstorage.SFTPStorage", options), tmp_path / "staging")
    back.complete(KEY, state, 5)
    assert read(back, KEY) == b"bytes"


def test_only_calls_over_a_network_have_a_breaker(place: Place, s3_server: S3Server, tmp_path: Path) -> None:
    entered: list[str] = []

    @contextmanager
    def guard(name: str) -> Iterator[None]:
        entered.append(name)
        yield

    make(DjangoStore(place.named, place.staging, guard), KEY, b"bytes")
    assert entered == []
    far = DjangoStore(in_bucket(tmp_path, s3_server).named, tmp_path / "far", guard)
    far.name = "archive"
    make(far, KEY, b"bytes")
    assert set(entered) == {"archive"}


def test_a_missing_directory_is_unavailable_and_not_empty(store: DjangoStore, place: Place) -> None:
    make(store, KEY, b"bytes")
    in_storage(place, "").rename(place.staging.with_name("elsewhere"))
    calls: list[Callable[[], object]] = [
        lambda: store.open(KEY),
        lambda: store.info(KEY),
        lambda: store.delete(KEY),
        lambda: list(store.objects()),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("no.such.Storage", {}, "No module named"),
        ("pathlib.Path", {}, "not a Django storage"),
        ("nothing", {}, "no such alias"),
        ("default", {"location": "x"}, "STORAGES"),
        (FILES, {"colour": "red"}, "colour"),
        (FILES, {}, "location"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_explained(
    tmp_path: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(StoreError, match="DJANGO_STORAGE") as refusal:
        DjangoStore(StorageName(name, options), tmp_path)
    assert words in str(refusal.value)


def test_an_alias_of_the_project_is_its_own_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alias = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    monkeypatch.setitem(storages.backends, "memory", alias)  # type: ignore[arg-type]
    store = DjangoStore(StorageName("memory"), tmp_path)
    make(store, KEY, b"bytes")
    with storages["memory"].open(KEY) as found:
        assert found.read() == b"bytes"
    assert read(store, KEY) == b"bytes"
    assert store.info(KEY).modified_at <= datetime.now(UTC)


def test_the_thorough_check_reports_the_storages_error(s3_server: S3Server, tmp_path: Path, store: DjangoStore) -> None:
    store.check(thorough=True)
    assert keys(store) == set()
    wrong = in_bucket(tmp_path, s3_server, access_key="nobody")
    with pytest.raises(StoreUnavailable, match="access key"):
        open_store(wrong).check(thorough=True)
