"""A tus request's head as an intent."""

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
from windlass.protocols import claims, media_types
from windlass.protocols.heads import announces_body, body_length, effective_method, must_not_be_encoded, number
from windlass.protocols.intents import Abort, Append, Create, Discover, Head, Intent, Query
from windlass.protocols.tus import metadata
from windlass.protocols.tus.dialect import EXTENSIONS, VERSION

#: Fields of extensions that are not announced. To ignore one would be to promise what is not done.
_NOT_ANNOUNCED = {
    "upload-defer-length": "creation-defer-length",
    "upload-concat": "concatenation",
    "upload-checksum": "checksum",
}


def parse(head: Head, upload_id: uuid.UUID | None) -> Intent:
    """``upload_id`` is the upload that the path names, None for the place where uploads are created.

    Raises WrongProtocolVersion, BadRequest, MethodNotAllowed, UnsupportedMediaType, PastDeclaredLength.
    """
    method = effective_method(head)
    if method == "OPTIONS":
        return Discover()
    _must_be_our_version(head)
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


def _must_be_our_version(head: Head) -> None:
    version = head.headers.get("tus-resumable")
    if version != VERSION:
        said = "no Tus-Resumable field" if version is None else f"Tus-Resumable: {version[:20]!r}"
        raise WrongProtocolVersion(f"The request has {said}. Spoken here: tus {VERSION}.")


def _wrong_method(method: str, upload_id: uuid.UUID | None) -> Problem:
    allowed = "POST, OPTIONS" if upload_id is None else "HEAD, PATCH, DELETE, OPTIONS"
    return MethodNotAllowed(f"tus has no {method[:20]!r} here. Allowed: {allowed}.", headers={"Allow": allowed})


def _create(head: Head) -> Create:
    _must_need_no_other_extension(head)
    size = number(head, "Upload-Length")
    if size is None:
        raise BadRequest("A creation needs Upload-Length: the size of the whole file in bytes.", field="Upload-Length")
    if number(head, "Upload-Offset"):
        raise BadRequest("A creation begins at byte 0; leave Upload-Offset out.", field="Upload-Offset")
    described = metadata.describe(head.headers.get("upload-metadata"), claims.profile(head.query.get("profile")))
    return Create(described, size, has_body=_begins(head, size), body_length=body_length(head))


def _begins(head: Head, size: int) -> bool:
    """Whether the creation carries the first bytes (creation-with-upload)."""
    if _media_type(head) != media_types.TUS:
        if announces_body(head):
            raise _wrong_media_type(head)
        return False
    must_not_be_encoded(head)
    _must_fit(body_length(head), size)
    return True


def _append(head: Head, upload_id: uuid.UUID) -> Append:
    if _media_type(head) != media_types.TUS:
        raise _wrong_media_type(head)
    must_not_be_encoded(head)
    _must_need_no_other_extension(head)
    if "upload-length" in head.headers:
        raise BadRequest("The length was said at creation and does not change; leave Upload-Length out of PATCH.")
    offset = number(head, "Upload-Offset")
    if offset is None:
        raise BadRequest("A PATCH needs Upload-Offset: the byte at which its body begins.", field="Upload-Offset")
    return Append(upload_id, offset, body_length(head))


def _must_fit(announced: int | None, size: int) -> None:
    if announced is not None and announced > size:
        raise PastDeclaredLength(
            f"The body has {announced} bytes, more than the Upload-Length of {size}.", limit=size, received=announced
        )


def _must_need_no_other_extension(head: Head) -> None:
    for field, extension in _NOT_ANNOUNCED.items():
        if field in head.headers:
            raise BadRequest(
                f"The field {field} belongs to the tus extension {extension}. "
                f"Extensions of this server: {', '.join(EXTENSIONS)}.",
                extensions=list(EXTENSIONS),
            )


def _media_type(head: Head) -> str | None:
    return media_types.parse(head.headers.get("content-type"))


def _wrong_media_type(head: Head) -> Problem:
    said = head.headers.get("content-type", "")[:60]
    return UnsupportedMediaType(f"Bytes of a tus upload are sent as {media_types.TUS}, not as {said!r}.")
