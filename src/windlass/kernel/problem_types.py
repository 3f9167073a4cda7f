"""Every error that a client can see: RFC 9457 problem types with stable names, listed in docs/reference/problems.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """An error reply. ``detail`` says what was wrong in this request and what is allowed.

    ``slug`` is the stable name (``type`` is ``/problems/<slug>``), ``status`` the HTTP status, ``title`` the same for
    every occurrence. ``transient``: the same request may succeed later. ``members`` are RFC 9457 extension members,
    ``headers`` are added to the reply.
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The server failed to answer the request"
    transient: ClassVar[bool] = False

    #: Seconds of ``Retry-After`` and the member ``retry_after``, where an occurrence names no others; None: neither.
    usual_retry_after: ClassVar[int | None] = None

    def __init__(
        self, detail: str, retry_after: int | None = None, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members
        seconds = self.usual_retry_after if retry_after is None else retry_after
        if seconds is not None:
            self.headers["Retry-After"] = str(seconds)
            self.members["retry_after"] = seconds

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
    """All problem types, sorted by name."""
    by_slug: dict[str, type[Problem]] = {Problem.slug: Problem}
    pending = list(Problem.__subclasses__())
    while pending:
        kind = pending.pop()
        by_slug[kind.slug] = kind
        pending += kind.__subclasses__()
    return [by_slug[slug] for slug in sorted(by_slug)]


_NOT_IN_CHALLENGE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def bearer_challenge(**parameters: str) -> str:
    """The value of ``WWW-Authenticate`` (RFC 6750, 3), whose texts are ASCII without quotes and backslashes."""
    plain = {name: _NOT_IN_CHALLENGE.sub("_", text.replace('"', "'")) for name, text in parameters.items()}
    quoted = [f'{name}="{text}"' for name, text in plain.items()]
    return "Bearer " + ", ".join(['realm="windlass"', *quoted])


class BadRequest(Problem):
    slug, status, title = "bad-request", 400, "The request is malformed"


class InconsistentLength(BadRequest):
    slug, title = "inconsistent-upload-length", "The lengths declared for this upload differ"


class Unauthenticated(Problem):
    slug, status, title = "unauthenticated", 401, "A valid credential is required"

    def __init__(self, detail: str, **challenge: str) -> None:
        """``challenge``: parameters of the challenge (RFC 6750, 3)."""
        super().__init__(detail, headers={"WWW-Authenticate": bearer_challenge(**challenge)})


class InvalidToken(Unauthenticated):
    """The bearer token is malformed, has expired, was revoked, or is not for this server."""

    slug, title = "invalid-token", "The token is not valid"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, error="invalid_token", error_description=detail)


class Forbidden(Problem):
    slug, status, title = "forbidden", 403, "The caller is not allowed to do this"


class InsufficientScope(Forbidden):
    """The token is valid, but is not for calls like this one (RFC 6750, 3.1)."""

    slug, title = "insufficient-scope", "The token does not have the scope that this call needs"

    def __init__(self, needed: str, granted: Iterable[str]) -> None:
        has = ", ".join(sorted(granted)) or "none"
        super().__init__(
            f"This call needs a token with the scope {needed}; this one has: {has}.",
            headers={"WWW-Authenticate": bearer_challenge(error="insufficient_scope", scope=needed)},
            required_scope=needed,
        )


class GrantUsed(Problem):
    slug, status, title = "grant-used", 403, "This grant has been used"


class FileRefused(Problem):
    slug, status, title = "file-refused", 403, "This file was rejected and is not served"


class NotFound(Problem):
    slug, status, title = "not-found", 404, "The resource does not exist"


class MethodNotAllowed(Problem):
    slug, status, title = "method-not-allowed", 405, "This method is not allowed for this resource"


class ReceiveTimeout(Problem):
    slug, status, title, transient = "receive-timeout", 408, "The client sent nothing until the timeout", True


class Conflict(Problem):
    slug, status, title = "conflict", 409, "The request conflicts with the current state"


class OffsetMismatch(Problem):
    slug, status, title = "offset-mismatch", 409, "The offset is not the current offset of this upload"

    def __init__(self, expected: int, provided: int) -> None:
        super().__init__(
            f"The offset of the upload is byte {expected}; the request starts at byte {provided}.",
            expected_offset=expected,
            provided_offset=provided,
        )
        self.expected = expected


class UploadComplete(Conflict):
    slug, title = "completed-upload", "This upload is already complete"


class RequestInProgress(Problem):
    slug, status, title, transient = (
        "request-in-progress",
        409,
        "The first request with this key is still running",
        True,
    )
    usual_retry_after = 1


class NotReady(Problem):
    slug, status, title, transient = "not-ready", 409, "The result is not available yet", True
    usual_retry_after = 1


class StillRunning(Problem):
    slug, status, title, transient = "still-running", 409, "This file is still being processed", True


class FileInUse(Problem):
    slug, status, title = "file-in-use", 409, "Other records of this site need this file"


