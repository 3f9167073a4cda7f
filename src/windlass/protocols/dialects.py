"""Which dialect a request for upload speaks, told by its headers alone.

A dialect to come adds its member, its test in ``recognise``, and its module beside the others.
"""

from __future__ import annotations

from enum import StrEnum

from windlass.kernel.errors import BadRequest, MethodNotAllowed, UnsupportedMediaType
from windlass.protocols import media_types
from windlass.protocols.heads import effective_method
from windlass.protocols.intents import Head


class Dialect(StrEnum):
    """The value is what an upload session remembers."""

    TUS = "tus"
    FORM = "form"
    RAW = "raw"


SPOKEN = "Spoken here: tus 1.0.0 (Tus-Resumable: 1.0.0), multipart/form-data, and the file's bytes as the body"

#: Methods that only a resumable protocol uses on uploads.
_RESUMABLE = frozenset({"HEAD", "PATCH", "DELETE", "OPTIONS"})
#: Any of these makes a POST a tus creation, whose version is then asked for.
_TUS_CREATION = frozenset({"upload-length", "upload-defer-length", "upload-concat", "upload-metadata"})
_IETF = frozenset({"upload-complete", "upload-incomplete", "upload-limit", "upload-draft-interop-version"})
_ANY_PROTOCOL = _TUS_CREATION | _IETF | {"tus-resumable", "upload-offset", "upload-checksum"}


def recognise(head: Head) -> Dialect:
    """Raises BadRequest for a request that carries a field of a resumable protocol and makes sense in none:
    it must not end as a file of its own. Raises MethodNotAllowed and UnsupportedMediaType."""
    method = effective_method(head)
    if method == "OPTIONS":
        return Dialect.TUS
    _must_not_be_ietf(head)
    if is_tus(head):
        return Dialect.TUS
    _must_carry_no_protocol_field(head)
    return _plain(method, head)


def is_tus(head: Head) -> bool:
    """Whether the reply, a refusal too, is to be a tus reply."""
    method = effective_method(head)
    return (
        method in _RESUMABLE
        or "tus-resumable" in head.headers
        or (method == "POST" and not _TUS_CREATION.isdisjoint(head.headers))
        or (method == "POST" and _media_type(head) == media_types.TUS)
    )


def _must_not_be_ietf(head: Head) -> None:
    named = sorted(_IETF & head.headers.keys())
    if not named and _media_type(head) != media_types.IETF:
        return
    what = f"The field {named[0]}" if named else f"The media type {media_types.IETF}"
    if "tus-resumable" in head.headers:
        raise BadRequest(f"{what} and Tus-Resumable belong to two different protocols. {SPOKEN}.")
    if _media_type(head) == media_types.FORM:
        raise BadRequest(f"{what} belongs to a resumable upload; a multipart form is none. {SPOKEN}.")
    raise BadRequest(f"{what} belongs to none of the upload protocols of this server. {SPOKEN}.")


def _must_carry_no_protocol_field(head: Head) -> None:
    stray = sorted(_ANY_PROTOCOL & head.headers.keys())
    if stray:
        raise BadRequest(f"The request carries {', '.join(stray)} but is no request of a resumable upload. {SPOKEN}.")


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
