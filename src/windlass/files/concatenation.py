"""Uploads that are made of others (tus's concatenation), as rows: finding the parts, and who waits for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import IntegrityError
from django.db.models import Q

from windlass.files import uploads
from windlass.files.models import UploadSession
from windlass.files.states import UploadStatus
from windlass.files.uploads import NewUpload
from windlass.kernel.clock import now

#: How long the parts stay when the upload made of them is complete, for another one made of them (hours).
#: Their bytes are there twice until then.
PARTS_STAY_HOURS = 1.0


def find_concatenation(concat_key: str) -> UploadSession | None:
    """The upload that was asked for by the same owner with the same parts and metadata, while it is remembered."""
    found = UploadSession.objects.filter(
        concat_key=concat_key, status__in=[UploadStatus.ACTIVE, UploadStatus.COMPLETED]
    ).first()
    if found is not None and found.status == UploadStatus.ACTIVE and found.expires_at <= now():
        # The sweep deletes its object: this runs inside transactions.
        uploads.mark_upload_ended(found.id, UploadStatus.EXPIRED)
        return None
    return found


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
    """The sessions in this order, the same one as often as it is named; None where one of them has ended."""
    wanted = list(ids)
    distinct = set(wanted)
    alive = UploadSession.objects.filter(id__in=distinct, status=UploadStatus.ACTIVE, expires_at__gt=now())
    found = {session.id: session for session in alive if session.is_partial}
    return [found[each] for each in wanted] if found.keys() >= distinct else None


def uploads_by_id(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, UploadSession]:
    """Those of these sessions that there are, whatever their status."""
    return UploadSession.objects.in_bulk(set(ids))


def is_complete_partial(part: UploadSession) -> bool:
    return part.size is not None and part.offset == part.size


def concatenations_of(part: UploadSession) -> Sequence[uuid.UUID]:
    """The unfinished uploads that this one is a part of."""
    unfinished = UploadSession.objects.filter(owner=part.owner, status=UploadStatus.ACTIVE, parts__isnull=False)
    return [found for found, parts in unfinished.values_list("id", "parts") if str(part.id) in (parts or ())]


def unfinished_concatenations() -> Sequence[uuid.UUID]:
    """Every upload made of others that nobody is joining at the moment."""
    moment = now()
    idle = Q(lease_holder="") | Q(lease_until__lt=moment)
    found = UploadSession.objects.filter(
        idle, status=UploadStatus.ACTIVE, parts__isnull=False, expires_at__gt=moment
    ).order_by("created_at")
    return list(found.values_list("id", flat=True)[:100])


def expire_partial_uploads(ids: Iterable[uuid.UUID]) -> None:
    """They have served. Their lives end soon, if they would not end sooner."""
    soon = now() + timedelta(hours=PARTS_STAY_HOURS)
    UploadSession.objects.filter(id__in=set(ids), status=UploadStatus.ACTIVE, expires_at__gt=soon).update(
        expires_at=soon
    )
