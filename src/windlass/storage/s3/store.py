"""Objects in a bucket. An unfinished one is a multipart upload, and beside it pieces of the part that is not full."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from windlass.storage.contract import Buffer, Capabilities, ObjectInfo, ObjectMissing, State, Store, StoreError, Writer
from windlass.storage.registry import Guard, guarded, no_guard
from windlass.storage.s3 import keys, multipart, objects, probe, reviving
from windlass.storage.s3.body import Body
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.chunk_writer import ChunkWriter
from windlass.storage.s3.direct import DirectS3
from windlass.storage.s3.finishing import complete, must_be_whole, parts_of, remove_pieces
from windlass.storage.s3.made import Chunk, Made, Tag
from windlass.storage.s3.memory import Memory
from windlass.storage.s3.options import LEAST_PART, MIB, MOST_PARTS, Options
from windlass.storage.s3.part import Part
from windlass.storage.s3.putting import put
from windlass.storage.s3.reader import open_object
from windlass.storage.s3.writer import S3Writer

if TYPE_CHECKING:
    from windlass.conf import Settings


def from_settings(settings: Settings) -> S3Store:
    if not settings.aws_storage_bucket_name:
        raise StoreError("Files lie in a bucket, but AWS_STORAGE_BUCKET_NAME does not say in which.")
    return S3Store(Options.of(settings), guarded)


class S3Store(DirectS3, Store):
    """See ``contract.Store``. Any number of threads may use one; a forked child's connections are its own."""

    name = "s3"
    capabilities = Capabilities(
        random_writes=True,
        local_files=False,
        min_chunk_size=LEAST_PART,
        max_chunk_size=64 * MIB,
        max_chunks=MOST_PARTS,
        reads_unfinished=False,
        locks=False,
        presigns=True,
        direct=True,
    )

    def __init__(self, options: Options, guard: Guard = no_guard) -> None:
        self._options = options
        self._bucket = Bucket(options, lambda: guard(self.name))
        self.capabilities = replace(type(self).capabilities, max_chunks=options.max_parts)
        self.max_parts = options.max_parts
        self._memory = Memory(options.buffer)
        # The address of a server of one's own is often one that only this network knows.
        self.is_public = bool(options.public_endpoint) or not options.endpoint
        self.bucket, self.supports_forms = options.bucket, options.forms

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        checksum = self._options.checksum
        mark = keys.new_token()
        upload = multipart.begin(self._bucket, keys.checked(key), checksum, mark)
        return Made(upload, mark, chunk_size or self._options.part_size_for(at_most), checksum).state()

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        made = _made(key, state)
        if shared:
            if region is None:
                raise StoreError(f"{key}: a shared writer writes one part, and was not told which")
            return ChunkWriter(self._bucket, self._memory, key, made, region)
        try:
            multipart.must_be_there(self._bucket, key, made.upload)
        except ObjectMissing:
            made = reviving.revive(self._bucket, key, made)
        return S3Writer(self._bucket, self._memory, key, made)

    def require_no_writer(self, key: str, state: State) -> None:
        """The store has no locks."""

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        made = _made(key, state)
        try:
            tags = self._tags(key, made, size, [Chunk.of(chunk) for chunk in chunks])
            complete(self._bucket, key, made, tags, size)
        except ObjectMissing:
            must_be_whole(self._bucket, key, made, size)  # completed before, and the answer was lost
        remove_pieces(self._bucket, key)

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        """In one request, or part by part if it is larger than a part."""
        data = b"".join(buffers)
        self.put(key, io.BytesIO(data), len(data))
        return {}

    def discard(self, key: str, state: State) -> int:
        freed = self.clear(key)
        return freed + self.delete(key)

    def discardable_size(self, key: str, state: State) -> int:
        uploads = sum(multipart.size_of(self._bucket, key, upload) for upload in self._uploads(key))
        return uploads + sum(piece.size for piece in objects.pieces(self._bucket, key)) + self._size(key)

    def clear(self, key: str) -> int:
        freed = 0
        for upload in self._uploads(key):
            with suppress(ObjectMissing):  # it has ended a moment ago
                freed += multipart.size_of(self._bucket, key, upload)
                multipart.abort(self._bucket, key, upload)
        return freed + remove_pieces(self._bucket, key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        put(self._bucket, keys.checked(key), source, size)

    def open(self, key: str) -> BinaryIO:
        return open_object(self._bucket, keys.checked(key))

    def info(self, key: str) -> ObjectInfo:
        return objects.head(self._bucket, keys.checked(key))

    def delete(self, key: str) -> int:
        try:
            size = self.info(key).size
        except ObjectMissing:
            return 0
        objects.delete(self._bucket, key)
        return size

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """A piece counts as its object, unfinished. What lies in the bucket under other names is somebody else's."""
        for part in keys.within(prefix):
            for found in objects.listed(self._bucket, part):
                owner = keys.owner(found.key)
                if owner is None:
                    if not (unless and unless(found.key)):
                        yield found
                else:
                    yield ObjectInfo(owner, found.size, found.modified_at, unfinished=True)
            for begun in multipart.unfinished(self._bucket, part):
                yield ObjectInfo(begun.key, 0, begun.begun_at.replace(microsecond=0), unfinished=True)

    def check(self, *, thorough: bool = False) -> None:
        probe.check(self._bucket, thorough=thorough)

    def presign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        asked = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
        named = {"Bucket": self._bucket.name, "Key": self._bucket.path(keys.checked(key))}
        return self._bucket.presigner().generate_presigned_url(
            "get_object", Params=named | asked, ExpiresIn=seconds, HttpMethod="GET"
        )

    def close(self) -> None:
        self._bucket.close()

    def _uploads(self, key: str) -> list[str]:
        """The ids of the object's uploads that have not ended."""
        return [found.upload for found in multipart.unfinished(self._bucket, keys.checked(key)) if found.key == key]

    def _size(self, key: str) -> int:
        try:
            return self.info(key).size
        except ObjectMissing:
            return 0

    def _tags(self, key: str, made: Made, size: int, chunks: Sequence[Chunk]) -> list[Tag]:
        """The parts of the whole; its last one is sent where it only lies in pieces."""
        if chunks:
            return _in_order(key, chunks, -(-size // made.part_size))
        rest = size - made.parts * made.part_size
        if rest < 0 or made.offset < size:
            raise StoreError(f"{key}: {made.offset} bytes are there, {size} are to be")
        tags = parts_of(self._bucket, key, made)
        if rest or not tags:
            part = Part(self._bucket, self._memory, key, made.tail)
            with part.gathered() as data:
                last = Body.of(data if len(data) == rest else memoryview(data)[:rest])
                tags.append(multipart.send(self._bucket, key, made.upload, made.parts + 1, last, made.checksum))
        return tags


def _made(key: str, state: State) -> Made:
    made = Made.of(state)
    if made is None:
        raise ObjectMissing(f"{keys.checked(key)}: this is the state of no object in the making")
    return made


def _in_order(key: str, chunks: Sequence[Chunk], wanted: int) -> list[Tag]:
    found = {chunk.number: chunk.tag for chunk in chunks}
    if sorted(found) != list(range(1, wanted + 1)):
        raise StoreError(f"{key}: {len(found)} chunks are there, {wanted} are to be")
    return [found[number] for number in range(1, wanted + 1)]
