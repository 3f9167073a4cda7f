"""The requests of a multipart upload, each once. What they mean together is the writers' business."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from windlass.storage.contract import Buffer, StoreError, UploadedPart
from windlass.storage.s3.body import Body
from windlass.storage.s3.bucket import Bucket, proof
from windlass.storage.s3.made import Tag

#: What bytes are is found out later, and said with each download.
TYPE = "application/octet-stream"

#: The metadata of an object that says which upload it became of.
MARK = "windlass-upload"

#: Uploads whose parts are proved by Content-MD5 alone. With a checksum of its own the store wants one of every part
#: when the object is completed, and of a copied part not every store tells the right one.
COPYING = "md5"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that the store still keeps parts for."""

    key: str
    upload: str
    begun_at: datetime


def begin(bucket: Bucket, key: str, checksum: str, mark: str) -> str:
    """The new upload's id. The object that it becomes can be told from any other by ``mark``."""
    wanted: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if checksum == "crc32" else {}
    with bucket.call(key) as s3:
        made = s3.create_multipart_upload(
            Bucket=bucket.name,
            Key=bucket.path(key),
            ContentType=TYPE,
            Metadata={MARK: mark},
            **wanted,
            **bucket.encryption(),
        )
    return made["UploadId"]


def send(
    bucket: Bucket, key: str, upload: str, number: int, data: Buffer, checksum: str, *, claimed: Buffer | None = None
) -> Tag:
    """Store one part, which the store proves by its checksum. Raises ObjectMissing where the upload has ended.

    ``claimed``: bytes to send the checksum of, to see whether the store looks at it.
    """
    body: Any = Body.of(data)  # the stubs know bytes only
    said = proof(data if claimed is None else claimed, checksum)
    with bucket.call(key) as s3:
        reply = s3.upload_part(
            Bucket=bucket.name,
            Key=bucket.path(key),
            UploadId=upload,
            PartNumber=number,
            Body=body,
            **said,
        )
    sent = said.get("ChecksumCRC32", "")
    if sent and reply.get("ChecksumCRC32", sent) != sent:
        raise StoreError(f"{key}: part {number} has another checksum at the store")
    return Tag(reply["ETag"], sent)


def copy(bucket: Bucket, key: str, upload: str, number: int, source: str, start: int, size: int) -> Tag:
    """Store one part out of a finished object, inside the store. Raises ObjectMissing, Refused beyond its end."""
    with bucket.call(source) as s3:
        reply = s3.upload_part_copy(
            Bucket=bucket.name,
            Key=bucket.path(key),
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket.name, "Key": bucket.path(source)},
            CopySourceRange=f"bytes={start}-{start + size - 1}",
        )
    return Tag(reply["CopyPartResult"]["ETag"])


def must_be_there(bucket: Bucket, key: str, upload: str) -> None:
    """Raises ObjectMissing where the upload was completed, given up or never begun."""
    with bucket.call(key) as s3:
        s3.list_parts(Bucket=bucket.name, Key=bucket.path(key), UploadId=upload, MaxParts=1)


def parts(bucket: Bucket, key: str, upload: str, checksum: str, *, most: int | None = None) -> list[Tag]:
    """The first ``most`` parts that the store has, which must be numbered from 1 without a gap.

    Raises ObjectMissing as above.
    """
    found: list[Tag] = []
    for part in _listed(bucket, key, upload):
        if most is not None and len(found) == most:
            break
        if part["PartNumber"] != len(found) + 1:
            raise StoreError(f"{key}: the store lacks part {len(found) + 1}")
        found.append(Tag(part["ETag"], part.get("ChecksumCRC32", "") if checksum == "crc32" else ""))
    return found


def sent(bucket: Bucket, key: str, upload: str) -> list[UploadedPart]:
    """Every part that the store has, by number, whatever is missing. Raises ObjectMissing as above."""
    return [
        UploadedPart(part["PartNumber"], part["ETag"].strip('"'), part["Size"]) for part in _listed(bucket, key, upload)
    ]


def size_of(bucket: Bucket, key: str, upload: str) -> int:
    """The bytes of all parts that the store has."""
    return sum(part["Size"] for part in _listed(bucket, key, upload))


def complete(bucket: Bucket, key: str, upload: str, tags: Sequence[tuple[int, Tag]]) -> None:
    """Make the object of exactly these parts; the store refuses where it has others under their numbers.

    Asked once and waited for: some stores take minutes, and a second request beside the first would be told nonsense.
    """
    listed: Any = [tag.part(number) for number, tag in tags]
    with bucket.call(key, patient=True) as s3:
        s3.complete_multipart_upload(
            Bucket=bucket.name,
            Key=bucket.path(key),
            UploadId=upload,
            MultipartUpload={"Parts": listed},
        )


def abort(bucket: Bucket, key: str, upload: str) -> None:
    """Raises ObjectMissing where it has ended."""
    with bucket.call(key) as s3:
        s3.abort_multipart_upload(Bucket=bucket.name, Key=bucket.path(key), UploadId=upload)


def unfinished(bucket: Bucket, prefix: str) -> Iterator[Unfinished]:
    """Every upload that has not ended, of keys that begin so."""
    for page in bucket.pages(prefix, "list_multipart_uploads", Prefix=bucket.path(prefix)):
        for found in page.get("Uploads", []):
            yield Unfinished(bucket.key(found["Key"]), found["UploadId"], found["Initiated"])


def _listed(bucket: Bucket, key: str, upload: str) -> Iterator[Any]:
    for page in bucket.pages(key, "list_parts", Key=bucket.path(key), UploadId=upload):
        yield from page.get("Parts", [])
