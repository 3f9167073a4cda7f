"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): parse a request's head into an intent, render outcomes as
replies."""

from __future__ import annotations

import base64
import uuid
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from windlass.kernel import urls
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import (
    BadRequest,
    MethodNotAllowed,
    PastDeclaredLength,
    Problem,
    UnsupportedMediaType,
    WrongProtocolVersion,
)
from windlass.protocols import description_fields, media_types, upload_metadata
from windlass.protocols.digests import ALGORITHMS, Checksum
from windlass.protocols.intents import (
    Abort,
    Append,
    Concatenate,
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
    number,
    refuse_content_encoding,
)

VERSION = "1.0.0"
#: An extension is listed once all of it works. checksum-trailer is missing: the HTTP server does not pass trailers on
#: (docs/decisions/0016-tus-extensions.md).
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
)
#: In the specification's spelling.
CHECKSUM_ALGORITHMS = tuple(ALGORITHMS)
PARTIAL = "partial"
#: Distinct partial uploads that one final upload may be made of, and how many it may name in all.
MAX_PARTS = 10_000
MAX_NAMES = 100_000


def parse(head: Head, upload_id: uuid.UUID | None) -> Intent:
    """``upload_id``: the upload that the path names, None where uploads are created. Raises WrongProtocolVersion,
    BadRequest, MethodNotAllowed, UnsupportedMediaType, PastDeclaredLength."""
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
    allowed = "POST, OPTIONS" if upload_id is None else "HEAD, PATCH, DELETE, OPTIONS"
    raise MethodNotAllowed(f"tus has no {method[:20]!r} here. Allowed: {allowed}.", headers={"Allow": allowed})


def may_have_an_empty_body(head: Head) -> bool:
    """Whether it is known only at the end of the body if a creation has bytes: it uses the chunked transfer coding
    and does not have the media type of tus."""
    return "transfer-encoding" in head.headers and media_type(head) != media_types.TUS


def _check_version(head: Head) -> None:
    version = head.headers.get("tus-resumable")
    if version != VERSION:
        stated = "no Tus-Resumable field" if version is None else f"Tus-Resumable: {version[:20]!r}"
        raise WrongProtocolVersion(f"The request has {stated}. Supported: tus {VERSION}.")


def _create(head: Head) -> Create | Concatenate:
    if number(head, "Upload-Offset"):
        raise BadRequest("A creation begins at byte 0; leave Upload-Offset out.", field="Upload-Offset")
    described = upload_metadata.describe(
        head.headers.get("upload-metadata"), description_fields.profile(head.query.get("profile"))
    )
    concat_header = head.headers.get("upload-concat")
    parts = None if concat_header is None else parse_concat(concat_header)
    if concat_header is not None and parts is not None:
        return _concatenate(head, described, parts, concat_header)
    size = _size(head)
    return Create(
        described,
        size,
        has_body=_has_body(head, size),
        body_length=body_length(head),
        body_digests=_announced_checksum(head),
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
    if media_type(head) != media_types.TUS:
        if announces_body(head):
            raise _wrong_media_type(head)
        return False
    refuse_content_encoding(head)
    announced = body_length(head)
    if announced is not None and size is not None and announced > size:
        raise PastDeclaredLength(
            f"The body has {announced} bytes, more than the Upload-Length of {size} bytes.",
            limit=size,
            received=announced,
        )
    return True


def _append(head: Head, upload_id: uuid.UUID) -> Append:
    if media_type(head) != media_types.TUS:
        raise _wrong_media_type(head)
    refuse_content_encoding(head)
    offset = number(head, "Upload-Offset")
    if offset is None:
        raise BadRequest("A PATCH needs Upload-Offset: the byte at which its body begins.", field="Upload-Offset")
    return Append(
        upload_id, offset, body_length(head), size=number(head, "Upload-Length"), body_digests=_announced_checksum(head)
    )


def _wrong_media_type(head: Head) -> Problem:
    declared = head.headers.get("content-type", "")[:60]
    return UnsupportedMediaType(f"Bytes of a tus upload are sent as {media_types.TUS}, not as {declared!r}.")


def _announced_checksum(head: Head) -> tuple[Checksum, ...]:
    """Return the digest in ``Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=``; empty without that field. Raises
    BadRequest."""
    header = head.headers.get("upload-checksum")
    if header is None:
        return ()
    algorithm, _, value = header.strip().partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise BadRequest(
            f"Upload-Checksum has the algorithm {algorithm[:20]!r}. Known here: {', '.join(CHECKSUM_ALGORITHMS)}.",
            field="Upload-Checksum",
            algorithms=list(CHECKSUM_ALGORITHMS),
        )
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except ValueError as error:
        raise BadRequest("Upload-Checksum has a digest that is not base64.", field="Upload-Checksum") from error
    if not digest:
        raise BadRequest("Upload-Checksum has no digest.", field="Upload-Checksum")
    return (Checksum(algorithm, digest),)


def parse_concat(value: str) -> tuple[uuid.UUID, ...] | None:
    """Return the parts that ``final;/uploads/a /uploads/b`` names, in order; None for a partial upload. Raises
    BadRequest."""
    text = value.strip()
    if text == PARTIAL:
        return None
    if not text.startswith("final;"):
        raise BadRequest(
            f"Upload-Concat is 'partial', or 'final;' and the URLs of partial uploads; not {text[:40]!r}.",
            field="Upload-Concat",
        )
    names = text.removeprefix("final;").split()
    if not names:
        raise BadRequest("Upload-Concat names no partial upload.", field="Upload-Concat")
    if len(names) > MAX_NAMES:
        raise _too_many(f"names partial uploads {len(names)} times; {MAX_NAMES} times are allowed", MAX_NAMES)
    if len(distinct := set(names)) > MAX_PARTS:
        raise _too_many(f"names {len(distinct)} partial uploads; {MAX_PARTS} are allowed", MAX_PARTS)
    uploads = {url: _upload_of(url) for url in distinct}
    return tuple(uploads[url] for url in names)


def _too_many(what: str, limit: int) -> BadRequest:
    detail = f"Upload-Concat {what}. Join them in several steps with fewer parts."
    return BadRequest(detail, field="Upload-Concat", limit=limit)


def _upload_of(url: str) -> uuid.UUID:
    """Return the upload that a URL names. Its host is ignored: behind a proxy clients know another one."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    *_, folder, name = ["", *unquote(path).rstrip("/").split("/")]
    upload_id = parse_id(name) if folder == "uploads" and "," not in path else None
    if upload_id is None:
        raise BadRequest(f"Upload-Concat has a URL that is no upload here: {url[:80]!r}.", field="Upload-Concat")
    return upload_id


