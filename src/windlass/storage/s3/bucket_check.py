"""Test whether the bucket supports what uploads need; name the setting to change if it does not."""

from __future__ import annotations

import secrets
from contextlib import suppress

from windlass.kernel import object_keys
from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.errors import RequestRejected
from windlass.storage.s3.options import MIN_PART_SIZE
from windlass.storage.s3.retrying_client import Bucket

_NOT_VERIFIED = (
    "The store accepts bytes that do not match their checksum: with AWS_S3_CHECKSUM={now} it verifies nothing. "
    "Set AWS_S3_CHECKSUM={other}."
)


def check(bucket: Bucket, *, parts: bool, thorough: bool) -> None:
    """Put, read and delete an object. ``parts``: send a part as well, since a bucket may take objects and no parts.

    Raises StoreError with the reason.
    """
    key, data = f"{object_keys.CHECKS}{objects.new_token()}", secrets.token_bytes(64)
    try:
        objects.put(bucket, key, data)
        if bytes(objects.get(bucket, key, 0, len(data))) != data:
            raise StoreError("The store does not return what was written to it.")
    finally:
        with suppress(StoreError):
            objects.delete(bucket, key)
    if parts:
        _send_part(bucket, key)
    if thorough:
        _require_deleted(bucket, key)
        _check_multipart(bucket, key)


def _send_part(bucket: Bucket, key: str) -> None:
    """Send the only part of an upload that is not completed."""
    upload = multipart.create(bucket, key, bucket.options.checksum, key)
    try:
        multipart.upload_part(bucket, key, upload, 1, b"part", bucket.options.checksum)
    finally:
        with suppress(StoreError):
            multipart.abort(bucket, key, upload)


def _require_deleted(bucket: Bucket, key: str) -> None:
    try:
        objects.head(bucket, key)
    except ObjectMissing:
        return
    raise StoreError("The key may not delete objects in the bucket.")


def _check_multipart(bucket: Bucket, key: str) -> None:
    """Make an object of a part and one of a copied part; a part with a wrong checksum must be refused."""
    checksum, data = bucket.options.checksum, bytes(MIN_PART_SIZE)
    try:
        upload = multipart.create(bucket, key, checksum, key)
        _require_verification(bucket, key, upload)
        tag = multipart.upload_part(bucket, key, upload, 1, data, checksum)
        if multipart.part_tags(bucket, key, upload, checksum) != [tag]:
            raise StoreError("The store lists other parts than those that were sent to it.")
        _require_max_parts(bucket, key)
        multipart.complete(bucket, key, upload, [tag])
        upload = multipart.create(bucket, key, multipart.COPY_CHECKSUM, key)
        copied = multipart.copy_part(bucket, key, upload, 1, key, 0, len(data))
        multipart.complete(bucket, key, upload, [copied])
    finally:
        with suppress(StoreError):
            objects.delete(bucket, key)
        with suppress(StoreError):
            for unfinished in list(multipart.open_uploads(bucket, key)):
                multipart.abort(bucket, key, unfinished.upload)


def _require_max_parts(bucket: Bucket, key: str) -> None:
    """Send the part with the highest number that the settings allow."""
    kind, most = bucket.options.checksum, bucket.options.max_parts
    upload = multipart.create(bucket, key, kind, key)
    try:
        multipart.upload_part(bucket, key, upload, most, b"last", kind)
    except RequestRejected as error:
        raise StoreError(
            f"The store rejects part {most} of an object ({error.code}). Set AWS_S3_MAX_PARTS to what it allows."
        ) from error
    finally:
        multipart.abort(bucket, key, upload)


def _require_verification(bucket: Bucket, key: str, upload: str) -> None:
    kind = bucket.options.checksum
    try:
        multipart.upload_part(bucket, key, upload, 2, b"right", kind, claimed=b"wrong")
    except RequestRejected:
        return
    raise StoreError(_NOT_VERIFIED.format(now=kind, other="md5" if kind == "crc32" else "crc32"))
