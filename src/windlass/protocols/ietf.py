"""Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): parse requests into intents, render outcomes.

One code path for every supported version; ``VERSIONS`` has their differences
(docs/decisions/0017-ietf-resumable-uploads.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from windlass.kernel import filenames, urls
from windlass.kernel.problem_types import (
    BadRequest,
    BodyDigestMismatch,
    ChecksumMismatch,
    FileTooLarge,
    InconsistentLength,
    MethodNotAllowed,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    UnsupportedMediaType,
    UploadComplete,
)
from windlass.protocols import description_fields, media_types, raw, structured_fields, upload_metadata
from windlass.protocols.intents import (
    Abort,
    Append,
    Create,
    Description,
    Discover,
    Head,
    Intent,
    Query,
    Reply,
    UploadState,
)
from windlass.protocols.request_heads import (
    announces_body,
    body_length,
    effective_method,
    media_type,
    refuse_content_encoding,
)

#: The status of the interim response that says where the upload can be resumed.
UPLOAD_RESUMPTION_SUPPORTED = 104

_TYPES = "https://iana.org/assignments/http-problem-types#"
_STATE_FIELDS = ("Upload-Offset", "Upload-Complete", "Upload-Length")
_VERSION_FIELD = "Upload-Draft-Interop-Version"


@dataclass(frozen=True, slots=True)
class Interop:
    """A version of the draft. ``requested``: the number that the request has, None if it has none."""

    accepted: int
    """The status of the reply to bytes that are not the last."""
    lifetime: str
    """The key of Upload-Limit for the seconds that an upload has left."""
    state_fields_refused: bool
    """HEAD and DELETE must not carry Upload-Offset, Upload-Complete or Upload-Length."""
    past_length_ends: bool
    """Bytes beyond the length make the upload invalid for good."""
    complete_required: bool
    """PATCH must carry Upload-Complete; where it need not, its absence means that more will come."""
    requested: int | None = None

    @property
    def sends_104(self) -> bool:
        """Whether the client gets interim responses: it named a supported version."""
        return self.requested is not None and OLDEST <= self.requested <= NEWEST


OLDEST, NEWEST = 6, 10

#: By the lowest number that a row is for: 6 is drafts -04 and -05, 8 is -09 to -11.
VERSIONS = {
    10: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=True),
    8: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=False),
    7: Interop(204, "max-age", state_fields_refused=False, past_length_ends=False, complete_required=False),
    6: Interop(201, "expires", state_fields_refused=True, past_length_ends=False, complete_required=False),
}


def interop_of(head: Head) -> Interop:
    """Return the version of this request. Without one, or with one that is newer, it is the newest."""
    requested = structured_fields.integer(head, _VERSION_FIELD)
    number = NEWEST if requested is None else max(requested, OLDEST)
    row = next(row for least, row in VERSIONS.items() if number >= least)
    return replace(row, requested=requested)


def parse(head: Head, upload_id: uuid.UUID | None) -> Intent:
    """``upload_id``: the upload that the path names, None where uploads are created. Raises BadRequest,
    InconsistentLength, MethodNotAllowed, UnsupportedMediaType."""
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
    allowed = "POST, OPTIONS" if upload_id is None else "HEAD, PATCH, DELETE, OPTIONS"
    raise MethodNotAllowed(f"Resumable uploads have no {method[:20]!r} here.", headers={"Allow": allowed})


def _create(head: Head) -> Create:
    complete = structured_fields.boolean(head, "Upload-Complete")
    if complete is None:
        raise BadRequest("Upload-Complete is ?1 where the body is the whole file, else ?0.", field="Upload-Complete")
    if structured_fields.integer(head, "Upload-Offset"):
        raise BadRequest("A creation begins at byte 0; leave Upload-Offset out.", field="Upload-Offset")
    refuse_content_encoding(head)
    size = _size(head, 0, complete)
    content = _content_length(head)
    if size is not None and content is not None and content > size:
        raise InconsistentLength(f"The body has {content} bytes, more than the length of {size} bytes.")
    return Create(
        _description(head),
        size,
        has_body=announces_body(head),
        body_length=content,
        completes=complete,
        body_digests=structured_fields.digests(head, "Content-Digest"),
    )


def _append(head: Head, upload_id: uuid.UUID) -> Append:
    if media_type(head) != media_types.IETF:
        raise UnsupportedMediaType(
            f"Bytes of this upload are sent as {media_types.IETF}.", headers={"Accept-Patch": media_types.IETF}
        )
    refuse_content_encoding(head)
    offset = structured_fields.integer(head, "Upload-Offset")
    if offset is None:
        raise BadRequest("A PATCH needs Upload-Offset: the byte at which its body begins.", field="Upload-Offset")
    complete = structured_fields.boolean(head, "Upload-Complete")
    if complete is None and interop_of(head).complete_required:
        raise BadRequest("A PATCH needs Upload-Complete: ?1 where it brings the last bytes.", field="Upload-Complete")
    complete = bool(complete)
    return Append(
        upload_id,
        offset,
        _content_length(head),
        size=_size(head, offset, complete),
        completes=complete,
        body_digests=structured_fields.digests(head, "Content-Digest"),
        upload_digests=structured_fields.digests(head, "Repr-Digest"),
    )


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


def _content_length(head: Head) -> int | None:
    """Return the length of the body; None if it is not announced. Without either field it is 0 (RFC 9112, 6.3)."""
    return None if "transfer-encoding" in head.headers else body_length(head) or 0


def _refuse_state_fields(head: Head) -> None:
    present = [name for name in _STATE_FIELDS if name.lower() in head.headers]
    if present and interop_of(head).state_fields_refused:
        raise BadRequest(f"This request must not carry {present[0]}.", field=present[0])


def _description(head: Head) -> Description:
    """Read Upload-Metadata; for what it leaves out, the headers and the query of a raw upload."""
    described = upload_metadata.describe(head.headers.get("upload-metadata"), None)
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


def interim_fields(state: UploadState, location: str, interop: Interop, now: datetime) -> Mapping[str, str]:
    """The fields of the interim response 104."""
    return {_VERSION_FIELD: str(interop.requested), "Location": location} | _limit(state, interop, now)


def received(
    state: UploadState, location: str, interop: Interop, now: datetime, record: Any = None, *, creation: bool = False
) -> Reply:
    """Reply to a creation or to bytes. ``record``: the file's record once the upload is complete."""
    headers = _state(state) | _limit(state, interop, now)
    if state.complete:
        return Reply(201, headers | {"Location": location}, record)
    if creation:
        return Reply(201, headers | {"Location": location})
    return Reply(interop.accepted, headers)


