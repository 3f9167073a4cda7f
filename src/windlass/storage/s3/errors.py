"""What botocore raises, in the words of the contract."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from windlass.storage.contract import (
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreMisconfigured,
    StoreUnavailable,
)

_MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "InsufficientCapacity", "507"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "OperationAborted"}
#: What an operator has to put right. It is no fault of the request, which can succeed then.
_SETTINGS = {
    "NoSuchBucket": "There is no such bucket: see AWS_STORAGE_BUCKET_NAME.",
    "InvalidBucketName": "The store does not take this bucket name: see AWS_STORAGE_BUCKET_NAME.",
    "InvalidAccessKeyId": "The store does not know this key: see AWS_ACCESS_KEY_ID.",
    "XAdminUserNotFound": "The store does not know this key: see AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "The secret does not belong to the key: see AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "The key has expired: see AWS_SESSION_TOKEN.",
    "InvalidToken": "The token does not belong to the key: see AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "The clocks of this machine and of the store differ by too much: set this one right.",
    "AccessDenied": "The key may not do this in the bucket: its policy lacks a permission.",
    "403": "The key may not do this in the bucket, or is not known there: see AWS_ACCESS_KEY_ID.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: see AWS_S3_REGION_NAME.",
    "PermanentRedirect": "The bucket is at another address: see AWS_S3_REGION_NAME and AWS_S3_ENDPOINT_URL.",
    "301": "The bucket is in another region: see AWS_S3_REGION_NAME.",
}


class Changed(StoreError):
    """The object was replaced since it was opened."""


class Refused(StoreError):
    """The store says that the request is wrong. ``code`` is its word for that."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


#: What stores answer that do not know a field of a request, or a number in it.
_NOT_KNOWN = {
    "NotImplemented",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidPartNumber",
    "TooManyParts",
    "XNotImplemented",
}
_OF_A_CHECKSUM = re.compile(r"checksum|crc32", re.IGNORECASE)
_OF_A_PART_NUMBER = re.compile(r"part\s?number|too many parts|number of parts", re.IGNORECASE)
_WITH_CHECKSUMS = {"CreateMultipartUpload", "UploadPart", "PutObject"}


def told(error: BotoCoreError | ClientError, key: str, checksum: str = "") -> StoreError:
    """The error to raise. Its text never names bucket, address or credential, but may name the operation.

    ``checksum``: what the settings have parts proved by."""
    if not isinstance(error, ClientError):
        return StoreUnavailable(f"{key}: the store cannot be asked: {_of_connection(error)}")
    code, status, said = _of_reply(error)
    operation = error.operation_name
    unknown = _not_known(code, operation, said, checksum)
    if unknown:
        return StoreMisconfigured(unknown)
    if code in _SETTINGS:
        return StoreUnavailable(f"{operation}: {_SETTINGS[code]}")
    if status in (401, 403):
        return StoreUnavailable(f"{operation}: {_SETTINGS['403']} ({code}: {said})")
    if code in _MISSING:
        return ObjectMissing(f"{key}: {code}")
    if code in _FULL or status == 507:
        return StoreFull(f"{key}: {code}")
    if code in _BUSY or status >= 500 or status == 429:
        return StoreUnavailable(f"{key}: {operation} failed with {code}")
    if status == 412:
        return Changed(f"{key}: it was replaced while it was read")
    return Refused(f"{key}: {operation} was refused with {code}: {said}", code)


def _not_known(code: str, operation: str, said: str, checksum: str) -> str:
    """What the store does not know of what our settings have it asked; empty for every other failure."""
    if code not in _NOT_KNOWN:
        return ""
    if _OF_A_PART_NUMBER.search(f"{code} {said}") or code in ("InvalidPartNumber", "TooManyParts"):
        return "The store allows fewer parts of one object than it is sent. Set AWS_S3_MAX_PARTS to what it allows."
    of_checksum = _OF_A_CHECKSUM.search(said) or code in ("NotImplemented", "XNotImplemented")
    if checksum == "crc32" and operation in _WITH_CHECKSUMS and of_checksum:
        return "The store does not know CRC32 checksums. Set AWS_S3_CHECKSUM=md5."
    return ""


def _of_connection(error: BotoCoreError) -> str:
    """The kind of failure; botocore's own texts name the address."""
    return type(error).__name__


def _of_reply(error: ClientError) -> tuple[str, int, str]:
    reply: Any = error.response
    found = reply.get("Error", {})
    status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(found.get("Code", status)), int(status), str(found.get("Message", ""))[:200]
