"""A request of the IETF's resumable uploads as an intent."""

from __future__ import annotations

import uuid
from typing import Any

from windlass.kernel import filenames
from windlass.kernel.errors import BadRequest, InconsistentLength, MethodNotAllowed, Problem, UnsupportedMediaType
from windlass.protocols import description_fields, media_types, raw
from windlass.protocols.heads import announces_body, body_length, effective_method, refuse_content_encoding
from windlass.protocols.intents import Abort, Append, Create, Description, Discover, Head, Intent, Query
from windlass.protocols.rufh import interop, structured_fields
from windlass.protocols.tus import metadata

_STATE_FIELDS = ("Upload-Offset", "Upload-Complete", "Upload-Length")


def parse(head: Head, upload_id: uuid.UUID | None) -> Intent:
    """``upload_id`` is the upload that the path names, None for the place where uploads are created.

    Raises BadRequest, InconsistentLength, MethodNotAllowed, UnsupportedMediaType.
    """
    method = effective_method(head)
    match method, upload_id:
        case "OPTIONS", _:
            return Discover()
        case "POST", None:
            return _create(head)
        case "PATCH", uuid.UUID() as known:
            return _append(head, known)
        case "HEAD", uuid.UUID() as known:
            _must_not_speak_of_state(head)
            return Query(known)
        case "DELETE", uuid.UUID() as known:
            _must_not_speak_of_state(head)
            return Abort(known)
    raise _wrong_method(method, upload_id)


def _wrong_method(method: str, upload_id: uuid.UUID | None) -> Problem:
    allowed = "POST, OPTIONS" if upload_id is None else "HEAD, PATCH, DELETE, OPTIONS"
    return MethodNotAllowed(f"Resumable uploads have no {method[:20]!r} here.", headers={"Allow": allowed})


def _create(head: Head) -> Create:
    complete = structured_fields.boolean(head, "Upload-Complete")
    if complete is None:
        raise BadRequest("Upload-Complete is ?1 where the body is the whole file, else ?0.", field="Upload-Complete")
    if structured_fields.integer(head, "Upload-Offset"):
        raise BadRequest("A creation begins at byte 0; leave Upload-Offset out.", field="Upload-Offset")
    refuse_content_encoding(head)
    size = _size(head, 0, complete)
    _must_fit(head, size)
    return Create(
        _description(head),
        size,
        has_body=announces_body(head),
        body_length=_content_length(head),
        completes=complete,
        body_digests=structured_fields.digests(head, "Content-Digest"),
    )


def _append(head: Head, upload_id: uuid.UUID) -> Append:
    if media_types.parse(head.headers.get("content-type")) != media_types.IETF:
        raise UnsupportedMediaType(
            f"Bytes of this upload are sent as {media_types.IETF}.", headers={"Accept-Patch": media_types.IETF}
        )
    refuse_content_encoding(head)
    offset = structured_fields.integer(head, "Upload-Offset")
    if offset is None:
        raise BadRequest("A PATCH needs Upload-Offset: the byte at which its body begins.", field="Upload-Offset")
    complete = _completes(head)
    return Append(
        upload_id,
        offset,
        _content_length(head),
        size=_size(head, offset, complete),
        completes=complete,
        body_digests=structured_fields.digests(head, "Content-Digest"),
        upload_digests=structured_fields.digests(head, "Repr-Digest"),
    )


def _completes(head: Head) -> bool:
    said = structured_fields.boolean(head, "Upload-Complete")
    if said is None and interop.of(head).complete_required:
        raise BadRequest("A PATCH needs Upload-Complete: ?1 where it brings the last bytes.", field="Upload-Complete")
    return bool(said)


def _size(head: Head, offset: int, complete: bool) -> int | None:
    """The length of the whole, which the last request tells by its own. Raises InconsistentLength."""
    said = structured_fields.integer(head, "Upload-Length")
    content = _content_length(head)
    told = offset + content if complete and content is not None else None
    if said is not None and told is not None and said != told:
        raise InconsistentLength(
            f"Upload-Length is {said} bytes; with this request, which is to be the last, the upload would have {told} "
            "bytes.",
            expected=said,
            received=told,
        )
    return told if said is None else said


def _must_fit(head: Head, size: int | None) -> None:
    content = _content_length(head)
    if size is not None and content is not None and content > size:
        raise InconsistentLength(f"The body has {content} bytes, more than the length of {size} bytes.")


def _content_length(head: Head) -> int | None:
    """How long the body is; None where only its end will tell. Without either field there is none (RFC 9112, 6.3)."""
    return None if "transfer-encoding" in head.headers else body_length(head) or 0


def _must_not_speak_of_state(head: Head) -> None:
    found = [name for name in _STATE_FIELDS if name.lower() in head.headers]
    if found and interop.of(head).state_fields_refused:
        raise BadRequest(f"This request must not carry {found[0]}.", field=found[0])


def _description(head: Head) -> Description:
    """Upload-Metadata says most; what it leaves out, the fields and the query that a raw body has may say."""
    said = metadata.describe(head.headers.get("upload-metadata"), None)
    asked: dict[str, Any] = description_fields.from_query(head.query)
    digests = {each.algorithm: each.value.hex() for each in structured_fields.digests(head, "Repr-Digest")}
    named = said.filename != filenames.clean("")
    description_fields.require_small_metadata((said.client_metadata or "") + head.query.get("metadata", ""))
    return Description(
        filename=said.filename if named else raw.name_of(head, None),
        declared_type=said.declared_type or _declared_type(head),
        profile=said.profile if said.profile != "default" else asked["profile"],
        reference=said.reference or asked["reference"],
        sha256=digests.get("sha256") or said.sha256 or asked["sha256"],
        sha512=digests.get("sha512"),
        metadata=asked["metadata"] | dict(said.metadata),
        client_metadata=said.client_metadata,
    )


def _declared_type(head: Head) -> str | None:
    """The type of a part of a file is no type of the file."""
    declared = raw.type_of(head)
    return None if declared in (media_types.IETF, media_types.TUS) else declared
