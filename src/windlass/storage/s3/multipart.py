"""Multipart uploads: the state of an unfinished object, the requests, one function each, and completing an object, also
when an earlier reply was lost or a process died before recording the completion."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO

from windlass.storage.contract import Buffer, ObjectMissing, State, StoreError, SyncFailed, UploadedPart
from windlass.storage.s3 import objects
from windlass.storage.s3.errors import RequestRejected
from windlass.storage.s3.retrying_client import CONTENT_TYPE, UPLOAD_MARK, Bucket, RequestBody, checksum_fields

#: The checksum kind of uploads with copied parts. With CRC32 the store demands the checksum of every part on
#: completion, and not every store reports the right one for a copied part.
COPY_CHECKSUM = "md5"
#: ``MultipartState.chain`` of no parts.
NO_PARTS = hashlib.sha256().hexdigest()
#: Error codes for parts that the store does not have, or has with other bytes.
_OTHER_PARTS = ("InvalidPart", "InvalidPartOrder", "BadDigest")
#: Seconds before each look at the object when the reply to its completion was lost.
PAUSES = (0.0, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class PartTag:
    """How the store identifies a part: its ETag, and its checksum if the upload has checksums."""

    etag: str
    crc32: str = ""

    def entry(self, number: int) -> dict[str, Any]:
        """Return the part's entry in the completing request."""
        fields: dict[str, Any] = {"PartNumber": number, "ETag": self.etag}
        return fields | ({"ChecksumCRC32": self.crc32} if self.crc32 else {})


@dataclass(frozen=True, slots=True)
class TailObject:
    """An object that holds bytes of the part that is not full yet."""

    token: str
    size: int


