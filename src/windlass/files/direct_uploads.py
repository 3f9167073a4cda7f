"""Sessions whose bytes clients send to the store itself: what is known of them here is what they were begun with."""

from __future__ import annotations

import uuid
from datetime import timedelta

from windlass.files.models import UploadSession
from windlass.files.states import UploadStatus
from windlass.kernel.clock import now

#: How often the life of a session in use is prolonged, at most (seconds).
PROLONG_SECONDS = 60.0
#: The store is asked for an upload after a quarter of the time that it was waited for already, or so many seconds.
LONGEST_PAUSE = 300.0
#: Sessions that one look considers.
_MOST = 1000


def is_extendable(session: UploadSession) -> bool:
    """Whether it is a while since its client was heard of."""
    return now() - session.updated_at >= timedelta(seconds=PROLONG_SECONDS)


def extend_direct_upload(upload_id: uuid.UUID, ttl_hours: float) -> None:
    """Its client is still there."""
    moment = now()
    living = UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE)
    living.update(expires_at=moment + timedelta(hours=ttl_hours), updated_at=moment)


def record_stored_bytes(upload_id: uuid.UUID, stored: int) -> None:
    """So many bytes were seen at the store. What is known never falls."""
    UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE, offset__lt=stored).update(offset=stored)


def direct_uploads_to_check(dialect: str) -> list[UploadSession]:
    """Sessions that are sent in one request, of which the client need not tell the end, and that are to be looked for
    now: the longer one was waited for, the less often."""
    living = UploadSession.objects.filter(
        status=UploadStatus.ACTIVE, dialect=dialect, expires_at__gt=now(), store_state__has_key="piece"
    )
    return [session for session in living.order_by("updated_at")[:_MOST] if _is_due(session)]


def defer_direct_upload_check(upload_id: uuid.UUID) -> None:
    """It was not there."""
    UploadSession.objects.filter(id=upload_id, status=UploadStatus.ACTIVE).update(updated_at=now())


def _is_due(session: UploadSession) -> bool:
    waited = (session.updated_at - session.created_at).total_seconds()
    return now() - session.updated_at >= timedelta(seconds=min(waited / 4, LONGEST_PAUSE))
