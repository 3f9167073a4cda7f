"""Parse the requests of the IETF's resumable uploads into intents."""

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
    """``upload_id``: the upload that the path names, None where uploads are created.

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
            _refuse_state_fields(head)
            return Query(known)
        case "DELETE", uuid.UUID() as known:
            _refuse_state_fields(head)
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
    complete = structured_fields.boolean(head, "Upload-Complete")
    if complete is None and interop.of(head).complete_required:
        raise BadRequest("A PATCH needs Upload-Complete: ?1 where it brings the last bytes.", field="Upload-Complete")
    return bool(complete)


def _size(head: Head, offset: int, complete: bool) -> int | None:
    """Return the length of the upload, which follows from the length of the last request. Raises InconsistentLength."""
    declared = structured_fields.integer(head, "Upload-Length")
    content = _content_length(head)
    computed = offset + content if complete and content is not None else None
    if declared is not None and computed is not None and declared != computed:
        raise InconsistentLength(
            f"Upload-Length is {declared} bytes; with this request, which is the last, the upload would have "
            f"{computed} bytes.",
            expected=declared,
            received=computed,
        )
    return computed if declared is None else declared


def _must_fit(head: Head, size: int | None) -> None:
    content = _content_length(head)
    if size is not None and content is not None and content > size:
        raise InconsistentLength(f"The body has {content} bytes, more than the length of {size} bytes.")


def _content_length(head: Head) -> int | None:
    """Return the length of the body; None if it is not announced. Without either field it is 0 (RFC 9112, 6.3)."""
    return None if "transfer-encoding" in head.headers else body_length(head) or 0


def _refuse_state_fields(head: Head) -> None:
    present = [name for name in _STATE_FIELDS if name.lower() in head.headers]
    if present and interop.of(head).state_fields_refused:
        raise BadRequest(f"This request must not carry {present[0]}.", field=present[0])


def _description(head: Head) -> Description:
    """Read Upload-Metadata; for what it leaves out, the headers and the query of a raw upload."""
    described = metadata.describe(head.headers.get("upload-metadata"), None)
    query: dict[str, Any] = description_fields.from_query(head.query)
    digests = {each.algorithm: each.value.hex() for each in structured_fields.digests(head, "Repr-Digest")}
    named = described.filename != filenames.clean("")
    description_fields.require_small_metadata((described.client_metadata or "") + head.query.get("metadata", ""))
    return Description(
        filename=described.filename if named else raw.name_of(head, None),
        declared_type=described.declared_type or _declared_type(head),
        profile=described.profile if described.profile != "default" else query["profile"],
        reference=described.reference or query["reference"],
        sha256=digests.get("sha256") or described.sha256 or query["sha256"],
        sha512=digests.get("sha512"),
        metadata=query["metadata"] | dict(described.metadata),
        client_metadata=described.client_metadata,
    )


def _declared_type(head: Head) -> str | None:
    """Return the declared type of the file; the type of a partial upload is not the type of the file."""
    declared = raw.type_of(head)
    return None if declared in (media_types.IETF, media_types.TUS) else declared
