"""The store over Django storages: a file system's, and real ones that are reached over a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import django_home

django_home.set_up()

from tests.services import S3Server, Sftp  # noqa: E402  after Django
from windlass.storage.conformance import StoreConformance  # noqa: E402
from windlass.storage.django_storage.opening import Named  # noqa: E402
from windlass.storage.django_storage.store import DjangoStore  # noqa: E402


class Place(NamedTuple):
    """Where the bytes of one test are. Picklable: another process opens the same."""

    named: Named
    staging: Path


def open_store(place: Place) -> DjangoStore:
    return DjangoStore(place.named, place.staging)


FILES = "django.core.files.storage.FileSystemStorage"


def in_files(directory: Path, **options: Any) -> Place:
    return Place(Named(FILES, {"location": str(directory / "files"), **options}), directory / "staging")


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
        return Place(Named("storages.backends.sftpstorage.SFTPStorage", options), tmp_path / "staging")


def in_bucket(directory: Path, server: S3Server, **options: Any) -> Place:
    named = {"access_key": server.ACCESS, "secret_key": server.SECRET, "endpoint_url": server.url}
    named |= {"bucket_name": server.new_bucket(), "region_name": "us-east-1", "addressing_style": "path"}
    return Place(Named("storages.backends.s3.S3Storage", named | options), directory / "staging")
