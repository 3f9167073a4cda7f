"""Whole objects: their names in the bucket, and the requests about them, one function each."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from windlass.storage import contract
from windlass.storage.contract import Buffer, ObjectInfo, ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.s3.options import MIB
from windlass.storage.s3.retrying_client import CONTENT_TYPE, UPLOAD_MARK, Bucket, RequestBody, checksum_fields

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_TAIL = re.compile(r"(.+)\.tail\.([0-9a-f]{16})")


def check_key(key: str) -> str:
    """Return the key. Raises StoreError if it is not a key of this store, or one of its own tail objects."""
    if _TAIL.fullmatch(key):
        raise StoreError(f"{key!r} is no key of this store")
    return contract.check_key(key)


def prefixes_within(prefix: str, all_prefixes: Sequence[str]) -> list[str]:
    """Return the prefixes to list to find every object of Windlass whose key starts with ``prefix``.

    ``all_prefixes``: what the keys of the store's objects start with.
    """
    return [
        prefix if prefix.startswith(ours) else ours
        for ours in all_prefixes
        if ours.startswith(prefix) or prefix.startswith(ours)
    ]


def new_token() -> str:
    """Return a random name that is never used twice, so what a state names never changes."""
    return secrets.token_hex(8)


def tail_key(key: str, token: str) -> str:
    """Return the key of a tail object: bytes of the object's part that is not full yet."""
    return f"{key}.tail.{token}"


def tail_owner(key: str) -> str | None:
    """Return the key of the object that a tail object belongs to; None for any other key."""
    match = _TAIL.fullmatch(key)
    return match[1] if match else None


def put(bucket: Bucket, key: str, data: Buffer) -> None:
    body: Any = RequestBody.of(data)  # the stubs accept bytes only
    with bucket.call(key) as s3:
        s3.put_object(
            **bucket.address(key),
            Body=body,
            ContentType=CONTENT_TYPE,
            **checksum_fields(data, bucket.options.checksum),
            **bucket.encryption(),
        )


def get(bucket: Bucket, key: str, start: int, size: int) -> RequestBody:
    """Return exactly these bytes. Raises ObjectMissing, StoreError if the object has fewer."""
    data = RequestBody(size)
    with memoryview(data) as target:
        read_into(bucket, key, start, target)
    return data


def read_into(bucket: Bucket, key: str, start: int, target: memoryview) -> None:
    """Fill ``target`` without a further copy. Raises as ``get`` does."""
    body, _ = open_range(bucket, key, start, len(target))
    done = 0
    try:
        while done < len(target) and (block := body.read(min(MIB, len(target) - done))):
            target[done : done + len(block)] = block
            done += len(block)
    except BotoCoreError as error:
        raise StoreUnavailable(f"{key}: reading broke off") from error
    finally:
        body.close()
    if done != len(target):
        raise StoreError(f"{key}: it has {done} bytes from {start} on, {len(target)} were wanted")


def open_range(bucket: Bucket, key: str, start: int, size: int, etag: str = "") -> tuple[StreamingBody, ObjectInfo]:
    """Return a stream of the range, and the object's info. ``etag``: raise ObjectReplaced if it has another."""
    condition: dict[str, Any] = {"IfMatch": etag} if etag else {}
    with bucket.call(key) as s3:
        reply = s3.get_object(**bucket.address(key), Range=f"bytes={start}-{start + size - 1}", **condition)
    whole = int(reply["ContentRange"].rpartition("/")[2]) if "ContentRange" in reply else reply["ContentLength"]
    return reply["Body"], _info(key, whole, reply["LastModified"], reply["ETag"])


def head(bucket: Bucket, key: str) -> ObjectInfo:
    """Raises ObjectMissing."""
    with bucket.call(key) as s3:
        reply = s3.head_object(**bucket.address(key))
    return _info(key, reply["ContentLength"], reply["LastModified"], reply["ETag"])


def mark_and_size(bucket: Bucket, key: str) -> tuple[str, int]:
    """Return the mark of the upload that the object was made of, and its size. Raises ObjectMissing."""
    with bucket.call(key) as s3:
        reply = s3.head_object(**bucket.address(key))
    return reply["Metadata"].get(UPLOAD_MARK, ""), reply["ContentLength"]


def copy(bucket: Bucket, key: str, source: str, *, etag: str, mark: str) -> None:
    """Copy an object inside the store if its tag is still ``etag``; give the copy this mark.

    Raises ObjectMissing, ObjectReplaced, RequestRejected.
    """
    with bucket.call(source) as s3:
        s3.copy_object(
            **bucket.address(key),
            CopySource={"Bucket": bucket.name, "Key": bucket.path(source)},
            CopySourceIfMatch=f'"{etag}"',
            MetadataDirective="REPLACE",
            ContentType=CONTENT_TYPE,
            Metadata={UPLOAD_MARK: mark},
            **bucket.encryption(),
        )


def delete(bucket: Bucket, key: str) -> None:
    """Idempotent."""
    with suppress(ObjectMissing), bucket.call(key) as s3:
        s3.delete_object(**bucket.address(key))


def list_objects(bucket: Bucket, prefix: str) -> Iterator[ObjectInfo]:
    """List every object whose key starts with ``prefix``, tail objects too, under its own key."""
    for page in bucket.pages(prefix, "list_objects_v2", Prefix=bucket.path(prefix)):
        for listed in page.get("Contents", []):
            if not listed["Key"].endswith("/"):  # some tools mark directories so
                yield _info(bucket.key(listed["Key"]), listed["Size"], listed["LastModified"], listed["ETag"])


def tail_objects(bucket: Bucket, key: str) -> list[ObjectInfo]:
    return [info for info in list_objects(bucket, f"{key}.tail.") if tail_owner(info.key) == key]


def remove_tail_objects(bucket: Bucket, key: str) -> int:
    """Delete the tail objects; return the bytes freed. What cannot be deleted is left to the sweep."""
    freed = 0
    with suppress(StoreError):
        for piece in tail_objects(bucket, key):
            delete(bucket, piece.key)
            freed += piece.size
    return freed


def _info(key: str, size: int, modified: datetime, etag: str) -> ObjectInfo:
    # Listings have a finer time than other replies, and some stores quote an ETag only in one of them.
    return ObjectInfo(key, size, modified.replace(microsecond=0), etag.strip('"'))
