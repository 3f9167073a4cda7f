"""Requests that others may send to the bucket, signed with our key for a short time and for nothing else."""

from __future__ import annotations

import base64
from typing import Any

from windlass.storage.contract import SignedRequest
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.multipart import TYPE

#: What the protocol calls these parameters where they stand in a request's head or in a form.
_FIELDS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ContentType": "Content-Type",
}


def part(bucket: Bucket, key: str, upload: str, number: int, *, seconds: int, size: int | None) -> SignedRequest:
    """One part of a multipart upload."""
    named = _named(bucket, key) | {"UploadId": upload, "PartNumber": number}
    return SignedRequest("PUT", _url(bucket, "upload_part", named | _length(size), seconds))


def put(bucket: Bucket, key: str, *, seconds: int, size: int, sha256: str | None) -> SignedRequest:
    """The whole as the body. A browser says its length by itself, and the checksum stands in the URL."""
    said = _said(bucket, sha256)
    url = _url(bucket, "put_object", _named(bucket, key) | said | _length(size), seconds)
    headers = {_FIELDS[name]: value for name, value in said.items() if name != "ChecksumSHA256"}
    return SignedRequest("PUT", url, headers=headers)


def form(bucket: Bucket, key: str, *, seconds: int, sizes: tuple[int, int], sha256: str | None) -> SignedRequest:
    """The whole as a form, held by a policy to its size, type and checksum."""
    fields = {_FIELDS[name]: value for name, value in _said(bucket, sha256).items()}
    fields["success_action_status"] = "201"
    conditions: list[Any] = [{name: value} for name, value in fields.items()]
    conditions.append(["content-length-range", *sizes])
    made = bucket.presigner().generate_presigned_post(
        bucket.name, bucket.path(key), Fields=fields, Conditions=conditions, ExpiresIn=seconds
    )
    return SignedRequest("POST", made["url"], fields=made["fields"])


def _said(bucket: Bucket, sha256: str | None) -> dict[str, str]:
    """What the bytes are found to be is known later; until then they are nothing that a browser would run."""
    proof = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()} if sha256 else {}
    return {"ContentType": TYPE} | proof | bucket.encryption()


def _length(size: int | None) -> dict[str, Any]:
    """That of an empty body is not signed: not every store counts a Content-Length of 0 among the headers."""
    return {"ContentLength": size} if size else {}


def _named(bucket: Bucket, key: str) -> dict[str, Any]:
    return {"Bucket": bucket.name, "Key": bucket.path(key)}


def _url(bucket: Bucket, operation: str, parameters: dict[str, Any], seconds: int) -> str:
    return bucket.presigner().generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds, HttpMethod="PUT")
