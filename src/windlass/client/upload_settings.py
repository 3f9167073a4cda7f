"""The options of an upload."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

#: Called with the bytes transferred so far and their total.
Progress = Callable[[int, int], None]
Notice = Callable[[str], None]

#: Keys of tus metadata to which the server gives a meaning.
_RESERVED_KEYS = frozenset({"filename", "name", "filetype", "type", "profile", "reference", "sha256"})
#: More connections of one client gain nothing on any link, and take a server's connections.
MAX_PARALLEL_PARTS = 32


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of ``upload``. UploadSettings documents them."""

    filename: str | None
    content_type: str | None
    profile: str | None
    reference: str | None
    metadata: Mapping[str, Any] | None
    sha256: str | Literal[True] | None
    on_progress: Progress | None
    on_notice: Notice | None
    chunk_size: int | None
    parallel_parts: int | None
    verify: bool
    resume: bool
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """The options of one upload, validated.

    ``filename``: default is the source's own name. ``content_type``: declared type; default is a guess by the name.
    ``metadata``: shown in the record; values that are not strings are sent as JSON.
    ``sha256``: the digest in hexadecimal, or True to compute it first; the server refuses bytes with another digest.
    ``verify``: compute the SHA-256 of the bytes while they are sent, and raise ChecksumMismatch if the server's record
    has another one: from ``upload`` if the server knows its own by then, else from ``wait`` of the same client.
    ``on_progress(sent, total)``: bytes handed over, corrected to the server's offset after an interruption, so it may
    fall. ``total`` is 0 while the end of a stream is not known. ``on_notice(text)``: interruptions, and the offset from
    which the upload resumes. Where parts are sent, a Client calls both from several threads, one call at a time.
    ``chunk_size``: maximum bytes of one request; None sends all remaining bytes in one, which is the fastest. A stream
    is sent in chunks, which are in memory until the server has them: 8 MiB by default.
    ``parallel_parts``: send a large source as up to so many partial uploads at the same time, which the server
    concatenates. That is faster where one connection does not fill the link. Until the file is complete its parts count
    twice against the quota, and the server copies them once. None decides by the link: if one connection would need
    more than ten seconds for the rest of a file of 64 MiB or more, two connections send parts, then four, then eight,
    as long as all together become faster. 1 sends one upload, as does an ``idempotency_key``.
    ``resume``: resume an earlier upload of the same file to the same server. A file object has no lasting identity:
    it is resumed within the call only.
    ``idempotency_key``: a name for this upload, of 1 to 255 printable ASCII characters. Whoever uploads the same file
    with the same options and key again gets the same file, also on another machine. By default each upload has a key of
    its own, so that a creation whose answer was lost can be repeated.
    """

    filename: str | None = None
    content_type: str | None = None
    profile: str | None = None
    reference: str | None = None
    metadata: Mapping[str, Any] | None = None
    sha256: str | Literal[True] | None = None
    on_progress: Progress | None = None
    on_notice: Notice | None = None
    chunk_size: int | None = None
    parallel_parts: int | None = None
    verify: bool = True
    resume: bool = True
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        key = self.idempotency_key
        if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
            raise ValueError("idempotency_key must be 1 to 255 printable ASCII characters.")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError("chunk_size must be at least 1 byte.")
        if self.parallel_parts is not None and not 1 <= self.parallel_parts <= MAX_PARALLEL_PARTS:
            raise ValueError(f"parallel_parts must be 1 to {MAX_PARALLEL_PARTS}.")
        for key in self.metadata or {}:
            if not key or not key.isascii() or not key.isprintable() or set(key) & {" ", ","} or key in _RESERVED_KEYS:
                reserved = ", ".join(sorted(_RESERVED_KEYS))
                raise ValueError(f"{key!r} cannot be a key of metadata: ASCII, no space or comma, and not {reserved}.")

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this upload from others of the same file to the same server."""
        metadata = None
        if self.metadata is not None:
            metadata = {key: _metadata_text(value) for key, value in self.metadata.items()}
        names = ("filename", "content_type", "profile", "reference", "sha256")
        key = {} if self.idempotency_key is None else {"idempotency_key": self.idempotency_key}
        return {name: getattr(self, name) for name in names} | {"metadata": metadata} | key

    def upload_metadata(self, name: str | None, digest: str | None) -> str:
        """Return the value of Upload-Metadata for a source with this name and this SHA-256 in hexadecimal."""
        filename = self.filename or name or "unnamed"
        pairs = {
            "filename": filename,
            "filetype": self.content_type or mimetypes.guess_type(filename)[0],
            "profile": self.profile,
            "reference": self.reference,
            "sha256": digest,
            **(self.metadata or {}),
        }
        return metadata_header(pairs)


def metadata_header(pairs: Mapping[str, Any]) -> str:
    """Return Upload-Metadata with the pairs whose value is not None."""
    texts = ((key, _metadata_text(value)) for key, value in pairs.items() if value is not None)
    return ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts)


def _metadata_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
