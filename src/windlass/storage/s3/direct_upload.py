"""Direct upload: clients send objects to the bucket themselves (``contract.DirectStore``).

In parts: the parts of a multipart upload, to which nobody can add once it is completed. In one request: under the key
of a tail object, which is then copied inside the store, because a signed URL stays valid until it expires and could
replace what was sent. Windlass signs each request with its own key, for a short time and for nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from windlass.storage.contract import ObjectMissing, SignedRequest, State, StoreError, UploadedPart
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.errors import ObjectReplaced, RequestRejected
from windlass.storage.s3.multipart import COPY_CHECKSUM, MultipartState, PartTag
from windlass.storage.s3.options import GIB, MIN_PART_SIZE
from windlass.storage.s3.retrying_client import CONTENT_TYPE, Bucket

#: The names of these parameters in a request's head or in a form.
_FIELDS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ContentType": "Content-Type",
}


class DirectUpload:
    """The methods of ``contract.DirectStore`` of the S3 store."""

    min_part_size = MIN_PART_SIZE
    max_single_size = 5 * GIB
    max_parts: int
    bucket: str
    supports_forms: bool
    _bucket: Bucket

    def cors_problems(self, origins: Sequence[str]) -> str:
        methods = ["PUT", "POST"] if self.supports_forms else ["PUT"]
        try:
            with self._bucket.call("") as s3:
                rules: Sequence[Mapping[str, Any]] = s3.get_bucket_cors(Bucket=self._bucket.name)["CORSRules"]
        except (RequestRejected, ObjectMissing):
            rules = []
        except StoreError as error:
            return f"the bucket's CORS rules could not be read: {error}"
        lacks = [
            f"{origin} ({', '.join(problems)})"
            for origin in origins
            if (problems := list(_cors_problems(rules, origin, methods)))
        ]
        return f"the bucket's CORS rules do not let pages send directly to it: {'; '.join(lacks)}" if lacks else ""

    def client_key(self, key: str, state: State) -> str:
        return self._bucket.path(_single_key(key, state) if "piece" in state else key)

    def create_multipart(self, key: str) -> State:
        """Clients send no checksums of their parts, so the upload must not require any."""
        mark = objects.new_token()
        upload = multipart.create(self._bucket, objects.check_key(key), COPY_CHECKSUM, mark)
        return MultipartState(upload, mark, 0, COPY_CHECKSUM).to_state()

    def sign_part(self, key: str, state: State, number: int, *, seconds: int, size: int | None = None) -> SignedRequest:
        upload = MultipartState.from_state(key, state).upload
        parameters = self._bucket.address(key) | {"UploadId": upload, "PartNumber": number}
        return SignedRequest("PUT", self._url("upload_part", parameters | _length(size), seconds))

    def uploaded_parts(self, key: str, state: State) -> list[UploadedPart]:
        return multipart.uploaded_parts(self._bucket, key, MultipartState.from_state(key, state).upload)

    def complete_multipart(self, key: str, state: State, parts: Sequence[UploadedPart]) -> int:
        size = sum(part.size for part in parts)
        tags = [PartTag(part.tag) for part in parts]
        multipart.complete_once(self._bucket, key, MultipartState.from_state(key, state), tags, size)
        stored = objects.head(self._bucket, key).size
        if stored != size:
            raise StoreError(f"{key}: the store made an object of {stored} bytes out of parts of {size}")
        return stored

    def completed_size(self, key: str, state: State) -> int | None:
        try:
            mark, size = objects.mark_and_size(self._bucket, key)
        except ObjectMissing:
            return None
        return size if mark == state["mark"] else None

    def create_single(self, key: str) -> State:
        return {"mark": objects.new_token(), "piece": objects.new_token()}

    def sign_form(
        self, key: str, state: State, *, seconds: int, sizes: tuple[int, int], sha256: str | None = None
    ) -> SignedRequest:
        """A policy restricts the form's size, type and checksum."""
        fields = {_FIELDS[name]: value for name, value in self._headers(sha256).items()}
        fields["success_action_status"] = "201"
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", *sizes])
        post = self._bucket.presigner().generate_presigned_post(
            self._bucket.name,
            self._bucket.path(_single_key(key, state)),
            Fields=fields,
            Conditions=conditions,
            ExpiresIn=seconds,
        )
        return SignedRequest("POST", post["url"], fields=post["fields"])

    def sign_put(self, key: str, state: State, *, seconds: int, size: int, sha256: str | None = None) -> SignedRequest:
        """The checksum is in the URL; the length need not be a header, because browsers set it themselves."""
        parameters = self._headers(sha256)
        url = self._url(
            "put_object", self._bucket.address(_single_key(key, state)) | parameters | _length(size), seconds
        )
        headers = {_FIELDS[name]: value for name, value in parameters.items() if name != "ChecksumSHA256"}
        return SignedRequest("PUT", url, headers=headers)

    def uploaded_single(self, key: str, state: State) -> UploadedPart | None:
        try:
            info = objects.head(self._bucket, _single_key(key, state))
        except ObjectMissing:
            return None
        return UploadedPart(1, info.tag, info.size)

    def complete_single(self, key: str, state: State, uploaded: UploadedPart) -> int | None:
        try:
            objects.copy(self._bucket, key, _single_key(key, state), etag=uploaded.tag, mark=state["mark"])
        except (ObjectMissing, ObjectReplaced):
            return None
        return objects.head(self._bucket, key).size

    def _headers(self, sha256: str | None) -> dict[str, str]:
        """The type is one that no browser runs; the real type is found out later."""
        checksum = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()} if sha256 else {}
        return {"ContentType": CONTENT_TYPE} | checksum | self._bucket.encryption()

    def _url(self, operation: str, parameters: dict[str, Any], seconds: int) -> str:
        return self._bucket.presigner().generate_presigned_url(
            operation, Params=parameters, ExpiresIn=seconds, HttpMethod="PUT"
        )


def _cors_problems(rules: Sequence[Mapping[str, Any]], origin: str, methods: Sequence[str]) -> Iterator[str]:
    """A store replies to a browser by the first rule that allows its origin and method."""
    for method in methods:
        rule = next((each for each in rules if _allows(each, origin, method)), None)
        if rule is None:
            yield f"no {method}"
        elif "etag" not in {name.lower() for name in rule.get("ExposeHeaders", [])} and method == "PUT":
            yield "ETag is not exposed"


def _allows(rule: Mapping[str, Any], origin: str, method: str) -> bool:
    return method in rule.get("AllowedMethods", []) and any(
        fnmatchcase(origin, pattern) for pattern in rule.get("AllowedOrigins", [])
    )


def _single_key(key: str, state: State) -> str:
    """Return the key that a client sends the whole object to."""
    return objects.tail_key(objects.check_key(key), state["piece"])


def _length(size: int | None) -> dict[str, Any]:
    """Sign the length unless it is 0: not every store counts a Content-Length of 0 among the headers."""
    return {"ContentLength": size} if size else {}
