"""The media API (http-api section 4): chunks in forms, and the client's description of an image or a video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from windlass.kernel import filenames
from windlass.kernel.problem_types import InvalidField
from windlass.protocols import json_fields, media_types
from windlass.protocols.chunks import INDEX, chunk_size
from windlass.protocols.intents import NO_STORE, ChunkProgress, CreateInChunks, Description, PutChunk, Reply

PROFILE = "media"
KINDS = ("video", "image")


def parse_init(body: bytes) -> CreateInChunks:
    """Raises BadRequest, InvalidField."""
    fields = json_fields.read(body)
    size = json_fields.size(fields, "file_size")
    name = json_fields.text(fields, "file_name")
    description = describe(fields, name, json_fields.text(fields, "content_type"))
    return CreateInChunks(description, size, chunk_size(fields))


def describe(fields: Mapping[str, Any], filename: str | None, content_type: str | None) -> Description:
    """Return a description with ``post_id`` and ``media_type`` besides name and type. Raises InvalidField."""
    return Description(
        filename=filenames.clean(filename),
        declared_type=media_types.declared(content_type),
        profile=PROFILE,
        reference=json_fields.reference(fields, "post_id"),
        metadata=metadata(fields),
    )


def metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared ``media_type``, which is compared with the content later. Raises InvalidField."""
    kind = json_fields.optional_text(fields, "media_type")
    if kind is not None and kind not in KINDS:
        raise InvalidField(f"media_type must be {' or '.join(KINDS)}, not {kind[:40]!r}.", field="media_type")
    return {} if kind is None else {"media_type": kind}


def parse_finalize(body: bytes) -> dict[str, Any]:
    """Return what the request adds to the session: ``reference``, ``metadata``. The body may be empty."""
    fields = json_fields.read(body) if body.strip() else {}
    reference, declared = json_fields.reference(fields, "post_id"), metadata(fields)
    return ({"reference": reference} if reference else {}) | ({"metadata": declared} if declared else {})


def parse_chunk(fields: Mapping[str, str]) -> PutChunk:
    """Parse the fields of the form that carries the chunk. Raises InvalidField, NotFound."""
    upload_id = json_fields.upload_id(fields)
    index = json_fields.text(fields, "chunk_index").strip()
    if not INDEX.fullmatch(index):
        raise InvalidField(f"chunk_index must be an integer, not {index[:40]!r}.", field="chunk_index")
    return PutChunk(upload_id, int(index))


def received(upload_id: UUID, index: int, progress: ChunkProgress, next_chunk: int | None) -> Reply:
    return Reply(
        200,
        body={
            "upload_id": str(upload_id),
            "chunk_index": index,
            "status": "received" if progress.received_count < progress.total_chunks else "completed",
            "progress": progress.percentage,
            "next_chunk": next_chunk,
        },
    )


def status(upload_id: UUID, state: str, progress: ChunkProgress) -> Reply:
    """``state``: the session's status, shown as ``completed`` once every chunk is received."""
    missing = progress.missing()
    if state == "active" and not missing:
        state = "completed"
    return Reply(
        200,
        NO_STORE,
        {
            "upload_id": str(upload_id),
            "status": state,
            "progress": progress.percentage,
            "received_chunks": list(progress.received or ()),
            "missing_chunks": missing,
            "next_chunk": missing[0] if missing else None,
            "total_chunks": progress.total_chunks,
        },
    )
