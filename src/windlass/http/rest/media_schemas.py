"""The shapes of the media API's requests and replies, for the OpenAPI document and for reading what clients send."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, StrictBool

from windlass.files.api import FileStatus
from windlass.http.rest.schemas import ProblemDocument, Reply


class MediaOut(Reply):
    id: UUID
    media_id: UUID = Field(description="The same as id.")
    post_id: str | None
    media_type: Literal["video", "image"] | None
    file_name: str
    file_size: int
    content_type: str | None
    file_path: str = Field(description="The URL of the bytes.")
    thumbnail_url: str | None
    width: int | None
    height: int | None
    duration: float | None = Field(description="Seconds.")
    codec: str | None
    bitrate: int | None
    status: FileStatus
    created_at: datetime


class MediaError(Schema):
    error: ProblemDocument


class MediaUploadIn(Schema):
    file_name: str
    file_size: int = Field(ge=0)
    content_type: str
    chunk_size: int | None = Field(None, ge=1)
    post_id: str | None = None
    media_type: Literal["video", "image"] | None = None


class MediaUploadOut(Reply):
    upload_id: UUID
    chunk_size: int
    total_chunks: int
    expires_at: datetime


class MediaChunkOut(Reply):
    upload_id: UUID
    chunk_index: int
    status: Literal["received", "completed"]
    progress: float = Field(description="0 to 100.")
    next_chunk: int | None


class MediaUploadStatus(Reply):
    upload_id: UUID
    status: Literal["active", "assembling", "completed", "failed", "cancelled", "expired"]
    progress: float
    received_chunks: list[int]
    missing_chunks: list[int]
    next_chunk: int | None
    total_chunks: int


class FinalizeIn(Schema):
    post_id: str | None = None
    media_type: Literal["video", "image"] | None = None


class KindRules(Reply):
    """null: no limit."""

    content_types: list[str]
    extensions: list[str]
    max_size: int | None
    min_duration: float | None
    max_duration: float | None
    min_width: int | None
    min_height: int | None
    max_width: int | None
    max_height: int | None


class SupportedFormats(Schema):
    video: KindRules
    image: KindRules
    chunk_size: int
    max_images: int


class PublishedIn(Schema):
    success: StrictBool


class PublishedOut(Reply):
    released: int
    bytes_freed: int


class CleanupOut(Reply):
    sessions_expired: int
    bytes_freed: int
    sessions_forgotten: int


#: Of the calls that Ninja cannot see.
MEDIA_MODELS: tuple[type[Schema], ...] = (
    MediaOut,
    MediaError,
    MediaUploadIn,
    MediaUploadOut,
    MediaChunkOut,
    MediaUploadStatus,
    FinalizeIn,
)
