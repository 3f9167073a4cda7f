"""The requests of Uppy's ``@uppy/aws-s3`` (http-api section 5): direct uploads to the store, with only JSON sent here.

Versions 5 and 6 of the plugin are supported. Functions that parse raise BadRequest for a malformed request and NotFound
for an unknown key.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from windlass.kernel import filenames, urls
from windlass.kernel.problem_types import BadRequest, InvalidField, NotFound, Problem
from windlass.protocols import description_fields, json_fields, media_types
from windlass.protocols.intents import NO_STORE, CreateDirect, Description, NamedPart, Reply

#: The largest JSON of ten thousand parts with their ETags (bytes).
MAX_JSON_PARTS = 2 * 1024 * 1024

MAX_PARTS = 10_000

_NUMBER = re.compile(r"[0-9]{1,19}")
_DIGITS = re.compile(r"[0-9]{1,1000}")
_METADATA = re.compile(r"metadata\[([^\]]{1,200})\]")
_UPLOAD = re.compile(r"(?:^|/)objects/[0-9a-f]{2}/([0-9a-f-]{36})(?:\.tail\.[0-9a-f]+)?")
_TAG = re.compile(r'"?([!#-~]{1,200})"?')

#: Metadata that has a meaning here, or that repeats other fields; the rest is shown in the record.
_KNOWN_KEYS = frozenset(
    {"name", "type", "relativePath", "size", "part_size", "profile", "reference", "post_id", "sha256"}
)
#: Values that are not set, as version 5 sends them.
_UNSET = (None, "", "undefined", "null")


def parse_create(body: bytes) -> CreateDirect:
    """``POST multipart``: ``{filename, type, metadata}``."""
    fields = json_fields.read(body)
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadRequest("metadata must be a JSON object.", field="metadata")
    return _intent(json_fields.optional_text(fields, "filename"), json_fields.optional_text(fields, "type"), metadata)


def parse_params(query: Mapping[str, str]) -> CreateDirect:
    """``GET params?filename&type&metadata[k]``. ``method=PUT``, which Uppy never sends, asks for a PUT
    instead of a form."""
    method = query.get("method", "POST").upper()
    if method not in ("POST", "PUT"):
        raise BadRequest("method is POST, for a form, or PUT.", field="method")
    metadata = {match[1]: value for name, value in query.items() if (match := _METADATA.fullmatch(name))}
    return _intent(query.get("filename"), query.get("type"), metadata, as_form=method == "POST", in_parts=False)


def parse_key(query: Mapping[str, str]) -> str:
    """Return the parameter ``key``. The upload is named by the path, and both must match."""
    key = query.get("key", "")
    if not key:
        raise BadRequest("The parameter key is missing.", field="key")
    return key


def upload_of_key(key: str) -> uuid.UUID:
    match = _UPLOAD.search(key)
    if match is None:
        raise NotFound("There is no upload with this key.")
    return json_fields.parse_upload_id(match[1])


def parse_number(text: str) -> int:
    """Parse the number of a part, from 1 to 10,000."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= MAX_PARTS:
        raise BadRequest(f"A part has a number from 1 to {MAX_PARTS}, not {text[:20]!r}.", field="partNumber")
    return number


def parse_numbers(query: Mapping[str, str]) -> list[int]:
    """Parse ``partNumbers=1,2``; return each number once, in order."""
    numbers = [each for each in query.get("partNumbers", "").split(",") if each]
    if not numbers or len(numbers) > MAX_PARTS:
        raise BadRequest("partNumbers must be numbers of parts, separated by commas.", field="partNumbers")
    return sorted({parse_number(each.strip()) for each in numbers})


def parse_complete(body: bytes) -> tuple[NamedPart, ...]:
    """``{parts: [{PartNumber, ETag}]}``, in order of their numbers, from 1 without a gap."""
    listed = json_fields.read(body).get("parts")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_PARTS:
        raise BadRequest(f"parts must be a list of 1 to {MAX_PARTS} parts.", field="parts")
    named = tuple(_part(each) for each in listed)
    if [part.number for part in named] != list(range(1, len(named) + 1)):
        raise BadRequest(
            "parts must be listed by their numbers, from 1 on, each once. Sort them by PartNumber; if one is missing, "
            'its ETag may not have been read, for which the bucket\'s CORS rules need "ExposeHeaders": ["ETag"].',
            field="parts",
        )
    return named


