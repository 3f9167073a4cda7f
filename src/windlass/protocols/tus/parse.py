"""Parse the head of a tus request into an intent."""

from __future__ import annotations

import uuid

from windlass.kernel.errors import (
    BadRequest,
    MethodNotAllowed,
    PastDeclaredLength,
    Problem,
    UnsupportedMediaType,
    WrongProtocolVersion,
)
from windlass.protocols import description_fields, media_types
from windlass.protocols.heads import announces_body, body_length, effective_method, number, refuse_content_encoding
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Description, Discover, Head, Intent, Query
from windlass.protocols.tus import checksum, concat, metadata
from windlass.protocols.tus.extensions import VERSION


def parse(head: Head, upload_id: uuid.UUID | None) -> Intent:
    """``upload_id``: the upload that the path names, None where uploads are created.

    Raises WrongProtocolVersion, BadRequest, MethodNotAllowed, UnsupportedMediaType, PastDeclaredLength.
    """
    method = effective_method(head)
    if method == "OPTIONS":
        return Discover()
    _check_version(head)
    match method, upload_id:
        case "POST", None:
            return _create(head)
        case "HEAD", uuid.UUID() as known:
            return Query(known)
        case "PATCH", uuid.UUID() as known:
            return _append(head, known)
        case "DELETE", uuid.UUID() as known:
            return Abort(known)
    raise _wrong_method(method, upload_id)


def may_have_an_empty_body(head: Head) -> bool:
    """Whether it is known only at the end of the body if a creation has bytes: it uses the chunked transfer coding
    and does not have the media type of tus."""
    return "transfer-encoding" in head.headers and _media_type(head) != media_types.TUS


def _check_version(head: Head) -> None:
    version = head.headers.get("tus-resumable")
    if version != VERSION:
        stated = "no Tus-Resumable field" if version is None else f"Tus-Resumable: {version[:20]!r}"
        raise WrongProtocolVersion(f"The request has {stated}. Supported: tus {VERSION}.")


def _wrong_method(method: str, upload_id: uuid.UUID | None) -> Problem:
    allowed = "POST, OPTIONS" if upload_id is None else "HEAD, PATCH, DELETE, OPTIONS"
    return MethodNotAllowed(f"tus has no {method[:20]!r} here. Allowed: {allowed}.", headers={"Allow": allowed})


def _create(head: Head) -> Create | Concatenate:
    if number(head, "Upload-Offset"):
        raise BadRequest("A creation begins at byte 0; leave Upload-Offset out.", field="Upload-Offset")
    described = metadata.describe(
        head.headers.get("upload-metadata"), description_fields.profile(head.query.get("profile"))
    )
    concat_header = head.headers.get("upload-concat")
    parts = None if concat_header is None else concat.parse(concat_header)
    if concat_header is not None and parts is not None:
        return _concatenate(head, described, parts, concat_header)
    size = _size(head)
    return Create(
        described,
        size,
        has_body=_has_body(head, size),
        body_length=body_length(head),
        body_digests=checksum.parse_checksum(head),
        partial=concat_header is not None,
    )


def _concatenate(head: Head, described: Description, parts: tuple[uuid.UUID, ...], header: str) -> Concatenate:
    for field in ("upload-length", "upload-defer-length"):
        if field in head.headers:
            raise BadRequest("The length of a final upload is the sum of its parts; leave it out.", field=field)
    if announces_body(head):
        raise BadRequest("A final upload consists of its parts; its creation has no body.")
    return Concatenate(described, parts, header)


def _size(head: Head) -> int | None:
    """Return the length of the upload; None if it is deferred. Raises BadRequest."""
    size = number(head, "Upload-Length")
    deferred = head.headers.get("upload-defer-length")
    if deferred is not None and deferred.strip() != "1":
        raise BadRequest(f"Upload-Defer-Length can only be 1, not {deferred[:20]!r}.", field="Upload-Defer-Length")
    if (size is None) == (deferred is None):
        raise BadRequest(
            "A creation needs either Upload-Length, the size of the whole file in bytes, or Upload-Defer-Length: 1.",
            field="Upload-Length",
        )
    return size


def _has_body(head: Head, size: int | None) -> bool:
    """Whether the creation carries the first bytes (creation-with-upload)."""
    if _media_type(head) != media_types.TUS:
        if announces_body(head):
            raise _wrong_media_type(head)
        return False
    refuse_content_encoding(head)
    _must_fit(body_length(head), size)
    return True


def _append(head: Head, upload_id: uuid.UUID) -> Append:
    if _media_type(head) != media_types.TUS:
        raise _wrong_media_type(head)
    refuse_content_encoding(head)
    offset = number(head, "Upload-Offset")
    if offset is None:
        raise BadRequest("A PATCH needs Upload-Offset: the byte at which its body begins.", field="Upload-Offset")
    return Append(
        upload_id,
        offset,
        body_length(head),
        size=number(head, "Upload-Length"),
        body_digests=checksum.parse_checksum(head),
    )


def _must_fit(announced: int | None, size: int | None) -> None:
    if announced is not None and size is not None and announced > size:
        raise PastDeclaredLength(
            f"The body has {announced} bytes, more than the Upload-Length of {size} bytes.",
            limit=size,
            received=announced,
        )


def _media_type(head: Head) -> str | None:
    return media_types.parse(head.headers.get("content-type"))


def _wrong_media_type(head: Head) -> Problem:
    said = head.headers.get("content-type", "")[:60]
    return UnsupportedMediaType(f"Bytes of a tus upload are sent as {media_types.TUS}, not as {said!r}.")
