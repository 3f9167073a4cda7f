"""The intents that every upload dialect is parsed into, and the states that its replies are rendered from.

``parse(head)`` of a dialect returns an intent, the receiving core turns the intent into an outcome, and the dialect's
``render`` turns the outcome into a reply. The receiving core does not depend on the dialect.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from windlass.protocols.digests import Checksum


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head. Header names are lower case; a repeated field's values are joined by a comma.

    ``path`` has no query; ``query`` has the last value of each parameter.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Description:
    """What a client declares about a file; nothing of it is verified.

    ``client_metadata`` is the metadata as the dialect encodes it, echoed exactly; ``metadata`` is shown in the record.
    """

    filename: str = "unnamed"
    declared_type: str | None = None
    profile: str = "default"
    reference: str | None = None
    sha256: str | None = None
    sha512: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    client_metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Create an upload. ``size`` None: not known yet. ``has_body``: the request carries the first bytes, or all.

    ``is_whole_file``: the body is the entire file, and the request's end is the file's end (raw).
    ``body_length``: the Content-Length of those bytes, if the head has one; it is not verified.
    ``completes``, ``body_digests``: as in Append. ``partial``: a partial upload, which never becomes a file by itself.
    """

    description: Description
    size: int | None
    has_body: bool = False
    is_whole_file: bool = False
    body_length: int | None = None
    completes: bool | None = None
    body_digests: tuple[Checksum, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Append the body at ``offset`` of an upload. ``body_length`` as in Create.

    ``size``: the length of the whole upload, if this request declares it.
    ``completes``: whether the body's end is the upload's end. None: the upload ends when its length is reached.
    ``body_digests``: the digests that the body must have to be accepted; ``upload_digests``: those that the complete
    upload must have.
    """

    upload_id: uuid.UUID
    offset: int
    body_length: int | None = None
    size: int | None = None
    completes: bool | None = None
    body_digests: tuple[Checksum, ...] = ()
    upload_digests: tuple[Checksum, ...] = ()


@dataclass(frozen=True, slots=True)
class Concatenate:
    """Make one file of partial uploads, in this order; one may be named repeatedly. ``header_value`` is echoed."""

    description: Description
    parts: tuple[uuid.UUID, ...]
    header_value: str


@dataclass(frozen=True, slots=True)
class CreateInChunks:
    """Create an upload of ``size`` bytes in numbered chunks, of ``chunk_size`` bytes if the client asks for that."""

    description: Description
    size: int
    chunk_size: int | None = None


@dataclass(frozen=True, slots=True)
class PutChunk:
    """Store the body as chunk ``index`` (any integer). ``sha256`` (hex): the digest that it must have, if declared."""

    upload_id: uuid.UUID
    index: int
    body_length: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CreateDirect:
    """Create a direct upload, whose bytes the client sends to the store itself: ``in_parts``, or in one request,
    ``as_form`` or as its body. ``part_size``: the size of all parts but the last, if the client declares it."""

    description: Description
    size: int | None = None
    part_size: int | None = None
    in_parts: bool = True
    as_form: bool = True


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part that the client lists: its number, and the ETag that the store replied with (without quotes)."""

    number: int
    tag: str


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for the offset of an upload."""

    upload_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Abort:
    """Cancel the upload, or forget the session of a complete one."""

    upload_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Discover:
    """Ask for the supported protocol versions, extensions and limits."""


Intent = Create | Append | Concatenate | Query | Abort | Discover


@dataclass(frozen=True, slots=True)
class UploadState:
    """The state of an upload, as every dialect's reply needs it.

    ``max_size`` and ``min_size`` are the limits of its profile. ``concat``: the value of Upload-Concat for a partial or
    a final upload (tus); a final upload has no offset until it is complete.
    """

    upload_id: uuid.UUID
    offset: int
    size: int | None
    complete: bool
    client_metadata: str | None = None
    expires_at: datetime | None = None
    file_id: uuid.UUID | None = None
    max_size: int | None = None
    min_size: int = 0
    concat: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """How many chunks of an upload are received. ``received`` (indexes, in order): None if only counts were queried."""

    total_chunks: int
    received_count: int
    bytes_received: int
    percentage: float
    received: Sequence[int] | None = None

    def missing(self) -> list[int]:
        received = set(self.received or ())
        return [index for index in range(self.total_chunks) if index not in received]


NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to send. ``body`` is JSON-ready or None."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
