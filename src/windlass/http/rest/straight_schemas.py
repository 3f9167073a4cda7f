"""The shapes of Uppy's S3 calls, for the OpenAPI document. ``protocols.s3multipart`` reads and makes them; a test holds
its replies against these."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

from windlass.http.rest.schemas import Reply


class StraightUploadIn(Schema):
    filename: str
    type: str | None = Field(None, description="What the client takes the file for.")
    metadata: dict[str, Any] = Field(
        {},
        description="`size` and `part_size` (bytes), `profile`, `reference`, `sha256` have a meaning; the rest is "
        "shown in the record.",
    )


class StraightUploadOut(Reply):
    key: str
    uploadId: UUID
    bucket: str


class StraightRequestOut(Reply):
    method: Literal["POST", "PUT"]
    url: str
    fields: dict[str, str] = Field(description="Of a form, before the file, which is called `file`.")
    headers: dict[str, str]
    expires: int = Field(description="Seconds.")
    key: str
    uploadId: UUID | None = Field(None, description="Missing where the form comes to this server.")


class SentPart(Reply):
    PartNumber: int
    ETag: str
    Size: int


class NamedPartIn(Schema):
    PartNumber: int = Field(ge=1, le=10_000)
    ETag: str


class NamedPartsIn(Schema):
    parts: list[NamedPartIn]


class PartUrl(Reply):
    url: str
    expires: int = Field(description="Seconds.")


class PartUrls(Reply):
    presignedUrls: dict[str, str]


class StraightUploadCompleted(Reply):
    location: str = Field(description="The file's record.")
    key: str
    bucket: str


class StraightRefusal(Reply):
    error: str
    message: str


STRAIGHT_MODELS: tuple[type[Schema], ...] = (
    StraightUploadIn,
    StraightUploadOut,
    StraightRequestOut,
    SentPart,
    NamedPartsIn,
    PartUrl,
    PartUrls,
    StraightUploadCompleted,
    StraightRefusal,
)