def created(state: UploadState, location: str, *, received_body: bool) -> Reply:
    """``location``: the URL of the upload, as this client reaches it."""
    headers = {"Location": location} | _expiry(state)
    if received_body:
        headers["Upload-Offset"] = str(state.offset)
    return Reply(201, _with_version(headers, state))


def appended(state: UploadState) -> Reply:
    return Reply(204, _with_version({"Upload-Offset": str(state.offset)} | _expiry(state), state))


def queried(state: UploadState) -> Reply:
    """``Upload-Metadata`` is returned exactly as it was sent, even if empty."""
    headers = {"Cache-Control": "no-store"} | _length(state)
    if state.complete or not _is_final(state):
        headers["Upload-Offset"] = str(state.offset)
    if state.concat is not None:
        headers["Upload-Concat"] = state.concat
    if state.client_metadata is not None:
        headers["Upload-Metadata"] = state.client_metadata
    return Reply(200, _with_version(headers, state))


def _length(state: UploadState) -> dict[str, str]:
    """A final upload whose parts are incomplete has no length yet, and its client cannot declare one later."""
    if state.size is not None:
        return {"Upload-Length": str(state.size)}
    return {} if _is_final(state) else {"Upload-Defer-Length": "1"}


def _is_final(state: UploadState) -> bool:
    return state.concat is not None and state.concat != PARTIAL


def aborted() -> Reply:
    return Reply(204, _with_version({}))


def discovered(max_size: int) -> Reply:
    """The one reply without ``Tus-Resumable``. ``max_size`` is in bytes."""
    return Reply(
        204,
        {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Max-Size": str(max_size),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
        },
    )


def refused(problem: Problem) -> dict[str, str]:
    """Return the headers of a refusal of any tus request but OPTIONS. No cache may use it for the next HEAD."""
    headers = problem.headers | {"Cache-Control": "no-store"}
    if problem.status == 412:
        headers["Tus-Version"] = VERSION
    return _with_version(headers)


def _expiry(state: UploadState) -> dict[str, str]:
    if state.complete or state.expires_at is None:
        return {}
    return {"Upload-Expires": format_datetime(state.expires_at, usegmt=True)}


def _with_version(headers: dict[str, str], state: UploadState | None = None) -> dict[str, str]:
    file = {"Windlass-File": urls.file_path(state.file_id)} if state and state.file_id else {}
    return {"Tus-Resumable": VERSION} | headers | file
