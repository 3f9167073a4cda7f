"""Every error that a client can see: one family, RFC 9457 problem types with stable names.

``docs/reference/problems.md`` lists each of them; a test holds that page against this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """A refusal that says what was wrong and what is allowed.

    ``slug`` is the stable name (``type`` is ``/problems/<slug>``), ``status`` the HTTP status, ``title`` the same
    words for every occurrence. ``transient`` tells a client that the same request may succeed later.
    ``members`` are RFC 9457 extension members, ``headers`` belong to the reply.
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something failed on our side"
    transient: ClassVar[bool] = False

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def document(self, instance: str | None = None, request_id: str | None = None) -> dict[str, Any]:
        """The ``application/problem+json`` body."""
        body: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            body["instance"] = instance
        if request_id:
            body["request_id"] = request_id
        return body | self.members


def all_problems() -> list[type[Problem]]:
    """Each problem type, in the order of its name."""
    found: dict[str, type[Problem]] = {Problem.slug: Problem}
    pending = list(Problem.__subclasses__())
    while pending:
        kind = pending.pop()
        found[kind.slug] = kind
        pending += kind.__subclasses__()
    return [found[slug] for slug in sorted(found)]


class BadRequest(Problem):
    slug, status, title = "bad-request", 400, "The request could not be understood"


class InconsistentLength(BadRequest):
    slug, title = "inconsistent-upload-length", "The lengths that were said of this upload disagree"


class Unauthenticated(Problem):
    slug, status, title = "unauthenticated", 401, "A valid credential is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="windlass"'})


class Forbidden(Problem):
    slug, status, title = "forbidden", 403, "This caller may not do that"


class GrantUsed(Problem):
    slug, status, title = "grant-used", 403, "This grant has been used"


class FileRefused(Problem):
    slug, status, title = "file-refused", 403, "This file was refused and is not served"


class NotFound(Problem):
    slug, status, title = "not-found", 404, "There is no such thing here"


class MethodNotAllowed(Problem):
    slug, status, title = "method-not-allowed", 405, "This method means nothing here"


class ReceiveTimeout(Problem):
    slug, status, title, transient = "receive-timeout", 408, "The client sent nothing for too long", True


class Conflict(Problem):
    slug, status, title = "conflict", 409, "The request does not fit the present state"


class OffsetMismatch(Problem):
    slug, status, title = "offset-mismatch", 409, "The offset is not where this upload stands"

    def __init__(self, expected: int, provided: int) -> None:
        super().__init__(
            f"The upload stands at byte {expected}; the request starts at byte {provided}.",
            expected_offset=expected,
            provided_offset=provided,
        )
        self.expected = expected


class UploadComplete(Conflict):
    slug, title = "completed-upload", "This upload is complete and takes nothing more"


class NotReady(Problem):
    slug, status, title, transient = "not-ready", 409, "This is still being worked on", True

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, retry_after=retry_after)


class StillRunning(Problem):
    slug, status, title, transient = "still-running", 409, "Processing of this file is still running", True


class ContentDamaged(Problem):
    """A conflict with what the server has at present: a 5xx would make clients and proxies ask again, and balancers
    take the server out of use, for one file that a person has to mend; and caches keep a 410."""

    slug, status, title = "content-damaged", 409, "The stored bytes of this file are damaged"


class UploadGone(Problem):
    slug, status, title = "upload-gone", 410, "This upload has ended and cannot go on"


class FileReleased(Problem):
    slug, status, title = "file-released", 410, "The bytes of this file were deleted on purpose"


class WrongProtocolVersion(Problem):
    slug, status, title = "wrong-protocol-version", 412, "The protocol version is not spoken here"


class PreconditionFailed(Problem):
    slug, status, title = "precondition-failed", 412, "The file is not the one that the request is for"


class FileTooLarge(Problem):
    slug, status, title = "file-too-large", 413, "The file is larger than is allowed"

    def __init__(self, limit: int, received: int | None = None, what: str = "file") -> None:
        seen = f" {received} bytes were announced or sent." if received is not None else ""
        members: dict[str, Any] = {"limit": limit} | ({} if received is None else {"received": received})
        super().__init__(f"The {what} may have at most {limit} bytes.{seen}", **members)


class PastDeclaredLength(Problem):
    slug, status, title = "past-declared-length", 413, "More bytes than the upload declared"


class BodyTooLarge(Problem):
    slug, status, title = "body-too-large", 413, "This request's body is larger than is allowed"


class RequestLineTooLong(Problem):
    slug, status, title = "request-line-too-long", 414, "The address of the request is too long"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request line has more than {limit} bytes, the limit. Send long lists in the body of a POST.",
            limit=limit,
        )


class MetadataTooLarge(Problem):
    slug, status, title = "metadata-too-large", 413, "The metadata is larger than is allowed"


class UnsupportedMediaType(Problem):
    slug, status, title = "unsupported-media-type", 415, "The media type is not taken here"


class RangeNotSatisfiable(Problem):
    slug, status, title = "range-not-satisfiable", 416, "The range lies outside the file"


class InvalidField(Problem):
    slug, status, title = "invalid-field", 422, "A field is missing or has a value that is not allowed"


class ChecksumMismatch(Problem):
    slug, status, title = "checksum-mismatch", 422, "The bytes do not have the checksum that was announced"


class FileRejected(Problem):
    slug, status, title = "file-rejected", 422, "A rule refused this file"


class UploadLocked(Problem):
    slug, status, title, transient = "upload-locked", 423, "Another request is writing to this upload", True


class BodyDigestMismatch(Problem):
    """The status is tus's own (tus 1.0.0, "Checksum"); a dialect with another says so."""

    slug, status, title = "body-digest-mismatch", 460, "The body does not have the digest that came with it"


class HeadTooLarge(Problem):
    slug, status, title = "head-too-large", 431, "The header lines of the request are too large"


class NotSupported(Problem):
    slug, status, title = "not-supported", 501, "This server's store cannot do that"


class NoBytePlane(Problem):
    slug, status, title = "no-byte-plane", 501, "This server is set up without the part that takes and sends bytes"


class TransferCodingNotSupported(Problem):
    slug, status, title = "transfer-coding-not-supported", 501, "The transfer coding of the body is not supported"


class HttpVersionNotSupported(Problem):
    slug, status, title = "http-version-not-supported", 505, "The HTTP version is not supported"


class TooManyConnections(Problem):
    slug, status, title, transient = "too-many-connections", 503, "Too many connections are open", True

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, retry_after=retry_after)


class Unavailable(Problem):
    slug, status, title, transient = "unavailable", 503, "A part that is needed does not answer", True

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, retry_after=retry_after)


class QuotaExceeded(Problem):
    slug, status, title = "quota-exceeded", 507, "The owner's quota leaves no room for this"

    def __init__(self, resource: str, *, limit: int, used: int, requested: int) -> None:
        """``resource``: ``bytes`` or ``files``. ``used``: with what is reserved for uploads under way."""
        super().__init__(
            f"The quota is {limit} {resource}; {used} {resource} are used or reserved, and this would take {requested} "
            f"{resource} more. "
            "Delete or release files, empty the trash, or end uploads, to make room.",
            resource=resource,
            limit=limit,
            used=used,
            requested=requested,
        )


class StorageFull(Problem):
    slug, status, title, transient = "storage-full", 507, "There is no room left to store this", True
