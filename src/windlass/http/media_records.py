"""The media API's JSON of a file, with its Pydantic model, and the problem of a refused one (http-api section 4)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from windlass.files.api import FileAsset, FileStatus, MediaRules, profiles
from windlass.http.file_records import media_link
from windlass.http.json_models import ReplyModel
from windlass.kernel import urls
from windlass.kernel.media_types import matches
from windlass.kernel.problem_types import FileRejected, Problem, UnsupportedMediaType
from windlass.protocols import media

#: Rules that refuse a type: 415. Every other rule: 422.
_TYPE_RULES = frozenset({"type-not-allowed", "type-blocked", "extension-not-allowed"})


class MediaOut(ReplyModel):
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


def media_out(asset: FileAsset) -> dict[str, Any]:
    """A ``MediaOut``. Reads the file's renditions: one query."""
    facts = asset.extra_attributes
    has_thumbnail = asset.renditions.filter(name="thumbnail").exists()
    return MediaOut.of(
        asset,
        media_id=asset.id,
        post_id=asset.reference,
        media_type=kind_of(asset),
        file_name=asset.original_filename,
        file_size=asset.size,
        content_type=asset.mime_type or asset.declared_mime_type,
        file_path=media_link(asset.id, "download/"),
        thumbnail_url=media_link(asset.id, "thumbnail/") if has_thumbnail else None,
        codec=facts.get("codec"),
        bitrate=facts.get("bitrate"),
        # This API has no status for a file whose processing has not begun.
        status=FileStatus.PROCESSING if asset.status == FileStatus.PENDING else asset.status,
    )


def kind_of(asset: FileAsset) -> str | None:
    """``video`` or ``image``: by the detected type, else the declared type, else the client's ``media_type``."""
    mime_type = asset.mime_type or asset.declared_mime_type
    for rules in rules_of(asset.profile):
        if mime_type is not None and matches(mime_type, rules.content_types):
            return rules.kind
    declared = asset.metadata.get("media_type")
    return declared if declared in media.KINDS else None


def rules_of(profile_name: str) -> tuple[MediaRules, ...]:
    profile = profiles().get(profile_name)
    return profile.media_types if profile else ()


def refusal_of(asset: FileAsset) -> Problem | None:
    """The problem that a client of this file is sent; None for a file that no rule refused."""
    if asset.status == FileStatus.QUARANTINED:
        return FileRejected("Malware was found in this file.", rule="malware", media_id=str(asset.id))
    if asset.status != FileStatus.REJECTED:
        return None
    rejection = asset.rejection or {}
    members = {name: rejection.get(name) for name in ("rule", "limit", "actual")} | {"media_id": str(asset.id)}
    detail = rejection.get("detail") or "A rule refused this file."
    if rejection.get("rule") in _TYPE_RULES:
        return UnsupportedMediaType(detail, **members)
    return FileRejected(detail, file=urls.file_path(asset.id), **members)
