"""Complete multipart uploads, also when an earlier reply was lost or a process died before recording the completion."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from windlass.storage.contract import ObjectMissing, StoreError, SyncFailed
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.client import Bucket
from windlass.storage.s3.errors import RequestRejected
from windlass.storage.s3.multipart import COPY_CHECKSUM, NO_PARTS, MultipartState, PartTag, TailObject

#: Error codes for parts that the store does not have, or has with other bytes.
_OTHER_PARTS = ("InvalidPart", "InvalidPartOrder", "BadDigest")
#: Seconds before each look at the object when the reply to its completion was lost.
PAUSES = (0.0, 1.0, 2.0, 4.0)


def verified_tags(bucket: Bucket, key: str, state: MultipartState) -> list[PartTag]:
    """Return the tags of the parts that ``state`` describes, as the store has them.

    Raises SyncFailed if a part was replaced, ObjectMissing if the upload has ended.
    """
    tags = multipart.part_tags(bucket, key, state.upload, state.checksum, most=state.parts)
    if not state.matches(tags):
        raise SyncFailed(f"{key}: the store has other parts than those that were acknowledged")
    return tags


def complete_once(bucket: Bucket, key: str, state: MultipartState, tags: Sequence[PartTag], size: int) -> None:
    """Make the object of these parts, or find that an earlier request made it. Raises SyncFailed, StoreError."""
    try:
        multipart.complete(bucket, key, state.upload, tags)
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
    upload = multipart.create(bucket, key, COPY_CHECKSUM, mark)
    reopened = replace(state, upload=upload, mark=mark, checksum=COPY_CHECKSUM, parts=0, chain=NO_PARTS, tail=())
    copies = [
        bucket.senders.submit(multipart.copy_part, bucket, key, upload, number + 1, key, number * size, size)
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
