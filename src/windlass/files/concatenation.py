"""Rows of uploads made of others (tus concatenation): find their parts, and the uploads that wait for a part."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import IntegrityError
from django.db.models.functions import Coalesce

from windlass.files import uploads
from windlass.files.lease_rows import UPLOAD_LEASES
from windlass.files.models import UploadSession
from windlass.files.states import UploadStatus
from windlass.files.uploads import NewUpload
from windlass.kernel.clock import now

#: How long the parts are kept once the upload made of them is complete, for another one made of them (hours).
#: Their bytes are stored twice until then.
PARTS_RETENTION_HOURS = 1.0


def find_concatenation(concat_key: str) -> UploadSession | None:
    """Return the upload of the same owner, parts and metadata, if it exists and has not expired."""
    existing = UploadSession.objects.filter(
        concat_key=concat_key, status__in=[UploadStatus.ACTIVE, UploadStatus.COMPLETED]
    ).first()
    if existing is not None and existing.status == UploadStatus.ACTIVE and existing.expires_at <= now():
        # The sweep deletes its object: this runs inside transactions.
        uploads.mark_upload_ended(existing.id, UploadStatus.EXPIRED)
        return None
    return existing


def create_concatenation(
    new: NewUpload, *, upload_id: uuid.UUID, key: str, state: dict[str, object]
) -> UploadSession | None:
    """Create the session; None if another request created the same one a moment ago."""
    try:
        return uploads.create_upload(new, upload_id=upload_id, key=key, state=state)
    except IntegrityError:
        if find_concatenation(new.concat_key) is None:
            raise
        return None


def living_partial_uploads(ids: Iterable[uuid.UUID]) -> list[UploadSession] | None:
    """Return the partial uploads in this order, repeated as named; None if one of them has ended."""
    wanted = list(ids)
    distinct = set(wanted)
    alive = UploadSession.objects.filter(id__in=distinct, status=UploadStatus.ACTIVE, expires_at__gt=now())
    by_id = {session.id: session for session in alive if session.is_partial}
    return [by_id[part_id] for part_id in wanted] if by_id.keys() >= distinct else None


def uploads_by_id(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, UploadSession]:
    """Return the existing ones of these sessions, in any status."""
    return UploadSession.objects.in_bulk(set(ids))


def is_complete_partial(part: UploadSession) -> bool:
    return part.size is not None and part.offset == part.size


def concatenations_of(part: UploadSession) -> Sequence[uuid.UUID]:
    """Return the unfinished uploads that this one is a part of."""
    unfinished = UploadSession.objects.filter(owner=part.owner, status=UploadStatus.ACTIVE, parts__isnull=False)
    return [upload_id for upload_id, parts in unfinished.values_list("id", "parts") if str(part.id) in (parts or ())]


def unfinished_concatenations() -> Sequence[uuid.UUID]:
    """Return unfinished uploads made of others that nobody is concatenating, at most 100."""
    moment = now()
    abandoned = UploadSession.objects.filter(
        UPLOAD_LEASES.is_free(moment), status=UploadStatus.ACTIVE, parts__isnull=False
    )
    # With a condition on the column ``expires_at`` SQLite would follow the index of all unfinished uploads.
    living = abandoned.alias(end=Coalesce("expires_at", "created_at")).filter(end__gt=moment)
    return list(living.order_by("created_at").values_list("id", flat=True)[:100])


def release_partial_uploads(ids: Iterable[uuid.UUID]) -> None:
    """Let partial uploads that were used expire after PARTS_RETENTION_HOURS, if not before. From now on they are not
    counted as open uploads of their address."""
    soon = now() + timedelta(hours=PARTS_RETENTION_HOURS)
    used = UploadSession.objects.filter(id__in=set(ids), status=UploadStatus.ACTIVE)
    used.exclude(address_key="").update(address_key="")
    used.filter(expires_at__gt=soon).update(expires_at=soon)