def queried(state: UploadState, interop: Interop, now: datetime) -> Reply:
    headers = _state(state) | _limit(state, interop, now) | {"Cache-Control": "no-store"}
    if state.size is not None:
        headers["Upload-Length"] = str(state.size)
    return Reply(204, headers)


def aborted() -> Reply:
    return Reply(204)


def discovered(max_size: int, min_size: int, life_seconds: int, interop: Interop) -> dict[str, str]:
    """Return the fields of a reply to OPTIONS. ``min-size`` is always present; 0 is no limit."""
    limits = {"max-size": max_size, "min-size": min_size, interop.lifetime: life_seconds}
    return {
        "Upload-Limit": structured_fields.dictionary(limits),
        "Accept-Patch": f"{media_types.IETF}, {media_types.TUS}",
    }


def refused(problem: Problem) -> Reply:
    """Return how a refusal differs from the same problem elsewhere: status, headers, members of the document."""
    headers = problem.headers | {"Cache-Control": "no-store"}
    match problem:
        case OffsetMismatch():
            offsets = {name.replace("_", "-"): value for name, value in problem.members.items()}
            members = _typed("mismatching-upload-offset", 409) | offsets
            return Reply(409, headers | _unfinished_at(problem.expected), members)
        case UploadComplete():
            return Reply(400, headers, _typed("completed-upload", 400))
        case InconsistentLength() | PastDeclaredLength():
            return Reply(400, headers, _typed("inconsistent-upload-length", 400))
        case BodyDigestMismatch():
            unfinished = _unfinished_at(problem.members["offset"])
            return Reply(400, headers | unfinished, _typed("digest-mismatching-values", 400))
        case ChecksumMismatch():
            return Reply(problem.status, headers | {"Upload-Complete": "?1"}, {})
        case FileTooLarge():
            limit = structured_fields.dictionary({"max-size": problem.members["limit"]})
            return Reply(problem.status, headers | {"Upload-Limit": limit}, {})
    return Reply(problem.status, headers, {})


def _typed(name: str, status: int) -> dict[str, Any]:
    return {"type": _TYPES + name, "status": status}


def _unfinished_at(offset: int) -> dict[str, str]:
    return {"Upload-Complete": "?0", "Upload-Offset": str(offset)}


def _state(state: UploadState) -> dict[str, str]:
    file = {"Windlass-File": urls.file_path(state.file_id)} if state.file_id else {}
    return {"Upload-Complete": "?1" if state.complete else "?0", "Upload-Offset": str(state.offset)} | file


def _limit(state: UploadState, interop: Interop, now: datetime) -> dict[str, str]:
    limits: dict[str, int] = {}
    if state.max_size is not None:
        limits["max-size"] = state.max_size
    if state.min_size or not limits:
        limits["min-size"] = state.min_size
    if state.expires_at is not None:
        limits[interop.lifetime] = max(0, int((state.expires_at - now).total_seconds()))
    return {"Upload-Limit": structured_fields.dictionary(limits)}