class ContentDamaged(Problem):
    """A 5xx would make clients retry and load balancers remove the server because of one damaged file, and caches store
    a 410."""

    slug, status, title = "content-damaged", 409, "The stored bytes of this file are damaged"


class UploadGone(Problem):
    slug, status, title = "upload-gone", 410, "This upload has ended and cannot be continued"


class FileReleased(Problem):
    slug, status, title = "file-released", 410, "The bytes of this file were deleted by its retention or by request"


class WrongProtocolVersion(Problem):
    slug, status, title = "wrong-protocol-version", 412, "The protocol version is not supported"


class PreconditionFailed(Problem):
    slug, status, title = "precondition-failed", 412, "The file does not match the precondition of the request"


class FileTooLarge(Problem):
    slug, status, title = "file-too-large", 413, "The file is larger than allowed"

    def __init__(self, limit: int, received: int | None = None, what: str = "file") -> None:
        actual = f" {received} bytes were declared or sent." if received is not None else ""
        members: dict[str, Any] = {"limit": limit} | ({} if received is None else {"received": received})
        super().__init__(f"The {what} may have at most {limit} bytes.{actual}", **members)


class PastDeclaredLength(Problem):
    slug, status, title = "past-declared-length", 413, "The body exceeds the declared length of the upload"


class BodyTooLarge(Problem):
    slug, status, title = "body-too-large", 413, "The body of the request is larger than allowed"


class RequestLineTooLong(Problem):
    slug, status, title = "request-line-too-long", 414, "The request line is too long"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request line has more than {limit} bytes, the limit. Send long lists in the body of a POST.",
            limit=limit,
        )


class MetadataTooLarge(Problem):
    slug, status, title = "metadata-too-large", 413, "The metadata is larger than allowed"


class UnsupportedMediaType(Problem):
    slug, status, title = "unsupported-media-type", 415, "The media type of the body is not supported"


class RangeNotSatisfiable(Problem):
    slug, status, title = "range-not-satisfiable", 416, "The range is outside the file"


class InvalidField(Problem):
    slug, status, title = "invalid-field", 422, "A field is missing or has an invalid value"


class IdempotencyKeyReused(Problem):
    slug, status, title = "idempotency-key-reused", 422, "The key was sent with another request before"


class ChecksumMismatch(Problem):
    slug, status, title = "checksum-mismatch", 422, "The bytes do not match the declared checksum"


class FileRejected(Problem):
    slug, status, title = "file-rejected", 422, "A rule rejected this file"


class UploadLocked(Problem):
    slug, status, title, transient = "upload-locked", 423, "Another request is writing to this upload", True


class BodyDigestMismatch(Problem):
    """The status is tus's own (tus 1.0.0, "Checksum"); other dialects replace it."""

    slug, status, title = "body-digest-mismatch", 460, "The body does not match its digest"


class RateLimited(Problem):
    slug, status, title, transient = "rate-limited", 429, "Too many requests were sent", True


class TooManyUploads(Problem):
    slug, status, title, transient = "too-many-uploads", 429, "Too many uploads are open", True
    usual_retry_after = 30


class TooManyLiveReaders(Problem):
    slug, status, title, transient = "too-many-live-readers", 429, "Too many live connections are open", True
    usual_retry_after = 30


class HeadTooLarge(Problem):
    slug, status, title = "head-too-large", 431, "The header of the request is too large"


class NotSupported(Problem):
    slug, status, title = "not-supported", 501, "The store does not support this"


class NoBytePlane(Problem):
    slug, status, title = "no-byte-plane", 501, "This server is configured without uploads and downloads"


class TransferCodingNotSupported(Problem):
    slug, status, title = "transfer-coding-not-supported", 501, "The transfer coding of the body is not supported"


class HttpVersionNotSupported(Problem):
    slug, status, title = "http-version-not-supported", 505, "The HTTP version is not supported"


class TooManyConnections(Problem):
    slug, status, title, transient = "too-many-connections", 503, "Too many connections are open", True
    usual_retry_after = 5


class Unavailable(Problem):
    slug, status, title, transient = "unavailable", 503, "A required service does not answer", True
    usual_retry_after = 5


class UploadsPaused(Problem):
    slug, status, title, transient = "uploads-paused", 503, "The server takes no new uploads at the moment", True
    usual_retry_after = 30


class QuotaExceeded(Problem):
    slug, status, title = "quota-exceeded", 507, "The quota of the owner is exceeded"

    def __init__(self, resource: str, *, limit: int, used: int, requested: int) -> None:
        """``resource``: ``bytes`` or ``files``. ``used`` includes what unfinished uploads have reserved."""
        super().__init__(
            f"The quota is {limit} {resource}; {used} {resource} are used or reserved, and this needs {requested} "
            f"{resource} more. Delete or release files, empty the trash, or cancel uploads.",
            resource=resource,
            limit=limit,
            used=used,
            requested=requested,
        )


class StorageFull(Problem):
    slug, status, title, transient = "storage-full", 507, "The storage of the server is full", True
