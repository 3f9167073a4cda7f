"""The upload dialects, and which of them a request at /files or /uploads is in, judged by its headers alone.

A new dialect adds a member, its test in ``recognise_dialect`` if it shares these paths, and a module beside the others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from windlass.kernel.problem_types import BadRequest, MethodNotAllowed, UnsupportedMediaType
from windlass.protocols import media_types, structured_fields
from windlass.protocols.ietf import NEWEST, OLDEST
from windlass.protocols.intents import Head
from windlass.protocols.request_heads import effective_method, media_type


class Dialect(StrEnum):
    """The value is stored in the upload session: a session can only be continued in its dialect."""

    TUS = "tus"
    IETF = "ietf"
    FORM = "form"
    RAW = "raw"
    CHUNKS = "chunks"
    MEDIA = "media"
    S3 = "s3"


ResumableDialect = Literal[Dialect.TUS, Dialect.IETF]
PlainDialect = Literal[Dialect.FORM, Dialect.RAW]

SUPPORTED = (
    "Supported: tus 1.0.0 (Tus-Resumable: 1.0.0), the IETF's resumable uploads (Upload-Complete), "
    "multipart/form-data, and the file's bytes as the body"
)

#: Methods of an existing upload.
_UPLOAD_METHODS = frozenset({"HEAD", "PATCH", "DELETE", "OPTIONS"})
#: Any of these makes a POST a tus creation, which must then have Tus-Resumable, unless it has Upload-Complete.
_TUS_CREATION_FIELDS = frozenset({"upload-length", "upload-defer-length", "upload-concat", "upload-metadata"})
_IETF_FIELDS = frozenset({"upload-complete", "upload-incomplete", "upload-limit", "upload-draft-interop-version"})
_PROTOCOL_FIELDS = _TUS_CREATION_FIELDS | _IETF_FIELDS | {"tus-resumable", "upload-offset", "upload-checksum"}


def recognise_dialect(head: Head) -> ResumableDialect | PlainDialect:
    """Return the dialect of a request. Raises MethodNotAllowed, UnsupportedMediaType, BadRequest.

    A request that carries a field of a resumable protocol but is valid in none must not be stored as a file.
    """
    _refuse_mixed_protocols(head)
    dialect = resumable_dialect(head)
    if dialect is not None:
        return dialect
    require_whole_body(head)
    _refuse_protocol_fields(head)
    return _plain_dialect(effective_method(head), head)


def resumable_dialect(head: Head) -> ResumableDialect | None:
    """Return the resumable dialect of a request, in which refusals are rendered too; None for a plain one.

    HEAD, DELETE and OPTIONS are tus if they have Tus-Resumable, PATCH and POST also if their media type is that of tus.
    Never raises.
    """
    method, content_type = effective_method(head), media_type(head)
    if "tus-resumable" in head.headers:
        return Dialect.TUS
    if method in ("POST", "PATCH") and content_type == media_types.TUS:
        return Dialect.TUS
    if _is_plain_with_completeness(head):
        return None
    if method == "POST" and "upload-complete" in head.headers:
        return Dialect.IETF
    if method == "POST" and not _TUS_CREATION_FIELDS.isdisjoint(head.headers):
        return Dialect.TUS
    return Dialect.IETF if method in _UPLOAD_METHODS else None


def probable_dialect(head: Head) -> Dialect:
    """Return the dialect under which a request at /files or /uploads is counted, even if it is valid in none."""
    resumable = resumable_dialect(head)
    if resumable is not None:
        return resumable
    return Dialect.FORM if media_type(head) == media_types.FORM else Dialect.RAW


def require_whole_body(head: Head) -> None:
    """Raises BadRequest for a plain upload that declares its body to be only a part of the file."""
    if structured_fields.boolean(head, "Upload-Incomplete") is True:
        raise BadRequest(
            "Upload-Incomplete: ?1 belongs to a version of the IETF's resumable uploads that is not supported; "
            f"supported are the interop versions {OLDEST} to {NEWEST}, with Upload-Complete. Send the whole file with "
            "Upload-Incomplete: ?0, or resume uploads in one of those versions or with tus 1.0.0.",
            field="Upload-Incomplete",
        )
    if structured_fields.boolean(head, "Upload-Complete") is False:
        raise BadRequest(
            f"Upload-Complete: ?0 cannot be used with a form, which is always a whole upload. {SUPPORTED}.",
            field="Upload-Complete",
        )


def _is_plain_with_completeness(head: Head) -> bool:
    """Whether a plain upload declares completeness: old clients (interop version 3) and forms of browsers do."""
    if effective_method(head) not in ("POST", "PUT"):
        return False
    is_form = media_type(head) == media_types.FORM and "upload-complete" in head.headers
    return is_form or ("upload-incomplete" in head.headers and "upload-complete" not in head.headers)


def _refuse_mixed_protocols(head: Head) -> None:
    """Raises BadRequest for fields that mean one thing in one protocol and another in the other."""
    method, content_type = effective_method(head), media_type(head)
    ietf_fields = sorted(_IETF_FIELDS & head.headers.keys())
    if method == "OPTIONS":
        return
    if "tus-resumable" in head.headers and (ietf_fields or content_type == media_types.IETF):
        what = ietf_fields[0] if ietf_fields else media_types.IETF
        raise BadRequest(f"{what} and Tus-Resumable belong to two different protocols. {SUPPORTED}.")
    if "upload-complete" in head.headers and content_type == media_types.TUS:
        raise BadRequest(f"Upload-Complete cannot be used with a body of the type {content_type}. {SUPPORTED}.")
    if method == "POST" and content_type == media_types.IETF and "upload-complete" not in head.headers:
        raise BadRequest(f"A creation with a body of the type {content_type} needs Upload-Complete. {SUPPORTED}.")


def _refuse_protocol_fields(head: Head) -> None:
    stray = sorted((_PROTOCOL_FIELDS - _fields_of_whole_upload(head)) & head.headers.keys())
    if stray or media_type(head) == media_types.IETF:
        what = ", ".join(stray) or media_types.IETF
        raise BadRequest(f"The request carries {what} but is not a request of a resumable upload. {SUPPORTED}.")


def _fields_of_whole_upload(head: Head) -> frozenset[str]:
    """The protocol fields that a plain upload may carry: those that old clients and browsers send with a whole file."""
    stated = {name: structured_fields.boolean(head, name) for name in ("Upload-Complete", "Upload-Incomplete")}
    if stated["Upload-Incomplete"] is False:
        return frozenset({"upload-incomplete", "upload-draft-interop-version", "upload-length"})
    if stated["Upload-Complete"] is True and media_type(head) == media_types.FORM:
        return frozenset({"upload-complete", "upload-draft-interop-version", "upload-length"})
    return frozenset()


def _plain_dialect(method: str, head: Head) -> PlainDialect:
    is_form = media_type(head) == media_types.FORM
    match method:
        case "POST":
            return Dialect.FORM if is_form else Dialect.RAW
        case "PUT" if is_form:
            raise UnsupportedMediaType("PUT takes the file's bytes as the body; a multipart form is sent with POST.")
        case "PUT":
            return Dialect.RAW
        case _:
            raise MethodNotAllowed(f"No upload protocol has the method {method[:20]!r}. {SUPPORTED}.")
