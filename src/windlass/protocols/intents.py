"""What every upload dialect is translated into, and what each is given back to say.

``parse(head)`` of a dialect gives an intent; the receiving core turns it into an outcome; the dialect's ``render``
turns that into a reply. Below this line nobody knows which dialect was spoken.
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
    """What a client says about a file. Claims, not facts.

    ``client_metadata`` is the dialect's own text, to be echoed exactly; ``metadata`` is shown in the record.
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
    """Begin an upload. ``size`` None: not known yet. ``has_body``: the request carries first (or all) bytes.

    ``whole``: the body is the entire file and the request's end is the file's end (form, raw).
    ``body_length``: the Content-Length of those bytes where the head says it: a claim.
    ``ends``, ``digests``: as in Append. ``partial``: it is to be joined with others and never becomes a file by itself.
    """

    description: Description
    size: int | None
    has_body: bool = False
    whole: bool = False
    body_length: int | None = None
    ends: bool | None = None
    digests: tuple[Checksum, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Bytes at ``offset`` of an upload. ``body_length`` as above.

    ``size``: the length of the whole upload, where this request says it.
    ``ends``: whether the body's end is the upload's end. None: the upload ends where its length is reached.
    ``digests``: what the body must have to count; ``whole``: what the upload must have when it is complete.
    """

    upload_id: uuid.UUID
    offset: int
    body_length: int | None = None
    size: int | None = None
    ends: bool | None = None
    digests: tuple[Checksum, ...] = ()
    whole: tuple[Checksum, ...] = ()


@dataclass(frozen=True, slots=True)
class Concatenate:
    """One file out of partial uploads, in this order; the same one may stand there again. ``said`` is echoed."""

    description: Description
    parts: tuple[uuid.UUID, ...]
    said: str


@dataclass(frozen=True, slots=True)
class CreateInChunks:
    """Begin an upload of ``size`` bytes in numbered chunks, of ``chunk_size`` bytes where the client asks for that."""

    description: Description
    size: int
    chunk_size: int | None = None


@dataclass(frozen=True, slots=True)
class PutChunk:
    """The body is chunk ``index`` (any integer) of an upload. ``sha256`` (hex) is what it must have, if it was said."""

    upload_id: uuid.UUID
    index: int
    body_length: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SendStraight:
    """Begin an upload whose bytes the client sends to the store itself: ``in_parts``, or in one request, ``as_form`` or
    as its body. ``part_size``: that of all parts but the last, where the client says it."""

    description: Description
    size: int | None = None
    part_size: int | None = None
    in_parts: bool = True
    as_form: bool = True


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as the client tells it: its number, and the tag that the store answered it with (without quotes)."""

    number: int
    tag: str


@dataclass(frozen=True, slots=True)
class Query:
    """How far is this upload?"""

    upload_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Abort:
    """The client gives the upload up (or, once complete, forgets the session)."""

    upload_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Discover:
    """What is spoken here, and within what limits?"""


Intent = Create | Append | Concatenate | Query | Abort | Discover


@dataclass(frozen=True, slots=True)
class UploadState:
    """How an upload stands, as every dialect's reply needs it.

    ``max_size`` and ``min_size`` are what its profile admits. ``concat`` says that it is a part of another upload, or
    made of others, in tus's words; one that is made of others has no offset until it is complete.
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
    """Which chunks of an upload are in. ``received`` (indexes, in order) is None where only figures were looked up."""

    total_chunks: int
    received_count: int
    bytes_received: int
    percentage: float
    received: Sequence[int] | None = None

    def missing(self) -> list[int]:
        found = set(self.received or ())
        return [index for index in range(self.total_chunks) if index not in found]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send. ``body`` is JSON-ready or None."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
