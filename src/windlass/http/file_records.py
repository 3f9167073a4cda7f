"""The JSON of files and uploads, as every door of the server shows it (http-api sections 1 to 3).

Reading a file's record needs its renditions and steps: one query each, none where the caller prefetched them
(``with_parts``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from windlass import conf
from windlass.files.api import (
    FileAsset,
    FileStatus,
    Rendition,
    StepRun,
    StepState,
    UploadSession,
    UploadStatus,
)
from windlass.http.checks import checks_of
from windlass.kernel import urls
from windlass.kernel.clock import now, rfc3339
from windlass.protocols.chunks import progress_document
from windlass.receiving.chunked import progress_of

_REJECTION = {"rule": None, "detail": None, "limit": None, "actual": None}


def with_parts(files: QuerySet[FileAsset]) -> QuerySet[FileAsset]:
    """The same files with what their records need, in two queries for all of them."""
    return files.prefetch_related("renditions", "steps")


def media_link(file_id: uuid.UUID, rest: str) -> str:
    """The link to bytes of a file: on ``MEDIA_URL`` where one is set."""
    return urls.media_url(conf.get().media_url, f"/files/{file_id}/{rest}")


def file_record(asset: FileAsset) -> dict[str, Any]:
    """The file record of http-api section 1."""
    return _record(asset, sorted(asset.renditions.all(), key=lambda made: made.name), _steps(asset))


def trashed_record(asset: FileAsset) -> dict[str, Any]:
    """The record of a file in the trash: nothing made of it can be fetched meanwhile."""
    ends = {"trashed_at": rfc3339(asset.trashed_at), "trash_until": rfc3339(asset.trash_until)}
    return _record(asset, [], _steps(asset)) | ends


def new_file_record(asset: FileAsset) -> dict[str, Any]:
    """The record of a file that has just come in, of which nothing has been made yet: no query."""
    return _record(asset, [], [])


def _record(asset: FileAsset, renditions: Sequence[Rendition], steps: Sequence[StepRun]) -> dict[str, Any]:
    return {
        "id": str(asset.id),
        "original_filename": asset.original_filename,
        "size": asset.size,
        "status": str(asset.status),
        "mime_type": asset.mime_type,
        "declared_mime_type": asset.declared_mime_type,
        "checksum": asset.checksum,
        "checksum_algorithm": "sha256",
        "width": asset.width,
        "height": asset.height,
        "duration": asset.duration,
        "page_count": asset.page_count,
        "extra_attributes": asset.extra_attributes,
        "metadata": asset.metadata,
        "profile": asset.profile,
        "reference": asset.reference,
        "duplicate_of": str(asset.original_id) if asset.original_id else None,
        "thumbnail_url": _thumbnail_url(asset, renditions),
        "renditions": [_rendition(asset, made) for made in renditions],
        "checks": checks_of(asset, steps),
        "created_at": rfc3339(asset.created_at),
        "updated_at": rfc3339(asset.updated_at),
        "expires_at": rfc3339(asset.expires_at),
        "rejection": None if asset.rejection is None else _REJECTION | asset.rejection,
        "links": {
            "self": urls.file_path(asset.id),
            "status": urls.file_path(asset.id, "status/"),
            "download": media_link(asset.id, "download/"),
            "events": urls.file_path(asset.id, "events/"),
        },
    }


def file_status(asset: FileAsset) -> dict[str, Any]:
    """How far processing is, step by step, in the present run."""
    steps = _steps(asset)
    return {
        "id": str(asset.id),
        "status": str(asset.status),
        "progress": shown_progress(asset),
        "stage": asset.stage,
        "message": asset.message,
        "steps": [_step(step) for step in steps],
        "owed": [step.step for step in steps if step.state == StepState.OWED],
    }


def shown_progress(asset: FileAsset) -> int:
    """0..100; 100 is said of a file that is ready and of no other."""
    return 100 if asset.status == FileStatus.READY else min(asset.progress, 99)


def upload_status(session: UploadSession) -> dict[str, Any]:
    """How far an upload is, in the shape of http-api section 3, for a session of any dialect.

    Of an upload in chunks it names those that are in and those that are missing: two queries.
    """
    expired = is_expired(session)
    body: dict[str, Any] = {
        "upload_id": str(session.id),
        "status": str(UploadStatus.EXPIRED if expired else UploadStatus(session.status)),
        "progress": _progress(session),
        "is_expired": expired,
        "expires_at": rfc3339(session.expires_at),
        "protocol": session.dialect,
    }
    if session.file_id:
        body["file_id"] = str(session.file_id)
    return body


def _progress(session: UploadSession) -> dict[str, Any]:
    if session.chunk_size is None:
        return {"bytes_received": session.offset, "percentage": percentage(session)}
    return progress_document(progress_of(session.id))


def is_expired(session: UploadSession) -> bool:
    """Whether its life is over, swept up already or not."""
    if session.status == UploadStatus.ACTIVE:
        return session.expires_at <= now()
    return session.status == UploadStatus.EXPIRED


def percentage(session: UploadSession) -> float | None:
    """0..100 with two decimals; None while the size is unknown. 100 is said of a whole upload only."""
    if session.status == UploadStatus.COMPLETED:
        return 100.0
    if session.size is None:
        return None
    return min(99.99, round(100 * session.offset / session.size, 2)) if session.size else 0.0


def _steps(asset: FileAsset) -> Sequence[StepRun]:
    present = [step for step in asset.steps.all() if step.run == asset.run]
    return sorted(present, key=lambda step: step.position)


def _step(step: StepRun) -> dict[str, Any]:
    return {
        "name": step.step,
        "stage": step.stage,
        "state": str(step.state),
        "seconds": step.seconds,
        "progress": step.progress,
        "detail": step.detail,
    }


def _rendition(asset: FileAsset, made: Rendition) -> dict[str, Any]:
    return {
        "name": made.name,
        "kind": made.kind,
        "mime_type": made.mime_type,
        "size": made.size,
        "width": made.width,
        "height": made.height,
        "url": media_link(asset.id, f"renditions/{made.name}/"),
    }


def _thumbnail_url(asset: FileAsset, renditions: Sequence[Rendition]) -> str | None:
    made = any(rendition.name == "thumbnail" for rendition in renditions)
    return media_link(asset.id, "thumbnail/") if made else None
