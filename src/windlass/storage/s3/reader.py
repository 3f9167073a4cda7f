"""Read a stored object as a seekable file.

Ranges are requested in sizes that grow while the object is read in order, and are streamed. Only the first block is
kept in memory.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from windlass.kernel.seekable_reader import SeekableReader
from windlass.storage.contract import ObjectInfo, StoreError, StoreUnavailable
from windlass.storage.s3 import objects
from windlass.storage.s3.errors import RequestRejected
from windlass.storage.s3.retrying_client import Bucket

if TYPE_CHECKING:
    from botocore.response import StreamingBody

#: Size of the block that opening reads, so that a small object needs no second request.
FIRST_BLOCK = 128 * 1024
#: Size of the first range after a seek, and the maximum.
MIN_RANGE, MAX_RANGE = 1024 * 1024, 64 * 1024 * 1024
#: A rest of a range up to this size is read and dropped, so that its connection can be used again.
MAX_DRAIN = 64 * 1024
#: Connections that a read tries before the store counts as unavailable.
ATTEMPTS = 3


class S3Reader(SeekableReader):
    """Opening it raises ObjectMissing, StoreUnavailable."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        super().__init__()
        self._bucket = bucket
        self._key = key
        self._body: StreamingBody | None = None
        self._body_at = self._body_end = 0
        self._range = MIN_RANGE
        self._info, self._first = _read_first(bucket, key)

    def close(self) -> None:
        self._close_body()
        super().close()

    def _size(self) -> int:
        return self._info.size

    def _read_into(self, target: memoryview) -> int:
        if self._position < len(self._first):
            data = self._first[self._position : self._position + len(target)]
        else:
            data = self._read(len(target))
        target[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        if self._position >= self._info.size:
            return b""
        for attempt in range(ATTEMPTS):
            try:
                return self._read_body(size)
            except BotoCoreError as error:
                self._close_body()
                if attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(f"{self._key}: reading broke off") from error
        raise AssertionError("unreachable")

    def _read_body(self, size: int) -> bytes:
        """Return at least one byte. Raises BotoCoreError if the connection breaks."""
        if self._body is None or self._body_at != self._position or self._body_at == self._body_end:
            self._open_body()
        assert self._body is not None
        data: bytes = self._body.read(min(size, self._body_end - self._body_at))
        if not data:
            raise StoreError(f"{self._key}: it ends at byte {self._position} of {self._info.size}")
        self._body_at += len(data)
        return data

    def _open_body(self) -> None:
        in_order = self._body is not None and self._body_at == self._position
        self._range = min(2 * self._range, MAX_RANGE) if in_order else MIN_RANGE
        self._close_body()
        size = min(self._range, self._info.size - self._position)
        etag = f'"{self._info.tag}"' if self._info.tag else ""
        self._body, _ = objects.open_range(self._bucket, self._key, self._position, size, etag)
        self._body_at, self._body_end = self._position, self._position + size

    def _close_body(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        if 0 < self._body_end - self._body_at <= MAX_DRAIN:
            with suppress(BotoCoreError):
                body.read()
        body.close()


def _read_first(bucket: Bucket, key: str) -> tuple[ObjectInfo, bytes]:
    """Return the object's info and its first block."""
    for attempt in range(ATTEMPTS):
        try:
            body, info = objects.open_range(bucket, key, 0, FIRST_BLOCK)
        except RequestRejected as error:
            if error.code not in ("InvalidRange", "416", "InvalidArgument"):
                raise
            return objects.head(bucket, key), b""  # an empty object has no range
        try:
            return info, body.read()
        except BotoCoreError as error:
            if attempt == ATTEMPTS - 1:
                raise StoreUnavailable(f"{key}: reading broke off") from error
        finally:
            body.close()
    raise AssertionError("unreachable")
