"""The S3 store against a real server: the suite that every store passes, and what only a network can get wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services import S3Server
from windlass.storage.conformance import StoreConformance
from windlass.storage.conformance.copying import Copying
from windlass.storage.conformance.parts import Parts
from windlass.storage.conformance.unfinished import UnfinishedObjects
from windlass.storage.s3.options import MIB, Options
from windlass.storage.s3.store import S3Store


def options(server: S3Server, **more: Any) -> Options:
    named = {"access_key": server.ACCESS, "secret_key": server.SECRET, "endpoint": server.url, "addressing": "path"}
    return Options(**{"bucket": server.new_bucket(), "part_size": 5 * MIB, **named, **more})


class TestS3Store(StoreConformance):
    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server)


class TestS3StoreWithinABucketProvedByMd5(UnfinishedObjects, Copying, Parts):
    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server, prefix="some/where/", checksum="md5", part_size=8 * MIB)


class TestS3StoreWithoutMemory(UnfinishedObjects, Copying, Parts):
    """Every byte that does not fill a part is put away at once."""

    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server, buffer=1)
