"""Translate the errors of botocore into those of the contract."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from windlass.storage.contract import ObjectMissing, StoreError, StoreFull, StoreMisconfigured, StoreUnavailable

_MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "InsufficientCapacity", "507"}
#: Codes of stores over a file system whose directory was deleted while an object was put in it.
DIRECTORY_VANISHED = {"ExistingObjectIsDirectory"}
_BUSY = {
    "SlowDown",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "OperationAborted",
    *DIRECTORY_VANISHED,
}
#: Errors of the configuration, with the setting to correct. The same request can succeed afterwards.
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


class ObjectReplaced(StoreError):
    """The object was replaced after it was opened."""


class RequestRejected(StoreError):
    """The store rejects the request as wrong. ``code`` is its error code."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


#: Codes of stores that do not support a field of a request, or its value.
_UNSUPPORTED = {
    "NotImplemented",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidPartNumber",
    "TooManyParts",
    "XNotImplemented",
}
_CHECKSUM_TEXT = re.compile(r"checksum|crc32", re.IGNORECASE)
_PART_NUMBER_TEXT = re.compile(r"part\s?number|too many parts|number of parts", re.IGNORECASE)
_CHECKSUM_OPERATIONS = {"CreateMultipartUpload", "UploadPart", "PutObject"}


def store_error(error: BotoCoreError | ClientError, key: str, checksum: str = "") -> StoreError:
    """Return the error to raise. Its text never names bucket, address or credential; it may name the operation.

    ``checksum``: the setting AWS_S3_CHECKSUM.
    """
    if not isinstance(error, ClientError):  # botocore's own text names the address
        return StoreUnavailable(f"{key}: the store cannot be reached: {type(error).__name__}")
    code, status, text = _reply(error)
    operation = error.operation_name
    unsupported = _unsupported(code, operation, text, checksum)
    if unsupported:
        return StoreMisconfigured(unsupported)
    if code in _SETTINGS:
        return StoreUnavailable(f"{operation}: {_SETTINGS[code]}")
    if status in (401, 403):
        return StoreUnavailable(f"{operation}: {_SETTINGS['403']} ({code}: {text})")
    if code in _MISSING:
        return ObjectMissing(f"{key}: {code}")
    if code in _FULL or status == 507:
        return StoreFull(f"{key}: {code}")
    if code in _BUSY or status >= 500 or status == 429:
        return StoreUnavailable(f"{key}: {operation} failed with {code}")
    if status == 412:
        return ObjectReplaced(f"{key}: it was replaced after it was opened")
    return RequestRejected(f"{key}: {operation} was refused with {code}: {text}", code)


def _unsupported(code: str, operation: str, text: str, checksum: str) -> str:
    """Describe the setting that the store does not support; empty for every other failure."""
    if code not in _UNSUPPORTED:
        return ""
    if _PART_NUMBER_TEXT.search(f"{code} {text}") or code in ("InvalidPartNumber", "TooManyParts"):
        return "The store allows fewer parts of one object than it is sent. Set AWS_S3_MAX_PARTS to what it allows."
    about_checksum = _CHECKSUM_TEXT.search(text) or code in ("NotImplemented", "XNotImplemented")
    if checksum == "crc32" and operation in _CHECKSUM_OPERATIONS and about_checksum:
        return "The store does not know CRC32 checksums. Set AWS_S3_CHECKSUM=md5."
    return ""


def _reply(error: ClientError) -> tuple[str, int, str]:
    reply: Any = error.response
    details = reply.get("Error", {})
    status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(details.get("Code", status)), int(status), str(details.get("Message", ""))[:200]
