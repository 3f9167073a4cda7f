"""A stored object as a file that can be read and sought in. Bytes are asked for in stretches that grow while they are
read in order, and come as they are read; nothing but the first block is held."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from windlass.storage.contract import ObjectInfo, ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.s3 import objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.errors import Refused

if TYPE_CHECKING:
    from botocore.response import StreamingBody

#: What opening reads. A small object needs no second request.
FIRST = 128 * 1024
#: The first stretch asked for after a seek, and the largest.
LEAST, MOST = 1024 * 1024, 64 * 1024 * 1024
#: What is left of a stretch and is read away, so that its connection can be used again.
DRAIN = 64 * 1024
#: How often reading goes on on another connection before the store counts as away.
ATTEMPTS = 3
_BUFFER = 64 * 1024


def open_object(bucket: Bucket, key: str) -> io.BufferedReader:
    """Raises ObjectMissing, StoreUnavailable."""
    return io.BufferedReader(S3Reader(bucket, key), _BUFFER)


class S3Reader(io.RawIOBase):
    def __init__(self, bucket: Bucket, key: str) -> None:
        super().__init__()
        self._bucket = bucket
        self._key = key
        self._position = 0
        self._body: StreamingBody | None = None
        self._body_at = self._body_end = 0
        self._stretch = LEAST
        self._info, self._first = _begin(bucket, key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._info.size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        if self._position < len(self._first):
            found = self._first[self._position : self._position + len(target)]
        else:
            found = self._read(len(target))
        target[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        self._let_go()
        super().close()

    def _read(self, size: int) -> bytes:
        if self._position >= self._info.size:
            return b""
        for attempt in range(ATTEMPTS):
            try:
                return self._read_on(size)
            except BotoCoreError as error:
                self._let_go()
                if attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(f"{self._key}: reading broke off") from error
        raise AssertionError("unreachable")

    def _read_on(self, size: int) -> bytes:
        """What comes, at least a byte. Raises BotoCoreError where it broke off."""
        if self._body is None or self._body_at != self._position or self._body_at == self._body_end:
            self._ask()
        assert self._body is not None
        found: bytes = self._body.read(min(size, self._body_end - self._body_at))
        if not found:
            raise StoreError(f"{self._key}: it ends at byte {self._position} of {self._info.size}")
        self._body_at += len(found)
        return found

    def _ask(self) -> None:
        in_order = self._body is not None and self._body_at == self._position
        self._stretch = min(2 * self._stretch, MOST) if in_order else LEAST
        self._let_go()
        size = min(self._stretch, self._info.size - self._position)
        self._body, _ = objects.stream(self._bucket, self._key, self._position, size, self._etag)
        self._body_at, self._body_end = self._position, self._position + size

    @property
    def _etag(self) -> str:
        return f'"{self._info.tag}"' if self._info.tag else ""

    def _let_go(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        if 0 < self._body_end - self._body_at <= DRAIN:
            with suppress(BotoCoreError):
                body.read()
        body.close()


def _begin(bucket: Bucket, key: str) -> tuple[ObjectInfo, bytes]:
    """What the object is, and its first block."""
    for attempt in range(ATTEMPTS):
        try:
            body, info = objects.stream(bucket, key, 0, FIRST)
        except Refused as error:
            if not objects.is_beyond(error):
                raise
            return objects.head(bucket, key), b""  # no range begins in an empty object
        try:
            return info, body.read()
        except BotoCoreError as error:
            if attempt == ATTEMPTS - 1:
                raise StoreUnavailable(f"{key}: reading broke off") from error
        finally:
            body.close()
    raise ObjectMissing(key)
