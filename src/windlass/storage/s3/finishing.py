"""From parts to an object, and from nothing left to be done to nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from windlass.storage.contract import ObjectMissing, StoreError, SyncFailed
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.errors import Refused
from windlass.storage.s3.made import Made, Tag

#: The store has others than the named parts, or lacks one.
_OTHER_PARTS = ("InvalidPart", "InvalidPartOrder", "BadDigest")


#: When a store whose answer was lost is asked what became of an object (seconds after one another).
PAUSES = (0.0, 1.0, 2.0, 4.0)


def parts_of(bucket: Bucket, key: str, made: Made) -> list[Tag]:
    """The parts that ``made`` tells of, as the store has them.

    Raises SyncFailed where somebody has put another in the place of one, ObjectMissing where the upload has ended.
    """
    found = multipart.parts(bucket, key, made.upload, made.checksum, most=made.parts)
    if not made.names(found):
        raise SyncFailed(f"{key}: the store has other parts than those that were acknowledged")
    return found


def complete(bucket: Bucket, key: str, made: Made, tags: Sequence[Tag], size: int) -> None:
    """Make the object of these parts, or find it made: the answer to an earlier request may have been lost."""
    try:
        multipart.complete(bucket, key, made.upload, list(enumerate(tags, 1)))
    except StoreError as error:
        # Where the connection broke, the store may be at it still.
        if any(_is_whole(bucket, key, made, size, after=pause) for pause in (PAUSES if error.transient else (0.0,))):
            return
        if isinstance(error, Refused) and error.code in _OTHER_PARTS:
            raise SyncFailed(str(error)) from error
        raise


def must_be_whole(bucket: Bucket, key: str, made: Made, size: int) -> None:
    """The upload has ended: by becoming this object? Raises ObjectMissing."""
    if not _is_whole(bucket, key, made, size):
        raise ObjectMissing(f"{key}: its upload has ended, and what lies there is not what became of it")


def _is_whole(bucket: Bucket, key: str, made: Made, size: int, after: float = 0.0) -> bool:
    time.sleep(after)
    try:
        return objects.mark(bucket, key) == (made.mark, size)
    except ObjectMissing:
        return False


def remove_pieces(bucket: Bucket, key: str) -> int:
    """The object is whole, or is not to be. Returns the bytes freed; what cannot be deleted is left to the sweep."""
    freed = 0
    with suppress(StoreError):
        for piece in objects.pieces(bucket, key):
            objects.delete(bucket, piece.key)
            freed += piece.size
    return freed