def _part(listed: Any) -> NamedPart:
    if not isinstance(listed, dict):
        raise BadRequest("Each of parts must be an object with PartNumber and ETag.", field="parts")
    number = parse_number(str(listed.get("PartNumber", "")))
    etag = listed.get("ETag")
    tag = _TAG.fullmatch(etag) if isinstance(etag, str) else None
    if tag is None:
        raise BadRequest(
            f"Part {number} has {_shown_tag(etag)} for its ETag; it must be the ETag with which the store replied to "
            "the part. A page can read it only where the CORS rules of the bucket have "
            '"ExposeHeaders": ["ETag"], which are the likely cause.',
            field="parts",
        )
    return NamedPart(number, tag[1])


def _shown_tag(etag: Any) -> str:
    if etag is None:
        return "nothing"
    return repr(etag[:40]) if isinstance(etag, str) else "no text"


def _intent(
    name: str | None, declared: str | None, metadata: Mapping[str, Any], *, as_form: bool = True, in_parts: bool = True
) -> CreateDirect:
    if not name:
        raise BadRequest("filename is missing.", field="filename")
    known = {key: value for key, value in metadata.items() if value not in _UNSET}
    try:
        description = Description(
            filename=filenames.clean(name),
            declared_type=media_types.declared(declared),
            profile=description_fields.profile(json_fields.optional_text(known, "profile")) or "default",
            reference=json_fields.reference(known, "reference", "post_id"),
            sha256=json_fields.sha256(known, "sha256"),
            metadata=_record_metadata(known),
        )
        sizes = _byte_count(known, "size"), _byte_count(known, "part_size")
    except InvalidField as error:
        raise BadRequest(error.detail, **error.members) from error
    return CreateDirect(description, *sizes, in_parts=in_parts, as_form=as_form)


def _record_metadata(known: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in known.items() if key not in _KNOWN_KEYS}
    description_fields.require_small_metadata(json.dumps(shown, ensure_ascii=False))
    description_fields.require_storable(shown)
    json_fields.optional_text(shown, "media_type")
    return shown


def _byte_count(known: Mapping[str, Any], name: str) -> int | None:
    """Return a number of bytes, which version 5 sends as text."""
    value = known.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    count = json_fields.size({name: value}, name)
    if count == 0 and name != "size":
        raise InvalidField(f"{name} must be a number of bytes.", field=name)
    return count


def created(upload_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """``uploadId`` is the id of the upload session; the store's own id is in the signed URLs only."""
    return _reply({"key": key, "uploadId": str(upload_id), "bucket": bucket})


def signed_request(
    upload_id: uuid.UUID | None,
    key: str,
    *,
    method: str,
    url: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str],
    seconds: int,
) -> Reply:
    """Reply to ``params``. Besides what Uppy reads it has the upload's id, if there is one already, and its key, by
    which a page can follow it."""
    shown: dict[str, Any] = {"method": method, "url": url, "fields": dict(fields), "headers": dict(headers)}
    identity = {"key": key} | ({"uploadId": str(upload_id)} if upload_id else {})
    return _reply(shown | {"expires": seconds} | identity)


def uploaded_parts(parts: Iterable[tuple[int, str, int]]) -> Reply:
    """``parts``: number, ETag, size. ETags are quoted, as the store quotes them."""
    return _reply([{"PartNumber": number, "ETag": f'"{tag}"', "Size": size} for number, tag, size in parts])


def signed_part(url: str, seconds: int) -> Reply:
    return _reply({"url": url, "expires": seconds})


def signed_parts(signed: Mapping[int, str]) -> Reply:
    return _reply({"presignedUrls": {str(number): url for number, url in signed.items()}})


def completed(file_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """``location``: the URL of the file's record, which Uppy passes to the page as ``uploadURL``."""
    location = urls.absolute(f"/files/{file_id}/")
    return _reply({"location": location, "key": key, "bucket": bucket}, {"Windlass-File": urls.file_path(file_id)})


def aborted() -> Reply:
    return _reply({})


def refused(problem: Problem) -> Reply:
    """Version 5 displays ``message``. Invalid fields are 400 in this dialect."""
    status = 400 if problem.status == 422 else problem.status
    return Reply(status, dict(problem.headers) | NO_STORE, {"error": problem.detail, "message": problem.detail})


def _reply(body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(200, NO_STORE | dict(headers or {}), body)
