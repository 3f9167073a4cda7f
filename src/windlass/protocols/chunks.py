"""The chunk API in JSON (http-api section 3): numbered chunks in any order, in parallel, each repeatable."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from windlass.kernel import filenames
from windlass.kernel.clock import rfc3339
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, InvalidField
from windlass.protocols import description_fields, json_fields, media_types, request_heads
from windlass.protocols.intents import NO_STORE, ChunkProgress, CreateInChunks, Description, Head, PutChunk, Reply

#: A chunk in JSON is kept in memory: this is the most bytes once decoded. ``PUT`` streams and has no such limit.
MAX_JSON_CHUNK = 16 * 1024 * 1024
#: The largest JSON of such a chunk: base64 takes 4 characters for 3 bytes, and some clients write ``\\/`` for ``/``.
MAX_JSON_CHUNK_BODY = 24 * 1024 * 1024

INDEX = re.compile(r"-?[0-9]{1,18}")
_SHA256_MEMBER = re.compile(r"(?:^|,)[ \t]*sha-256[ \t]*=[ \t]*:([A-Za-z0-9+/=]*):")


def parse_init(body: bytes) -> CreateInChunks:
    """Raises BadRequest, InvalidField."""
    fields = json_fields.read(body)
    size = json_fields.size(fields, "total_size")
    name = json_fields.text(fields, "filename")
    if "mime_type" not in fields:
        raise InvalidField("The field mime_type is missing; an empty one claims nothing.", field="mime_type")
    description = Description(
        filename=filenames.clean(name),
        declared_type=media_types.declared(json_fields.optional_text(fields, "mime_type")),
        profile=description_fields.profile(json_fields.optional_text(fields, "profile")) or "default",
        reference=json_fields.reference(fields, "reference", "post_id"),
        sha256=json_fields.sha256(fields, "file_hash"),
    )
    return CreateInChunks(description, size, chunk_size(fields))


def chunk_size(fields: Mapping[str, Any]) -> int | None:
    size = json_fields.optional_number(fields, "chunk_size")
    if size is not None and size < 1:
        raise InvalidField(f"chunk_size must be at least 1; it is {size}.", field="chunk_size")
    return size


def parse_chunk(body: bytes) -> tuple[PutChunk, bytes]:
    """Return the intent and the decoded bytes, up to 16 MiB: call it in a thread, not on the event loop. Raises
    BadRequest, InvalidField, NotFound, BodyTooLarge."""
    fields = json_fields.read(body)
    upload_id = json_fields.upload_id(fields)
    index = json_fields.number(fields, "chunk_index")
    checksum = json_fields.sha256(fields, "checksum")
    data = _decoded_data(fields)
    return PutChunk(upload_id, index, len(data), checksum), data


def parse_put(head: Head, upload_id: str, index: str) -> PutChunk:
    """Parse the head of a raw chunk. Raises BadRequest, InvalidField, NotFound, UnsupportedMediaType."""
    request_heads.refuse_content_encoding(head)
    if not INDEX.fullmatch(index):
        raise BadRequest(f"{index[:40]!r} is not a chunk number.")
    return PutChunk(
        json_fields.parse_upload_id(upload_id), int(index), request_heads.body_length(head), _announced_sha256(head)
    )


def parse_upload_id(body: bytes) -> uuid.UUID:
    """Parse the body of ``complete`` and ``cancel``. Raises BadRequest, InvalidField, NotFound."""
    return json_fields.upload_id(json_fields.read(body))


def too_large(received: int | None = None) -> BodyTooLarge:
    """Return the refusal of a chunk in JSON that is too large."""
    members: dict[str, Any] = {} if received is None else {"received": received}
    return BodyTooLarge(
        f"A chunk in JSON may have at most {MAX_JSON_CHUNK} bytes, because it is held in memory. Send larger ones as "
        "they are: PUT /api/v1/upload/{upload_id}/chunks/{index}.",
        limit=MAX_JSON_CHUNK,
        **members,
    )


def created(layout: dict[str, Any]) -> Reply:
    return Reply(201, body=layout | {"status": "active"})


def layout_document(upload_id: uuid.UUID, chunk_size: int, total_chunks: int, expires_at: datetime) -> dict[str, Any]:
    """What a client of either chunk API needs to know to send its chunks."""
    return {
        "upload_id": str(upload_id),
        "chunk_size": chunk_size,
        "total_chunks": total_chunks,
        "expires_at": rfc3339(expires_at),
    }


def received(upload_id: uuid.UUID, index: int, progress: ChunkProgress, *, duplicate: bool) -> Reply:
    return Reply(
        200,
        body={
            "upload_id": str(upload_id),
            "chunk_index": index,
            "received": True,
            "duplicate": duplicate,
            "progress": progress_document(progress),
        },
    )


def completed(record: Mapping[str, Any], upload_id: uuid.UUID, checksum: str) -> Reply:
    """``record``: the JSON of the file's record."""
    return Reply(
        200,
        body={
            "upload_id": str(upload_id),
            "status": "completed",
            "file_id": record["id"],
            "filename": record["original_filename"],
            "size": record["size"],
            "checksum": checksum,
            "mime_type": record["mime_type"] or record["declared_mime_type"],
            "file_path": record["links"]["download"],
        },
    )


