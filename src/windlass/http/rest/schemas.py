"""The shapes of requests and replies, for the OpenAPI document and for reading what clients send.

Replies are made by ``http.records``; a test holds them against these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from windlass.files.api import FileStatus, StepState

#: A week: long enough to hand a link to a person, short enough that a leaked one dies.
LONGEST_SIGNED_URL = 7 * 24 * 3600


def within(low: int, high: int, unit: str = "") -> WrapValidator:
    """For a field that is an integer of these bounds: refuses with both, and their unit."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> int:
        try:
            if not isinstance(value, bool):  # the library takes true for 1
                return int(handler(value))
        except ValidationError:
            pass
        raise ValueError(f"must be an integer from {low} to {high} {unit}".rstrip())

    return WrapValidator(check)


class Reply(Schema):
    model_config = ConfigDict(extra="forbid")


class Check(Reply):
    name: str
    state: Literal["passed", "failed", "pending", "owed"]
    detail: str


class RenditionOut(Reply):
    name: str
    kind: str
    mime_type: str
    size: int
    width: int | None
    height: int | None
    url: str


class Rejection(Reply):
    """The rule that refused the file, with its figures."""

    rule: str | None
    detail: str | None
    limit: Any
    actual: Any


class Links(Reply):
    self: str
    status: str
    download: str
    events: str


class FileRecord(Reply):
    id: UUID
    original_filename: str
    size: int
    status: FileStatus
    mime_type: str | None = Field(description="The type that the content proves; null until it is known.")
    declared_mime_type: str | None
    checksum: str | None
    checksum_algorithm: Literal["sha256"]
    width: int | None = Field(description="As displayed, orientation applied.")
    height: int | None
    duration: float | None = Field(description="Seconds.")
    page_count: int | None
    extra_attributes: dict[str, Any]
    metadata: dict[str, Any]
    profile: str
    reference: str | None
    duplicate_of: UUID | None
    thumbnail_url: str | None
    renditions: list[RenditionOut]
    checks: list[Check]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    rejection: Rejection | None
    links: Links


class TrashedRecord(FileRecord):
    """A file in the trash. Every other call answers 404 for it."""

    trashed_at: datetime
    trash_until: datetime = Field(description="Until then it can be restored.")


class FileList(Reply):
    results: list[FileRecord | TrashedRecord]
    next: str | None = Field(description="The address of the next page; null on the last.")


class StepOut(Reply):
    name: str
    stage: str
    state: StepState
    seconds: float | None
    progress: int
    detail: str


class FileStatusOut(Reply):
    id: UUID
    status: FileStatus
    progress: int = Field(description="0 to 100. Never falls within one run.")
    stage: str
    message: str
    steps: list[StepOut]
    owed: list[str]


class UploadProgress(Reply):
    """The fields that count chunks are there for an upload in chunks only."""

    received_chunks: list[int] | None = None
    missing_chunks: list[int] | None = None
    received_count: int | None = None
    total_chunks: int | None = None
    bytes_received: int
    percentage: float | None = Field(description="0 to 100; null while the size is not known.")


class UploadStatusOut(Reply):
    upload_id: UUID
    status: Literal["active", "assembling", "completed", "failed", "cancelled", "expired"]
    progress: UploadProgress
    is_expired: bool
    expires_at: datetime
    protocol: str | None = Field(None, description="The dialect it was begun in. Shown at `/uploads/{id}`.")
    file_id: UUID | None = None


class SignedUrlIn(Schema):
    expires_in: (
        Annotated[int, Field(ge=1, le=LONGEST_SIGNED_URL), within(1, LONGEST_SIGNED_URL, "seconds, which is a week")]
        | None
    ) = Field(None, description="Seconds. SIGNED_URL_SECONDS where it is not given.")


class SignedUrlOut(Reply):
    url: str
    expires_at: datetime


class ProblemType(Reply):
    """What every problem of one type has in common."""

    type: str
    title: str
    status: int
    transient: bool


class SecurityConfig(Reply):
    max_upload_size: int = Field(description="Bytes, for profiles that name no limit of their own.")
    max_files_per_upload: int
    max_total_upload_size: int | None
    allowed_mime_types: list[str] = Field(description="Empty: all.")
    blocked_mime_types: list[str]
    allowed_extensions: list[str] = Field(description="Empty: all.")
    upload_ttl_hours: float
    credentials_required: bool
    rate_limits: None = Field(description="null: calls are not limited.")
    malware_scan: bool
    profiles: list[str]


class ProfileOut(Schema):
    name: str
    description: str
    min_size: int
    max_size: int
    allowed_mime_types: list[str]
    blocked_mime_types: list[str]
    allowed_extensions: list[str]
    check_mismatch: bool
    upload_ttl_hours: float
    retention_days: float = Field(description="Files are deleted so long after their record began; 0: never.")
    release_after_days: float = Field(description="Likewise their bytes, while the record stays.")
    delete_released_after_days: float = Field(description="Records are deleted so long after their bytes went; 0: not.")
    trash_hours: float = Field(description="How long a deleted file can be restored; 0: not at all.")
    media_types: list[dict[str, Any]] = Field(description="What each kind of media must be like; empty: any file.")
    show_location: bool = Field(description="Whether records tell where a picture or a film was taken.")
    min_width: int = Field(description="Pixels as displayed; of this and every limit below 0 sets none.")
    min_height: int
    max_width: int
    max_height: int
    max_pixels: int
    min_duration: float = Field(description="Seconds.")
    max_duration: float
    max_pages: int
    encrypted: bool = Field(description="Whether files that are locked with a password may come in.")
    max_archive_entries: int
    max_unpacked_size: int
    max_archive_ratio: float = Field(description="Unpacked bytes for each byte of an archive.")
    steps: dict[str, list[str]] = Field(description="The steps of a file of each of these types, in order.")


class ProfileList(Reply):
    results: list[ProfileOut]
    next: None


class ProblemDocument(Schema):
    """RFC 9457. Members beyond these belong to the type of problem."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
