"""What the media API says of a file: MediaOut, or why a rule refused it (http-api section 4)."""

from __future__ import annotations

from typing import Any

from windlass.files.api import FileAsset, FileStatus, MediaRules, profiles
from windlass.http.file_records import media_link
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.kernel.errors import FileRejected, Problem, UnsupportedMediaType
from windlass.kernel.media_types import matches
from windlass.protocols import media

#: Rules whose refusal is about the type: 415. Every other is 422.
_OF_TYPE = frozenset({"type-not-allowed", "type-blocked", "extension-not-allowed"})


def media_out(asset: FileAsset) -> dict[str, Any]:
    """Reads the file's renditions: one query."""
    facts = asset.extra_attributes
    made = asset.renditions.filter(name="thumbnail").exists()
    return {
        "id": str(asset.id),
        "media_id": str(asset.id),
        "post_id": asset.reference,
        "media_type": kind_of(asset),
        "file_name": asset.original_filename,
        "file_size": asset.size,
        "content_type": asset.mime_type or asset.declared_mime_type,
        "file_path": media_link(asset.id, "download/"),
        "thumbnail_url": media_link(asset.id, "thumbnail/") if made else None,
        "width": asset.width,
        "height": asset.height,
        "duration": asset.duration,
        "codec": facts.get("codec"),
        "bitrate": facts.get("bitrate"),
        # This API has no word for a file that nothing has been done with yet.
        "status": str(FileStatus.PROCESSING if asset.status == FileStatus.PENDING else asset.status),
        "created_at": rfc3339(asset.created_at),
    }


def kind_of(asset: FileAsset) -> str | None:
    """``video`` or ``image``: by its content, else as declared, else as given."""
    told = asset.mime_type or asset.declared_mime_type
    for rules in rules_of(asset.profile):
        if told is not None and matches(told, rules.content_types):
            return rules.kind
    given = asset.metadata.get("media_type")
    return given if given in media.KINDS else None


def rules_of(profile: str) -> tuple[MediaRules, ...]:
    found = profiles().get(profile)
    return found.media_types if found else ()


def refusal(asset: FileAsset) -> Problem | None:
    """The problem that a client of this file is told; None for one that nothing refused."""
    if asset.status == FileStatus.QUARANTINED:
        return FileRejected("Malware was found in this file.", rule="malware", media_id=str(asset.id))
    if asset.status != FileStatus.REJECTED:
        return None
    said = asset.rejection or {}
    members = {name: said.get(name) for name in ("rule", "limit", "actual")} | {"media_id": str(asset.id)}
    detail = said.get("detail") or "A rule refused this file."
    if said.get("rule") in _OF_TYPE:
        return UnsupportedMediaType(detail, **members)
    return FileRejected(detail, file=urls.file_path(asset.id), **members)
