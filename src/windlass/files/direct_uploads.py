"""Rows of direct uploads, whose bytes clients send to the store itself."""

from __future__ import annotations

import uuid
from datetime import timedelta

from windlass.files.models import UploadSession
from windlass.files.states import UploadStatus
from windlass.kernel.clock import now

#: The expiry of a session in use is extended at most this often (seconds).
EXTEND_SECONDS = 60.0
#: The store is asked for an upload again after a quarter of the time waited so far, or this long (seconds).
MAX_CHECK_INTERVAL = 300.0
#: Sessions that one sweep considers.
_MAX_SESSIONS = 1000


def is_extendable(session: UploadSession) -> bool:
    """Whether the expiry was not extended in the last EXTEND_SECONDS."""
    return now() - session.updated_at >= timedelta(seconds=EXTEND_SECONDS)


def extend_direct_upload(upload_id: uuid.UUID, ttl_hours: float) -> None:
    """Extend the expiry of an upload that its client still uses."""
    moment = now()
    living = UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE)
    living.update(expires_at=moment + timedelta(hours=ttl_hours), updated_at=moment)


def record_stored_bytes(upload_id: uuid.UUID, stored: int) -> None:
    """Record the number of bytes that the store has. It never decreases."""
    UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE, offset__lt=stored).update(offset=stored)


def direct_uploads_to_check(dialect: str) -> list[UploadSession]:
    """Return uploads in one request that the store should be asked for now, since their clients need not report them.

    The longer an upload has waited, the less often it is checked.
    """
    living = UploadSession.objects.filter(
        status=UploadStatus.ACTIVE, dialect=dialect, expires_at__gt=now(), store_state__has_key="piece"
    )
    return [session for session in living.order_by("updated_at")[:_MAX_SESSIONS] if _is_due(session)]


def defer_direct_upload_check(upload_id: uuid.UUID) -> None:
    """Record that the store does not have the upload yet."""
    UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE).update(updated_at=now())


def _is_due(session: UploadSession) -> bool:
    waited = (session.updated_at - session.created_at).total_seconds()
    return now() - session.updated_at >= timedelta(seconds=min(waited / 4, MAX_CHECK_INTERVAL))
