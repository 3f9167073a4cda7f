"""Objects that clients send to the bucket themselves (``contract.DirectStore``).

In parts: the parts of a multipart upload, which nobody can add to once it is completed. In one request: under the name
of a piece of the object, of which the object is then copied inside the store, because whoever may write to a name may
do so until the signature runs out.
"""

from __future__ import annotations

from collections.abc import Sequence

from windlass.storage.contract import ObjectMissing, SignedRequest, State, StoreError, UploadedPart
from windlass.storage.s3 import browsers, keys, multipart, objects, signing
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.errors import Changed
from windlass.storage.s3.finishing import complete
from windlass.storage.s3.made import Made, Tag
from windlass.storage.s3.options import GIB, LEAST_PART


class DirectS3:
    """The part of the store that lets clients in."""

    min_part_size = LEAST_PART
    max_single_size = 5 * GIB
    max_parts: int
    bucket: str
    supports_forms: bool
    _bucket: Bucket

    def cors_problems(self, origins: Sequence[str]) -> str:
        return browsers.missing(self._bucket, origins, ["PUT", "POST"] if self.supports_forms else ["PUT"])

    def client_key(self, key: str, state: State) -> str:
        return self._bucket.path(_piece(key, state) if "piece" in state else key)

    def create_multipart(self, key: str) -> State:
        """The parts bring no checksums of ours, so the upload must not ask for such."""
        mark = keys.new_token()
        upload = multipart.begin(self._bucket, keys.checked(key), multipart.COPYING, mark)
        return Made(upload, mark, 0, multipart.COPYING).state()

    def sign_part(self, key: str, state: State, number: int, *, seconds: int, size: int | None = None) -> SignedRequest:
        made = _made(key, state)
        return signing.part(self._bucket, key, made.upload, number, seconds=seconds, size=size)

    def uploaded_parts(self, key: str, state: State) -> list[UploadedPart]:
        return multipart.sent(self._bucket, key, _made(key, state).upload)

    def complete_multipart(self, key: str, state: State, parts: Sequence[UploadedPart]) -> int:
        size = sum(part.size for part in parts)
        complete(self._bucket, key, _made(key, state), [Tag(part.tag) for part in parts], size)
        found = objects.head(self._bucket, key).size
        if found != size:
            raise StoreError(f"{key}: the store made an object of {found} bytes out of parts of {size}")
        return found

    def completed_size(self, key: str, state: State) -> int | None:
        try:
            mark, size = objects.mark(self._bucket, key)
        except ObjectMissing:
            return None
        return size if mark == state["mark"] else None

    def create_single(self, key: str) -> State:
        return {"mark": keys.new_token(), "piece": keys.new_token()}

    def sign_form(
        self, key: str, state: State, *, seconds: int, sizes: tuple[int, int], sha256: str | None = None
    ) -> SignedRequest:
        return signing.form(self._bucket, _piece(key, state), seconds=seconds, sizes=sizes, sha256=sha256)

    def sign_put(self, key: str, state: State, *, seconds: int, size: int, sha256: str | None = None) -> SignedRequest:
        return signing.put(self._bucket, _piece(key, state), seconds=seconds, size=size, sha256=sha256)

    def uploaded_single(self, key: str, state: State) -> UploadedPart | None:
        try:
            found = objects.head(self._bucket, _piece(key, state))
        except ObjectMissing:
            return None
        return UploadedPart(1, found.tag, found.size)

    def complete_single(self, key: str, state: State, sent: UploadedPart) -> int | None:
        try:
            objects.copy(self._bucket, key, _piece(key, state), etag=sent.tag, mark=state["mark"])
        except (ObjectMissing, Changed):
            return None
        return objects.head(self._bucket, key).size


def _made(key: str, state: State) -> Made:
    made = Made.of(state)
    if made is None:
        raise ObjectMissing(f"{keys.checked(key)}: it is not sent in parts")
    return made


def _piece(key: str, state: State) -> str:
    return keys.tail(keys.checked(key), state["piece"])
