"""The requests about whole objects, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from windlass.storage.contract import Buffer, ObjectInfo, ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.s3 import keys
from windlass.storage.s3.body import Body
from windlass.storage.s3.bucket import Bucket, proof
from windlass.storage.s3.errors import Refused
from windlass.storage.s3.multipart import MARK, TYPE
from windlass.storage.s3.options import MIB

if TYPE_CHECKING:
    from botocore.response import StreamingBody


def put(bucket: Bucket, key: str, data: Buffer) -> None:
    body: Any = Body.of(data)  # the stubs know bytes only
    with bucket.call(key) as s3:
        s3.put_object(
            Bucket=bucket.name,
            Key=bucket.path(key),
            Body=body,
            ContentType=TYPE,
            **proof(data, bucket.options.checksum),
            **bucket.encryption(),
        )


def get(bucket: Bucket, key: str, start: int, size: int) -> Body:
    """Exactly these bytes. Raises ObjectMissing, StoreError where the object has fewer."""
    data = Body(size)
    with memoryview(data) as target:
        fill(bucket, key, start, target)
    return data


def fill(bucket: Bucket, key: str, start: int, target: memoryview) -> None:
    """Read as many bytes as ``target`` has, past no other memory. Raises as ``get`` does."""
    body, _ = stream(bucket, key, start, len(target))
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


def stream(bucket: Bucket, key: str, start: int, size: int, etag: str = "") -> tuple[StreamingBody, ObjectInfo]:
    """A stretch of the object as it comes, and what the object is. ``etag``: only if it is still that one (Changed)."""
    only: dict[str, Any] = {"IfMatch": etag} if etag else {}
    with bucket.call(key) as s3:
        reply = s3.get_object(
            Bucket=bucket.name, Key=bucket.path(key), Range=f"bytes={start}-{start + size - 1}", **only
        )
    whole = int(reply["ContentRange"].rpartition("/")[2]) if "ContentRange" in reply else reply["ContentLength"]
    return reply["Body"], _info(key, whole, reply["LastModified"], reply["ETag"])


def head(bucket: Bucket, key: str) -> ObjectInfo:
    """Raises ObjectMissing."""
    with bucket.call(key) as s3:
        reply = s3.head_object(Bucket=bucket.name, Key=bucket.path(key))
    return _info(key, reply["ContentLength"], reply["LastModified"], reply["ETag"])


def mark(bucket: Bucket, key: str) -> tuple[str, int]:
    """Which upload the object became of, and its size. Raises ObjectMissing."""
    with bucket.call(key) as s3:
        reply = s3.head_object(Bucket=bucket.name, Key=bucket.path(key))
    return reply["Metadata"].get(MARK, ""), reply["ContentLength"]


def copy(bucket: Bucket, key: str, source: str, *, etag: str, mark: str) -> None:
    """One object of another inside the store, if that still has this tag, to be known by ``mark``.

    Raises ObjectMissing, Changed, Refused.
    """
    with bucket.call(source) as s3:
        s3.copy_object(
            Bucket=bucket.name,
            Key=bucket.path(key),
            CopySource={"Bucket": bucket.name, "Key": bucket.path(source)},
            CopySourceIfMatch=f'"{etag}"',
            MetadataDirective="REPLACE",
            ContentType=TYPE,
            Metadata={MARK: mark},
            **bucket.encryption(),
        )


def delete(bucket: Bucket, key: str) -> None:
    """Nothing to delete is no error."""
    try:
        with bucket.call(key) as s3:
            s3.delete_object(Bucket=bucket.name, Key=bucket.path(key))
    except ObjectMissing:
        return


def listed(bucket: Bucket, prefix: str) -> Iterator[ObjectInfo]:
    """Every object whose key begins so, pieces of unfinished ones too, under the names they have in the bucket."""
    for page in bucket.pages(prefix, "list_objects_v2", Prefix=bucket.path(prefix)):
        for found in page.get("Contents", []):
            if not found["Key"].endswith("/"):  # how some tools mark a directory
                yield _info(bucket.key(found["Key"]), found["Size"], found["LastModified"], found["ETag"])


def pieces(bucket: Bucket, key: str) -> list[ObjectInfo]:
    """What is stored of the unfinished part of an object."""
    return [found for found in listed(bucket, keys.tails(key)) if keys.owner(found.key) == key]


def is_beyond(error: Refused) -> bool:
    """Whether a range was refused because the object ends before it."""
    return error.code in ("InvalidRange", "416", "InvalidArgument")


def _info(key: str, size: int, modified: datetime, etag: str) -> ObjectInfo:
    # Lists tell the time more exactly than other replies do, and some stores quote an ETag only here or there.
    return ObjectInfo(key, size, modified.replace(microsecond=0), etag.strip('"'))
