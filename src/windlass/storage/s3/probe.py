"""Whether the bucket does what uploads need of it, tried out; what is wrong is said in the words of the settings."""

from __future__ import annotations

import secrets
from contextlib import suppress

from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.s3 import keys, multipart, objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.errors import Refused
from windlass.storage.s3.options import LEAST_PART

_NOT_PROVED = (
    "The store takes bytes that do not have the checksum sent with them: with AWS_S3_CHECKSUM={now} nothing is proved. "
    "Set AWS_S3_CHECKSUM={other}."
)


def check(bucket: Bucket, *, thorough: bool) -> None:
    """Raises StoreError with the reason."""
    key, data = f".check-{keys.new_token()}", secrets.token_bytes(64)
    try:
        objects.put(bucket, key, data)
        if bytes(objects.get(bucket, key, 0, len(data))) != data:
            raise StoreError("The store does not give back what was written to it.")
    finally:
        with suppress(StoreError):
            objects.delete(bucket, key)
    if thorough:
        _must_be_gone(bucket, key)
        _check_multipart(bucket, key)


def _must_be_gone(bucket: Bucket, key: str) -> None:
    try:
        objects.head(bucket, key)
    except ObjectMissing:
        return
    raise StoreError("The key may not delete objects in the bucket.")


def _check_multipart(bucket: Bucket, key: str) -> None:
    """An object of two parts, one of them copied; and a part with a wrong checksum, which must be refused."""
    checksum, data = bucket.options.checksum, bytes(LEAST_PART)
    try:
        upload = multipart.begin(bucket, key, checksum, key)
        _must_prove(bucket, key, upload)
        tag = multipart.send(bucket, key, upload, 1, data, checksum)
        if multipart.parts(bucket, key, upload, checksum) != [tag]:
            raise StoreError("The store lists other parts than those that were sent to it.")
        _must_take_most_parts(bucket, key)
        multipart.complete(bucket, key, upload, [(1, tag)])
        upload = multipart.begin(bucket, key, multipart.COPYING, key)
        copied = multipart.copy(bucket, key, upload, 1, key, 0, len(data))
        multipart.complete(bucket, key, upload, [(1, copied)])
    finally:
        with suppress(StoreError):
            objects.delete(bucket, key)
        with suppress(StoreError):
            for begun in list(multipart.unfinished(bucket, key)):
                multipart.abort(bucket, key, begun.upload)


def _must_take_most_parts(bucket: Bucket, key: str) -> None:
    """The part with the highest number that an object may come to have."""
    kind, most = bucket.options.checksum, bucket.options.max_parts
    upload = multipart.begin(bucket, key, kind, key)
    try:
        multipart.send(bucket, key, upload, most, b"last", kind)
    except Refused as error:
        raise StoreError(
            f"The store does not take part {most} of an object ({error.code}). Set AWS_S3_MAX_PARTS to what it allows."
        ) from error
    finally:
        multipart.abort(bucket, key, upload)


def _must_prove(bucket: Bucket, key: str, upload: str) -> None:
    kind = bucket.options.checksum
    try:
        multipart.send(bucket, key, upload, 2, b"right", kind, claimed=b"wrong")
    except Refused:
        return
    raise StoreError(_NOT_PROVED.format(now=kind, other="md5" if kind == "crc32" else "crc32"))