@dataclass(frozen=True, slots=True)
class MultipartState:
    """The state of an unfinished object: ``parts`` parts of ``part_size`` bytes, then the ``tail``.

    ``mark``: metadata by which the completed object is recognized. ``chain``: a hash over the tags of all parts in
    order. The parts that the store lists later are compared with it, so the state stays small and a replaced part is
    detected. ``gone``: tail objects that only earlier states need; the receiver of this state may delete them.
    """

    upload: str
    mark: str
    part_size: int
    checksum: str
    parts: int = 0
    chain: str = NO_PARTS
    tail: tuple[TailObject, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        return self.parts * self.part_size + sum(piece.size for piece in self.tail)

    def with_part(self, tag: PartTag) -> MultipartState:
        """Add the next part, which includes the bytes of the tail."""
        return replace(self, parts=self.parts + 1, chain=_link(self.chain, tag), tail=())

    def matches(self, tags: Sequence[PartTag]) -> bool:
        """Whether these are the parts that this state describes."""
        chain = NO_PARTS
        for tag in tags:
            chain = _link(chain, tag)
        return len(tags) == self.parts and chain == self.chain

    def to_state(self) -> State:
        return {
            "upload": self.upload,
            "mark": self.mark,
            "part_size": self.part_size,
            "checksum": self.checksum,
            "parts": self.parts,
            "chain": self.chain,
            "tail": [[piece.token, piece.size] for piece in self.tail],
            "gone": list(self.gone),
        }

    @classmethod
    def from_state(cls, key: str, state: State) -> MultipartState:
        """Raises ObjectMissing if the state is not that of a multipart upload."""
        if "upload" not in state:
            raise ObjectMissing(f"{objects.check_key(key)}: this is not the state of an unfinished object")
        tail = tuple(TailObject(token, size) for token, size in state["tail"])
        fields = {name: state[name] for name in ("upload", "mark", "part_size", "checksum", "parts", "chain")}
        return cls(**fields, tail=tail, gone=tuple(state["gone"]))


@dataclass(frozen=True, slots=True)
class ChunkState:
    """The state of a region: one part of the object."""

    number: int
    tag: PartTag

    def to_state(self) -> State:
        return {"part": self.number, "etag": self.tag.etag, "crc32": self.tag.crc32}

    @classmethod
    def from_state(cls, state: State) -> ChunkState:
        return cls(state["part"], PartTag(state["etag"], state["crc32"]))


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload that was neither completed nor aborted."""

    key: str
    upload: str
    created_at: datetime


def create(bucket: Bucket, key: str, checksum: str, mark: str) -> str:
    """Create an upload; return its id. ``mark`` distinguishes the object made of it from any other."""
    algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if checksum == "crc32" else {}
    with bucket.call(key) as s3:
        reply = s3.create_multipart_upload(
            **bucket.address(key),
            ContentType=CONTENT_TYPE,
            Metadata={UPLOAD_MARK: mark},
            **algorithm,
            **bucket.encryption(),
        )
    return reply["UploadId"]


def upload_part(
    bucket: Bucket, key: str, upload: str, number: int, data: Buffer, checksum: str, *, claimed: Buffer | None = None
) -> PartTag:
    """Send one part with its checksum. Raises ObjectMissing if the upload has ended.

    ``claimed``: send the checksum of these bytes instead, to test whether the store verifies it.
    """
    body: Any = RequestBody.of(data)  # the stubs accept bytes only
    fields = checksum_fields(data if claimed is None else claimed, checksum)
    with bucket.call(key) as s3:
        reply = s3.upload_part(**bucket.address(key), UploadId=upload, PartNumber=number, Body=body, **fields)
    sent = fields.get("ChecksumCRC32", "")
    if sent and reply.get("ChecksumCRC32", sent) != sent:
        raise StoreError(f"{key}: part {number} has another checksum at the store")
    return PartTag(reply["ETag"], sent)


def copy_part(bucket: Bucket, key: str, upload: str, number: int, source: str, start: int, size: int) -> PartTag:
    """Copy a range of a finished object inside the store. Raises ObjectMissing, RequestRejected past its end."""
    with bucket.call(source) as s3:
        reply = s3.upload_part_copy(
            **bucket.address(key),
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket.name, "Key": bucket.path(source)},
            CopySourceRange=f"bytes={start}-{start + size - 1}",
        )
    return PartTag(reply["CopyPartResult"]["ETag"])


def require_upload(bucket: Bucket, key: str, upload: str) -> None:
    """Raise ObjectMissing if the upload was completed, aborted or never created."""
    with bucket.call(key) as s3:
        s3.list_parts(**bucket.address(key), UploadId=upload, MaxParts=1)


def part_tags(bucket: Bucket, key: str, upload: str, checksum: str, *, most: int | None = None) -> list[PartTag]:
    """List the tags of the first ``most`` parts, which must be numbered from 1 without a gap.

    Raises ObjectMissing as ``require_upload`` does, StoreError for a gap.
    """
    tags: list[PartTag] = []
    for part in _list_parts(bucket, key, upload):
        if most is not None and len(tags) == most:
            break
        if part["PartNumber"] != len(tags) + 1:
            raise StoreError(f"{key}: the store lacks part {len(tags) + 1}")
        tags.append(PartTag(part["ETag"], part.get("ChecksumCRC32", "") if checksum == "crc32" else ""))
    return tags


def uploaded_parts(bucket: Bucket, key: str, upload: str) -> list[UploadedPart]:
    """List every part that the store has, by number, with any gaps. Raises ObjectMissing as ``require_upload`` does."""
    listed = _list_parts(bucket, key, upload)
    return [UploadedPart(part["PartNumber"], part["ETag"].strip('"'), part["Size"]) for part in listed]


def uploaded_size(bucket: Bucket, key: str, upload: str) -> int:
    return sum(part["Size"] for part in _list_parts(bucket, key, upload))


def complete(bucket: Bucket, key: str, upload: str, tags: Sequence[PartTag]) -> None:
    """Make the object of exactly these parts; the store refuses if it has others under their numbers.

    The request is sent once with a long timeout: some stores take minutes, and a retry beside it would fail.
    """
    parts: Any = [tag.entry(number) for number, tag in enumerate(tags, 1)]
    with bucket.call(key, slow=True) as s3:
        s3.complete_multipart_upload(**bucket.address(key), UploadId=upload, MultipartUpload={"Parts": parts})


def abort(bucket: Bucket, key: str, upload: str) -> None:
    """Raises ObjectMissing if the upload has ended."""
    with bucket.call(key) as s3:
        s3.abort_multipart_upload(**bucket.address(key), UploadId=upload)


def open_uploads(bucket: Bucket, prefix: str) -> Iterator[OpenUpload]:
    """List every upload that has not ended and whose key starts with ``prefix``."""
    for page in bucket.pages(prefix, "list_multipart_uploads", Prefix=bucket.path(prefix)):
        for listed in page.get("Uploads", []):
            yield OpenUpload(bucket.key(listed["Key"]), listed["UploadId"], listed["Initiated"])


def put_from(bucket: Bucket, key: str, source: BinaryIO, size: int) -> None:
    """Store ``size`` bytes of ``source`` in one request, or by a multipart upload if they are more than a part.

    After an error nothing is stored. Raises StoreError if the source ends early, and the errors of ``source.read``.
    """
    part_size = bucket.options.part_size_for(size)
    if size <= part_size:
        objects.put(bucket, key, _read_exactly(source, size, key))
        return
    checksum = bucket.options.checksum
    upload = create(bucket, key, checksum, objects.new_token())
    try:
        tags: list[PartTag] = []
        for start in range(0, size, part_size):
            data = _read_exactly(source, min(part_size, size - start), key)
            tags.append(upload_part(bucket, key, upload, len(tags) + 1, data, checksum))
        complete(bucket, key, upload, tags)
    except BaseException:  # also of the source, whatever it raises
        with suppress(StoreError):  # the sweep finds it
            abort(bucket, key, upload)
        raise


def verified_tags(bucket: Bucket, key: str, state: MultipartState) -> list[PartTag]:
    """Return the tags of the parts that ``state`` describes, as the store has them.

    Raises SyncFailed if a part was replaced, ObjectMissing if the upload has ended.
    """
    tags = part_tags(bucket, key, state.upload, state.checksum, most=state.parts)
    if not state.matches(tags):
        raise SyncFailed(f"{key}: the store has other parts than those that were acknowledged")
    return tags


def complete_once(bucket: Bucket, key: str, state: MultipartState, tags: Sequence[PartTag], size: int) -> None:
    """Make the object of these parts, or find that an earlier request made it. Raises SyncFailed, StoreError."""
    try:
        complete(bucket, key, state.upload, tags)
    except StoreError as error:
        # After a broken connection the store may still be working on it.
        for pause in PAUSES if error.transient else PAUSES[:1]:
            time.sleep(pause)
            if _is_completed(bucket, key, state, size):
                return
        if isinstance(error, RequestRejected) and error.code in _OTHER_PARTS:
            raise SyncFailed(str(error)) from error
        raise


def require_completed(bucket: Bucket, key: str, state: MultipartState, size: int) -> None:
    """Raise ObjectMissing unless the ended upload became the object that is stored under the key."""
    if not _is_completed(bucket, key, state, size):
        raise ObjectMissing(f"{key}: its upload has ended, and the stored object was not made of it")


def reopen(bucket: Bucket, key: str, state: MultipartState) -> MultipartState:
    """Make a completed object unfinished again: a new upload with what ``state`` describes, copied from the object.

    Needed when a process died between completing and recording: the client sends the last bytes again.
    Raises ObjectMissing if there is no object or it is shorter, which means that the upload was aborted.
    """
    if objects.head(bucket, key).size < state.offset:
        raise ObjectMissing(f"{key}: its upload has ended")
    mark, size = objects.new_token(), state.part_size
    upload = create(bucket, key, COPY_CHECKSUM, mark)
    reopened = replace(state, upload=upload, mark=mark, checksum=COPY_CHECKSUM, parts=0, chain=NO_PARTS, tail=())
    copies = [
        bucket.senders.submit(copy_part, bucket, key, upload, number + 1, key, number * size, size)
        for number in range(state.parts)
    ]
    for copied in copies:
        reopened = reopened.with_part(copied.result())
    return replace(reopened, tail=_copy_tail(bucket, key, reopened.offset, state.offset - reopened.offset))


def _copy_tail(bucket: Bucket, key: str, start: int, size: int) -> tuple[TailObject, ...]:
    """Store the tail again; its objects were deleted on completion."""
    if not size:
        return ()
    piece = TailObject(objects.new_token(), size)
    objects.put(bucket, objects.tail_key(key, piece.token), objects.get(bucket, key, start, size))
    return (piece,)


def _is_completed(bucket: Bucket, key: str, state: MultipartState, size: int) -> bool:
    try:
        return objects.mark_and_size(bucket, key) == (state.mark, size)
    except ObjectMissing:
        return False


def _read_exactly(source: BinaryIO, size: int, key: str) -> RequestBody:
    data = RequestBody()
    while len(data) < size:
        block = source.read(size - len(data))
        if not block:
            raise StoreError(f"{key}: its source ends {size - len(data)} bytes too early")
        data += block
    return data


def _list_parts(bucket: Bucket, key: str, upload: str) -> Iterator[Any]:
    for page in bucket.pages(key, "list_parts", Key=bucket.path(key), UploadId=upload):
        yield from page.get("Parts", [])


def _link(chain: str, tag: PartTag) -> str:
    return hashlib.sha256(f"{chain} {tag.etag} {tag.crc32}".encode()).hexdigest()
