"""Render outcomes as replies of the IETF's resumable uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from windlass.kernel import urls
from windlass.kernel.errors import (
    BodyDigestMismatch,
    ChecksumMismatch,
    FileTooLarge,
    InconsistentLength,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    UploadComplete,
)
from windlass.protocols import media_types
from windlass.protocols.intents import Reply, UploadState
from windlass.protocols.rufh import structured_fields
from windlass.protocols.rufh.interop import FIELD, Interop

#: The status of the interim response that says where the upload can be resumed.
UPLOAD_RESUMPTION_SUPPORTED = 104
_TYPES = "https://iana.org/assignments/http-problem-types#"


def begun(state: UploadState, location: str, interop: Interop, now: datetime) -> Mapping[str, str]:
    """The fields of the interim response 104."""
    return {FIELD: str(interop.requested), "Location": location} | _limit(state, interop, now)


def taken(
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a refusal differs from the same problem elsewhere: status, headers, members of the document."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)


def refused(problem: Problem) -> Refusal:
    headers = problem.headers | {"Cache-Control": "no-store"}
    match problem:
        case OffsetMismatch():
            told = {"Upload-Complete": "?0", "Upload-Offset": str(problem.expected)}
            offsets = {name.replace("_", "-"): value for name, value in problem.members.items()}
            return Refusal(409, headers | told, _typed("mismatching-upload-offset", 409) | offsets)
        case UploadComplete():
            return Refusal(400, headers, _typed("completed-upload", 400))
        case InconsistentLength() | PastDeclaredLength():
            return Refusal(400, headers, _typed("inconsistent-upload-length", 400))
        case BodyDigestMismatch():
            told = {"Upload-Complete": "?0", "Upload-Offset": str(problem.members["offset"])}
            return Refusal(400, headers | told, _typed("digest-mismatching-values", 400))
        case ChecksumMismatch():
            return Refusal(problem.status, headers | {"Upload-Complete": "?1"})
        case FileTooLarge():
            limit = structured_fields.dictionary({"max-size": problem.members["limit"]})
            return Refusal(problem.status, headers | {"Upload-Limit": limit})
    return Refusal(problem.status, headers)


def _typed(name: str, status: int) -> dict[str, Any]:
    return {"type": _TYPES + name, "status": status}


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
