"""Buckets of a real S3 server, seen without Windlass, and what tests of several modules do with them."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable
from typing import Any

import httpx

from tests.process.acknowledgements import GeneratedContent
from tests.process.chunk_client import digest
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, PATCH, Wire, wait_until_processed
from tests.services import S3Server
from windlass.kernel.object_keys import CHECKS


class Bucket:
    """The objects and unfinished multipart uploads of a bucket, read without Windlass."""

    def __init__(self, server: S3Server, name: str) -> None:
        self._s3, self.name = server.client, name

    def objects(self) -> dict[str, int]:
        found = self._s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {each["Key"]: each["Size"] for each in found if not _is_probe(each["Key"])}

    def unfinished(self) -> list[str]:
        found = self._s3.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [each["Key"] for each in found if not _is_probe(each["Key"])]

    def sha256(self, key: str) -> str:
        body = self._s3.get_object(Bucket=self.name, Key=key)["Body"]
        found = hashlib.sha256()
        for block in iter(lambda: body.read(MB), b""):
            found.update(block)
        return found.hexdigest()


def _is_probe(key: str) -> bool:
    """Whether a health check has put it there, for a moment."""
    return key.startswith(CHECKS)


def random_content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def assert_stored_and_served(http: httpx.Client, bucket: Bucket, file: str, data: bytes) -> dict[str, Any]:
    """Check a file's record, its download and its object in the bucket; return the record."""
    record = wait_until_processed(http, file)
    assert record["status"] == "READY", record
    assert record["checksum"] == digest(data)
    assert http.get(f"/files/{record['id']}/download/").content == data
    assert len(data) in {size for key, size in bucket.objects().items() if key.startswith("objects/")}
    return record


def send_part_of_patch(
    server: ServerProcess, path: str, large: GeneratedContent, sent: int, act: Callable[[], None]
) -> None:
    """Send the first ``sent`` bytes of a PATCH, then call ``act`` and close the connection."""
    with Wire(server.port) as wire:
        wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(large.size)})
        left = sent
        with contextlib.suppress(ConnectionError):
            for block in large.blocks():
                wire.send(block[:left])
                left -= len(block)
                if left <= 0:
                    break
        act()
