"""The JSON of an upload session in any dialect, with its Pydantic model (http-api section 3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from windlass.files.api import FileAsset, UploadSession, UploadStatus, load_file
from windlass.http.json_models import ReplyModel
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.problem_types import UploadGone
from windlass.protocols.chunks import progress_document
from windlass.receiving.chunked import progress_of


class UploadProgress(ReplyModel):
    """Fields that count chunks are present only for an upload in chunks."""

    received_chunks: list[int] | None = None
    missing_chunks: list[int] | None = None
    received_count: int | None = None
    total_chunks: int | None = None
    bytes_received: int
    percentage: float | None = Field(description="0 to 100; null while the size is not known.")


class UploadStatusOut(ReplyModel):
    upload_id: UUID
    status: Literal["active", "assembling", "completed", "failed", "cancelled", "expired"]
    progress: UploadProgress
    is_expired: bool
    expires_at: datetime
    protocol: str | None = Field(
        None, description="Protocol that the upload was created in. Present at `/uploads/{id}`."
    )
    file_id: UUID | None = None


def upload_status(session: UploadSession) -> dict[str, Any]:
    """An ``UploadStatusOut``. Of an upload in chunks it lists received and missing chunks: two queries."""
    expired = is_expired(session)
    in_bytes = {"bytes_received": session.offset, "percentage": percentage(session)}
    body: dict[str, Any] = {
        "upload_id": str(session.id),
        "status": str(UploadStatus.EXPIRED if expired else UploadStatus(session.status)),
        "progress": in_bytes if session.chunk_size is None else progress_document(progress_of(session.id)),
        "is_expired": expired,
        "expires_at": rfc3339(session.expires_at),
        "protocol": session.dialect,
    }
    if session.file_id:
        body["file_id"] = str(session.file_id)
    return body


def file_of(session: UploadSession) -> FileAsset:
    """The file of a completed upload. Raises UploadGone."""
    asset = load_file(session.file_id) if session.file_id else None
    if asset is None:
        raise UploadGone(f"The upload {session.id} is complete, and its file has been deleted since.")
    return asset


def is_expired(session: UploadSession) -> bool:
    """Whether the session has expired, swept or not."""
    if session.status == UploadStatus.ACTIVE:
        return session.expires_at <= now()
    return session.status == UploadStatus.EXPIRED


def percentage(session: UploadSession) -> float | None:
    """0 to 100 with two decimals; 100 only for a completed upload; None while the size is unknown."""
    if session.status == UploadStatus.COMPLETED:
        return 100.0
    if session.size is None:
        return None
    return min(99.99, round(100 * session.offset / session.size, 2)) if session.size else 0.0
