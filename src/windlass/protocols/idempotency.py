"""``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header): the key of a request, and what makes two requests
the same one.

A request is compared in two parts: its head, which is known at once, and the digest of its body, which is known once
the body has ended. How the body was encoded does not count: the boundary of a form and the order of its fields, or the
white space and the order of names in JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import http_sf

from windlass.kernel.problem_types import BadRequest, Problem
from windlass.protocols import header_parameters, json_fields
from windlass.protocols.form_parser import FormEvent, FormParser, PartBegan, PartData
from windlass.protocols.intents import Head

HEADER = "Idempotency-Key"
#: Header of an answer that was given before.
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255

#: Bytes of JSON that are compared by value; a longer text is compared byte by byte.
MAX_COMPARED_JSON = 64 * 1024

_PRINTABLE = re.compile(f"[ -~]{{1,{MAX_LENGTH}}}")
#: A key without quotation marks, as most clients send it. No comma: proxies join two fields by one.
_BARE = re.compile(r"[!#-+\--~]+")

#: Header fields that declare something about the file. Others, such as credentials, may differ between retries.
_DECLARING_FIELDS = (
    *("content-type", "content-disposition", "content-digest", "repr-digest", "tus-resumable"),
    *("upload-length", "upload-defer-length", "upload-metadata", "upload-concat", "upload-checksum"),
    *("upload-complete", "upload-incomplete", "x-checksum-sha256"),
)


def parse_key(fields: Sequence[str]) -> str | None:
    """Return the key, None if there is no such field. ``fields``: the values of all fields of this name.

    It is a string of RFC 9651 (``"…"``) or bare. Raises BadRequest.
    """
    if not fields:
        return None
    text = fields[0].strip(" \t")
    key = _unquoted(text) if text.startswith('"') else text if _BARE.fullmatch(text) else None
    if len(fields) > 1 or key is None or not _PRINTABLE.fullmatch(key):
        raise BadRequest(
            f"A request has one {HEADER}: 1 to {MAX_LENGTH} printable ASCII characters, in quotation marks if spaces, "
            "commas or quotation marks are among them. A UUID is a good key.",
            field=HEADER,
        )
    return key


def _unquoted(text: str) -> str | None:
    try:
        item: Any = http_sf.parse(text.encode("ascii"), tltype="item")
    except ValueError:  # StructuredFieldError is one, and so is text that is not ASCII
        return None
    value, parameters = item
    return value if type(value) is str and not parameters else None  # a token is a subclass of str


def head_fingerprint(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body_digest: str = ""
) -> str:
    """Return the SHA-256 (hex) of what a head asks for and declares. Names of ``headers`` are lower case.

    ``body_digest``: of a body that is known together with the head.
    """
    declared = {name: _comparable(name, headers[name]) for name in _DECLARING_FIELDS if name in headers}
    return _digest_of([method, path.rstrip("/") or "/", sorted(query.items()), sorted(declared.items()), body_digest])


def _comparable(name: str, value: str) -> Any:
    if name == "content-type":
        kind, parameters = header_parameters.parse(value)
        return [kind, sorted((key, text) for key, text in parameters.items() if key != "boundary")]
    if name == "upload-metadata":
        return sorted(pair.strip() for pair in value.split(","))
    return value.strip()


class BodyDigest(Protocol):
    """The digest of a body that is fed piece by piece. ``update`` and ``hexdigest`` never raise."""

    def update(self, buffers: Sequence[Any]) -> None: ...

    def hexdigest(self) -> str:
        """Return the digest once the whole body was fed."""
        ...


class BytesDigest:
    """The body is the bytes of the file."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, buffers: Sequence[Any]) -> None:
        for buffer in buffers:
            self._sha256.update(buffer)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class JsonDigest:
    """The body is a JSON object, compared by value; by its bytes where it is long, or cannot be read."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._text = bytearray()

    def update(self, buffers: Sequence[Any]) -> None:
        for buffer in buffers:
            self._sha256.update(buffer)
            if len(self._text) <= MAX_COMPARED_JSON:
                self._text += buffer

    def hexdigest(self) -> str:
        if len(self._text) > MAX_COMPARED_JSON:
            return self._sha256.hexdigest()
        try:
            return _digest_of(json_fields.read(bytes(self._text)))
        except Problem:  # the call itself says what is wrong with it
            return self._sha256.hexdigest()


class FormDigest:
    """The body is a multipart form: its fields in any order, and its files in their order, each by its digest."""

    def __init__(self, content_type: str) -> None:
        """Raises BadRequest, UnsupportedMediaType for another body than a form."""
        self._parser = FormParser(content_type)
        self._part: tuple[PartBegan, Any] | None = None
        self._fields: list[Sequence[str]] = []
        self._files: list[Sequence[str | None]] = []
        self._malformed = False

    def update(self, buffers: Sequence[Any]) -> None:
        try:
            for buffer in buffers:
                if self._malformed:
                    return
                for event in self._parser.feed(bytes(buffer)):
                    self._add(event)
        except Problem:  # the call itself says what is wrong with the form
            self._malformed = True

    def hexdigest(self) -> str:
        try:
            self._parser.finish()
        except Problem:
            self._malformed = True
        return "malformed" if self._malformed else _digest_of([sorted(self._fields), self._files])

    def _add(self, event: FormEvent) -> None:
        match event:
            case PartBegan():
                self._part = (event, hashlib.sha256())
            case PartData() if self._part is not None:
                self._part[1].update(event.data)
            case _ if self._part is not None:
                (part, sha256), self._part = self._part, None
                if part.filename is None:
                    self._fields.append((part.name, sha256.hexdigest()))
                else:
                    self._files.append((part.name, part.filename, part.content_type, sha256.hexdigest()))


def form_or_bytes_digest(head: Head) -> BodyDigest:
    """Return the digest of a body that carries files."""
    try:
        return FormDigest(head.headers.get("content-type", ""))
    except Problem:  # no form, or one that the call refuses
        return BytesDigest()


def _digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
