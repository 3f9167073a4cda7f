"""An upload that the store has completed, of which our records know nothing: this process's predecessor died between
the two. The client will send the last bytes again, so the object becomes one in the making once more."""

from __future__ import annotations

from dataclasses import replace

from windlass.storage.contract import ObjectMissing
from windlass.storage.s3 import keys, multipart, objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.made import NO_PARTS, Made, Piece


def revive(bucket: Bucket, key: str, made: Made) -> Made:
    """A new upload that holds what the old one held when ``made`` was kept, copied out of the finished object.

    Raises ObjectMissing where there is no such object, or it is shorter: then the upload was given up.
    """
    if objects.head(bucket, key).size < made.offset:
        raise ObjectMissing(f"{key}: its upload has ended")
    mark, size = keys.new_token(), made.part_size
    upload = multipart.begin(bucket, key, multipart.COPYING, mark)
    found = replace(made, upload=upload, mark=mark, checksum=multipart.COPYING, parts=0, chain=NO_PARTS, tail=())
    copies = [
        bucket.senders.submit(multipart.copy, bucket, key, upload, number + 1, key, number * size, size)
        for number in range(made.parts)
    ]
    for copied in copies:
        found = found.with_part(copied.result())
    return replace(found, tail=_tail(bucket, key, found.offset, made.offset - found.offset))


def _tail(bucket: Bucket, key: str, start: int, size: int) -> tuple[Piece, ...]:
    """The pieces went when the object was completed."""
    if not size:
        return ()
    piece = Piece(keys.new_token(), size)
    objects.put(bucket, keys.tail(key, piece.token), objects.get(bucket, key, start, size))
    return (piece,)
