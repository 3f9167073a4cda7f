"""Which dialect a request for upload speaks, told by its headers alone.

A dialect to come adds its member, its test in ``recognise``, and its module beside the others.
"""

from __future__ import annotations

from enum import StrEnum

from windlass.kernel.errors import BadRequest, MethodNotAllowed, UnsupportedMediaType
from windlass.protocols import media_types
from windlass.protocols.heads import effective_method
from windlass.protocols.intents import Head
from windlass.protocols.rufh import fields
from windlass.protocols.rufh.interop import NEWEST, OLDEST


class Dialect(StrEnum):
    """The value is what an upload session remembers."""

    TUS = "tus"
    IETF = "ietf"
    FORM = "form"
    RAW = "raw"


SPOKEN = (
    "Spoken here: tus 1.0.0 (Tus-Resumable: 1.0.0), the IETF's resumable uploads (Upload-Complete), "
    "multipart/form-data, and the file's bytes as the body"
)

#: Methods that ask of an upload that is there already.
_OF_AN_UPLOAD = frozenset({"HEAD", "PATCH", "DELETE", "OPTIONS"})
#: Any of these makes a POST a tus creation, whose version is then asked for, unless it has Upload-Complete.
_TUS_CREATION = frozenset({"upload-length", "upload-defer-length", "upload-concat", "upload-metadata"})
_IETF = frozenset({"upload-complete", "upload-incomplete", "upload-limit", "upload-draft-interop-version"})
_ANY_PROTOCOL = _TUS_CREATION | _IETF | {"tus-resumable", "upload-offset", "upload-checksum"}


def recognise(head: Head) -> Dialect:
    """Raises BadRequest for a request that carries a field of a resumable protocol and makes sense in none:
    it must not end as a file of its own. Raises MethodNotAllowed and UnsupportedMediaType."""
    _must_not_mix(head)
    resumable = speaks(head)
    if resumable is not None:
        return resumable
    must_be_whole(head)
    _must_carry_no_protocol_field(head)
    return _plain(effective_method(head), head)


def speaks(head: Head) -> Dialect | None:
    """The resumable dialect of a request, in which its refusal is told too; None for a plain one. Never raises.

    HEAD, DELETE and OPTIONS of an upload are in tus where they say so; PATCH and POST also where their media type does.
    """
    method, media_type = effective_method(head), _media_type(head)
    if "tus-resumable" in head.headers:
        return Dialect.TUS
    if method in ("POST", "PATCH") and media_type == media_types.TUS:
        return Dialect.TUS
    if _says_whether_it_is_whole(head):
        return None
    if method == "POST" and "upload-complete" in head.headers:
        return Dialect.IETF
    if method == "POST" and not _TUS_CREATION.isdisjoint(head.headers):
        return Dialect.TUS
    return Dialect.IETF if method in _OF_AN_UPLOAD else None


def must_be_whole(head: Head) -> None:
    """Of an ordinary upload: what it says of a resumable protocol is that its body is all of the file.

    Raises BadRequest for a part of a file, which must not be taken for a file.
    """
    complete, incomplete = fields.boolean(head, "Upload-Complete"), fields.boolean(head, "Upload-Incomplete")
    if incomplete is True:
        raise BadRequest(
            "Upload-Incomplete: ?1 is of a version of the IETF's resumable uploads that is not spoken here; spoken are "
            f"the interop versions {OLDEST} to {NEWEST}, with Upload-Complete. Send the whole file with "
            "Upload-Incomplete: ?0, or resume uploads in one of those versions or with tus 1.0.0.",
            field="Upload-Incomplete",
        )
    if complete is False:
        raise BadRequest(
            f"Upload-Complete: ?0 does not go with a form, which is always a whole upload. {SPOKEN}.",
            field="Upload-Complete",
        )


def _says_whether_it_is_whole(head: Head) -> bool:
    """Old clients say it of an ordinary upload (interop version 3), and browsers of a form."""
    if effective_method(head) not in ("POST", "PUT"):
        return False
    is_form = _media_type(head) == media_types.FORM and "upload-complete" in head.headers
    return is_form or ("upload-incomplete" in head.headers and "upload-complete" not in head.headers)


def _must_not_mix(head: Head) -> None:
    """Refuse what would mean one thing in one protocol and another in the next."""
    method, media_type = effective_method(head), _media_type(head)
    named = sorted(_IETF & head.headers.keys())
    if method == "OPTIONS":
        return
    if "tus-resumable" in head.headers and (named or media_type == media_types.IETF):
        what = named[0] if named else media_types.IETF
        raise BadRequest(f"{what} and Tus-Resumable belong to two different protocols. {SPOKEN}.")
    if "upload-complete" in head.headers and media_type == media_types.TUS:
        raise BadRequest(f"Upload-Complete does not go with a body of the type {media_type}. {SPOKEN}.")
    if method == "POST" and media_type == media_types.IETF and "upload-complete" not in head.headers:
        raise BadRequest(f"A creation with a body of the type {media_type} needs Upload-Complete. {SPOKEN}.")


def _must_carry_no_protocol_field(head: Head) -> None:
    stray = sorted((_ANY_PROTOCOL - _of_a_whole_upload(head)) & head.headers.keys())
    if stray or _media_type(head) == media_types.IETF:
        what = ", ".join(stray) or media_types.IETF
        raise BadRequest(f"The request carries {what} but is no request of a resumable upload. {SPOKEN}.")


def _of_a_whole_upload(head: Head) -> frozenset[str]:
    """The fields that an ordinary upload may carry: where one says that the body is the whole file, also what old
    clients and browsers send with it."""
    said = {name: fields.boolean(head, name) for name in ("Upload-Complete", "Upload-Incomplete")}
    if said["Upload-Incomplete"] is False:
        return frozenset({"upload-incomplete", "upload-draft-interop-version", "upload-length"})
    if said["Upload-Complete"] is True and _media_type(head) == media_types.FORM:
        return frozenset({"upload-complete", "upload-draft-interop-version", "upload-length"})
    return frozenset()


def _plain(method: str, head: Head) -> Dialect:
    is_form = _media_type(head) == media_types.FORM
    match method:
        case "POST":
            return Dialect.FORM if is_form else Dialect.RAW
        case "PUT" if is_form:
            raise UnsupportedMediaType("PUT takes the file's bytes as the body; a multipart form is sent with POST.")
        case "PUT":
            return Dialect.RAW
        case _:
            raise MethodNotAllowed(f"No upload protocol has the method {method[:20]!r}. {SPOKEN}.")


def _media_type(head: Head) -> str | None:
    return media_types.parse(head.headers.get("content-type"))
