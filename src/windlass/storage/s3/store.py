"""The S3 store. An unfinished object is a multipart upload, with tail objects for the part that is not full."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from windlass.kernel import object_keys
from windlass.kernel.clock import monotonic
from windlass.storage.contract import Buffer, Capabilities, ObjectInfo, ObjectMissing, State, Store, StoreError, Writer
from windlass.storage.registry import Guard, guarded, no_guard
from windlass.storage.s3 import bucket_check, multipart, objects
from windlass.storage.s3.direct_upload import DirectUpload
from windlass.storage.s3.multipart import ChunkState, MultipartState, PartTag
from windlass.storage.s3.options import MAX_PARTS, MIB, MIN_PART_SIZE, Options
from windlass.storage.s3.part_buffer import MemoryPool, PartBuffer
from windlass.storage.s3.reader import S3Reader
from windlass.storage.s3.retrying_client import Bucket, RequestBody
from windlass.storage.s3.writer import ChunkWriter, S3Writer

if TYPE_CHECKING:
    from windlass.conf import Settings

#: For how long ``check`` takes it that parts are accepted (seconds).
CHECK_PARTS_SECONDS = 10.0


def from_settings(settings: Settings) -> S3Store:
    if not settings.aws_storage_bucket_name:
        raise StoreError("STORAGE_BACKEND is s3, but AWS_STORAGE_BUCKET_NAME names no bucket.")
    return S3Store(Options.from_settings(settings), guarded)


class S3Store(DirectUpload, Store):
    """See ``contract.Store``. Thread-safe; a forked child opens connections of its own."""

    name = "s3"
    capabilities = Capabilities(
        random_writes=True,
        local_files=False,
        min_chunk_size=MIN_PART_SIZE,
        max_chunk_size=64 * MIB,
        max_chunks=MAX_PARTS,
        reads_unfinished=False,
        locks=False,
        remote=True,
        presigns=True,
        direct=True,
    )

    def __init__(
        self, options: Options, guard: Guard = no_guard, *, prefixes: Sequence[str] = object_keys.PREFIXES
    ) -> None:
        """``prefixes``: what the keys of its objects start with. Others in the bucket are never listed."""
        self._prefixes = prefixes
        self._options = options
        self._bucket = Bucket(options, lambda: guard(self.name))
        self.capabilities = replace(type(self).capabilities, max_chunks=options.max_parts)
        self.max_parts = options.max_parts
        self._memory = MemoryPool(options.buffer)
        self._parts_checked_until = 0.0
        # The endpoint of a private server is often an address that only this network can reach.
        self.is_public = bool(options.public_endpoint) or not options.endpoint
        self.bucket, self.supports_forms = options.bucket, options.forms

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        checksum = self._options.checksum
        mark = objects.new_token()
        upload = multipart.create(self._bucket, objects.check_key(key), checksum, mark)
        part_size = chunk_size or self._options.part_size_for(at_most)
        return MultipartState(upload, mark, part_size, checksum).to_state()

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        unfinished = MultipartState.from_state(key, state)
        if shared:
            if region is None:
                raise StoreError(f"{key}: a shared writer needs the region of its part")
            return ChunkWriter(self._bucket, self._memory, key, unfinished, region)
        try:
            multipart.require_upload(self._bucket, key, unfinished.upload)
        except ObjectMissing:
            unfinished = multipart.reopen(self._bucket, key, unfinished)
        return S3Writer(self._bucket, self._memory, key, unfinished)

    def require_no_writer(self, key: str, state: State) -> None:
        """The store has no locks."""

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        unfinished = MultipartState.from_state(key, state)
        try:
            tags = self._tags(key, unfinished, size, [ChunkState.from_state(chunk) for chunk in chunks])
            multipart.complete_once(self._bucket, key, unfinished, tags, size)
        except ObjectMissing:
            multipart.require_completed(self._bucket, key, unfinished, size)  # completed before; the reply was lost
        objects.remove_tail_objects(self._bucket, key)

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        """Store it in one request, or by a multipart upload if it is larger than a part."""
        data = b"".join(buffers)
        self.put(key, io.BytesIO(data), len(data))
        return {}

    def discard(self, key: str, state: State) -> int:
        freed = self.clear(key)
        return freed + self.delete(key)

    def discardable_size(self, key: str, state: State) -> int:
        parts = sum(multipart.uploaded_size(self._bucket, key, upload) for upload in self._uploads(key))
        tail = sum(piece.size for piece in objects.tail_objects(self._bucket, key))
        return parts + tail + super().discardable_size(key, state)

    def clear(self, key: str) -> int:
        freed = 0
        for upload in self._uploads(key):
            with suppress(ObjectMissing):  # it ended a moment ago
                freed += multipart.uploaded_size(self._bucket, key, upload)
                multipart.abort(self._bucket, key, upload)
        return freed + objects.remove_tail_objects(self._bucket, key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        multipart.put_from(self._bucket, objects.check_key(key), source, size)

    def open(self, key: str) -> BinaryIO:
        return S3Reader(self._bucket, objects.check_key(key)).buffered()

    def info(self, key: str) -> ObjectInfo:
        return objects.head(self._bucket, objects.check_key(key))

    def delete(self, key: str) -> int:
        try:
            size = self.info(key).size
        except ObjectMissing:
            return 0
        objects.delete(self._bucket, key)
        return size

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """List a tail object as its object, unfinished. Other objects in the bucket are left out."""
        for within in objects.prefixes_within(prefix, self._prefixes):
            for info in objects.list_objects(self._bucket, within):
                owner = objects.tail_owner(info.key)
                if owner is not None:
                    yield ObjectInfo(owner, info.size, info.modified_at, unfinished=True)
                elif not (unless and unless(info.key)):
                    yield info
            for upload in multipart.open_uploads(self._bucket, within):
                yield ObjectInfo(upload.key, 0, upload.created_at.replace(microsecond=0), unfinished=True)

    def check(self, *, thorough: bool = False) -> None:
        """Parts are tried every CHECK_PARTS_SECONDS while they are accepted: each try is three requests more."""
        parts = monotonic() >= self._parts_checked_until
        bucket_check.check(self._bucket, parts=parts, thorough=thorough)
        if parts:
            self._parts_checked_until = monotonic() + CHECK_PARTS_SECONDS

    def presign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        overrides = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
        parameters = self._bucket.address(objects.check_key(key)) | overrides
        return self._bucket.presigner().generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=seconds, HttpMethod="GET"
        )

    def close(self) -> None:
        self._bucket.close()

    def _uploads(self, key: str) -> list[str]:
        """Return the ids of the object's uploads that have not ended."""
        key = objects.check_key(key)
        return [each.upload for each in multipart.open_uploads(self._bucket, key) if each.key == key]

    def _tags(self, key: str, state: MultipartState, size: int, chunks: Sequence[ChunkState]) -> list[PartTag]:
        """Return the tags of all parts; send the last part first if it is only in tail objects."""
        if chunks:
            return _in_order(key, chunks, -(-size // state.part_size))
        rest = size - state.parts * state.part_size
        if rest < 0 or state.offset < size:
            raise StoreError(f"{key}: it has {state.offset} bytes instead of {size}")
        tags = multipart.verified_tags(self._bucket, key, state)
        if rest or not tags:
            number = state.parts + 1
            with PartBuffer(self._bucket, self._memory, key, state.tail).contents() as data:
                last = RequestBody.of(data if len(data) == rest else memoryview(data)[:rest])
                tags.append(multipart.upload_part(self._bucket, key, state.upload, number, last, state.checksum))
        return tags


def _in_order(key: str, chunks: Sequence[ChunkState], wanted: int) -> list[PartTag]:
    tags = {chunk.number: chunk.tag for chunk in chunks}
    if sorted(tags) != list(range(1, wanted + 1)):
        raise StoreError(f"{key}: it has {len(tags)} chunks instead of {wanted}")
    return [tags[number] for number in range(1, wanted + 1)]
