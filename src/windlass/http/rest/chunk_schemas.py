"""The shapes of the chunk API's requests and replies, for the OpenAPI document. ``protocols.chunks`` reads and makes
them; a test holds its replies against these."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

from windlass.http.rest.schemas import Reply, UploadProgress


class ChunkUploadIn(Schema):
    filename: str
    total_size: int = Field(ge=0, description="Bytes.")
    mime_type: str | None = Field(description="What the client takes the file for; an empty one claims nothing.")
    file_hash: str | None = Field(None, description="The hex SHA-256 that the whole must have.")
    chunk_size: int | None = Field(None, ge=1, description="Bytes. What the answer says is what counts.")
    profile: str | None = None
    reference: str | None = None


class ChunkUploadOut(Reply):
    upload_id: UUID
    chunk_size: int
    total_chunks: int
    expires_at: datetime
    status: Literal["active"]


class ChunkIn(Schema):
    upload_id: UUID
    chunk_index: int = Field(ge=0)
    chunk_data: str = Field(description="Base64; at most 16 MiB decoded. PUT takes larger chunks.")
    checksum: str | None = Field(None, description="The hex SHA-256 of the chunk.")


class ChunkOut(Reply):
    upload_id: UUID
    chunk_index: int
    received: Literal[True]
    duplicate: bool = Field(description="It was in before, with the same bytes.")
    progress: UploadProgress


class UploadRef(Schema):
    upload_id: UUID


class ChunkUploadCompleted(Reply):
    upload_id: UUID
    status: Literal["completed"]
    file_id: UUID
    filename: str
    size: int
    checksum: str = Field(description="The hex SHA-256 of the whole.")
    mime_type: str | None
    file_path: str = Field(description="The URL of the bytes.")


class ChunkUploadAssembling(Reply):
    upload_id: UUID
    status: Literal["assembling"]


class ChunkUploadCancelled(Reply):
    upload_id: UUID
    status: Literal["cancelled"]


CHUNK_MODELS: tuple[type[Schema], ...] = (
    ChunkUploadIn,
    ChunkUploadOut,
    ChunkIn,
    ChunkOut,
    UploadRef,
    ChunkUploadCompleted,
    ChunkUploadAssembling,
    ChunkUploadCancelled,
)