def assembling(upload_id: uuid.UUID) -> Reply:
    return Reply(202, {"Retry-After": "1"}, {"upload_id": str(upload_id), "status": "assembling"})


def cancelled(upload_id: uuid.UUID) -> Reply:
    return Reply(200, body={"upload_id": str(upload_id), "status": "cancelled"})


def status(document: Mapping[str, Any]) -> Reply:
    """``document``: the upload status of any dialect; the member ``protocol`` is left out."""
    return Reply(200, NO_STORE, {name: value for name, value in document.items() if name != "protocol"})


def progress_document(progress: ChunkProgress) -> dict[str, Any]:
    indexes: dict[str, Any] = {}
    if progress.received is not None:
        indexes = {"received_chunks": list(progress.received), "missing_chunks": progress.missing()}
    return indexes | {
        "received_count": progress.received_count,
        "total_chunks": progress.total_chunks,
        "bytes_received": progress.bytes_received,
        "percentage": progress.percentage,
    }


def _decoded_data(fields: Mapping[str, Any]) -> bytes:
    """Decode ``chunk_data``, the one text field that may be longer than MAX_TEXT."""
    encoded = fields.get("chunk_data")
    if not isinstance(encoded, str):
        reason = "is missing" if "chunk_data" not in fields else "must be text in base64"
        raise InvalidField(f"The field chunk_data {reason}.", field="chunk_data")
    if len(encoded) // 4 * 3 - 2 > MAX_JSON_CHUNK:
        raise too_large(len(encoded) // 4 * 3)
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise BadRequest("chunk_data is not valid base64 (RFC 4648, section 4, with padding).") from error
    if len(data) > MAX_JSON_CHUNK:
        raise too_large(len(data))
    return data


def _announced_sha256(head: Head) -> str | None:
    """Return the SHA-256 (hex) of a raw chunk from ``Content-Digest`` (RFC 9530) or ``X-Checksum-SHA256``."""
    in_hex = json_fields.sha256({"X-Checksum-SHA256": head.headers.get("x-checksum-sha256")}, "X-Checksum-SHA256")
    announced = {digest for digest in (_content_digest(head), in_hex) if digest}
    if len(announced) > 1:
        raise BadRequest("Content-Digest and X-Checksum-SHA256 name two different digests.")
    return announced.pop() if announced else None


def _content_digest(head: Head) -> str | None:
    header = head.headers.get("content-digest")
    if header is None:
        return None
    member = _SHA256_MEMBER.search(header)
    try:
        digest = base64.b64decode(member[1], validate=True) if member else b""
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise BadRequest(
            "Content-Digest must have a sha-256 member, such as sha-256=:BASE64:, because SHA-256 is what is checked.",
            field="Content-Digest",
        )
    return digest.hex()
