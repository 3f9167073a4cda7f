"""Derived objects, stored at once: nothing is there of one that does not come whole."""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO

from windlass.storage.contract import StoreError
from windlass.storage.s3 import keys, multipart, objects
from windlass.storage.s3.body import Body
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.made import Tag


def put(bucket: Bucket, key: str, source: BinaryIO, size: int) -> None:
    """In one request, or part by part where it is larger than a part."""
    part_size = bucket.options.part_size_for(size)
    if size <= part_size:
        objects.put(bucket, key, _read(source, size, key))
        return
    checksum = bucket.options.checksum
    upload = multipart.begin(bucket, key, checksum, keys.new_token())
    try:
        tags: list[Tag] = []
        for start in range(0, size, part_size):
            data = _read(source, min(part_size, size - start), key)
            tags.append(multipart.send(bucket, key, upload, len(tags) + 1, data, checksum))
        multipart.complete(bucket, key, upload, list(enumerate(tags, 1)))
    except BaseException:
        with suppress(StoreError):  # the sweep finds it
            multipart.abort(bucket, key, upload)
        raise


def _read(source: BinaryIO, size: int, key: str) -> Body:
    data = Body()
    while len(data) < size:
        block = source.read(size - len(data))
        if not block:
            raise StoreError(f"{key}: its source ends {size - len(data)} bytes too early")
        data += block
    return data
