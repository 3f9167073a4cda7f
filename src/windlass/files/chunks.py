"""Rows of numbered chunks. A chunk does not need the session's lease: chunks are received in parallel, each under a
claim of its own, and a received chunk never changes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet

from windlass.database import rows as database_rows
from windlass.events.api import recording
from windlass.files import uploads
from windlass.files.lease_rows import CHUNK_CLAIMS, UPLOAD_LEASES, Lease, lease_of
from windlass.files.models import UploadChunk, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS, ChunkState, UploadStatus
from windlass.kernel.chunk_layout import ChunkLayout
from windlass.kernel.clock import now


class ClaimLost(Exception):
    """Another request has claimed this chunk, or its upload has ended; what this request wrote does not count."""


@dataclass(frozen=True, slots=True)
class ChunkClaim:
    """The right to write a chunk while ``epoch`` is that of its row. ``until``: nobody else can take it before then."""

    id: uuid.UUID
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """The chunk is received, with this SHA-256 (hex)."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """Another request has the claim."""

    id: uuid.UUID


def chunk_layout(session: UploadSession) -> ChunkLayout:
    assert session.size is not None
    assert session.chunk_size is not None
    return ChunkLayout(session.size, session.chunk_size)


def claim_chunk(
    session: UploadSession, index: int, holder: str, seconds: float
) -> ChunkClaim | ReceivedChunk | ClaimedChunk:
    """Take the claim if nobody holds it or it has expired; else return the received chunk or the existing claim."""
    rows = UploadChunk.objects.filter(session=session, index=index)
    row = rows.first()
    if row is None:
        size = chunk_layout(session).length(index)
        UploadChunk.objects.bulk_create([UploadChunk(session=session, index=index, size=size)], ignore_conflicts=True)
    moment = now()
    until = moment + timedelta(seconds=seconds)
    free = rows.filter(CHUNK_CLAIMS.is_free(moment), state=ChunkState.CLAIMED)
    taken = free.update(**CHUNK_CLAIMS.taken(holder, until))
    row = rows.get()
    if row.state == ChunkState.RECEIVED:
        return ReceivedChunk(row.sha256 or "")
    return ChunkClaim(row.id, row.claim_epoch, until) if taken else ClaimedChunk(row.id)


def is_chunk_claimed(claim: ChunkClaim) -> bool:
    """Whether nobody has taken the claim since, and the chunk is not received. Reads only."""
    return database_rows.exists(UploadChunk, id=claim.id, claim_epoch=claim.epoch, state=ChunkState.CLAIMED)


def accept_chunk(
    claim: ChunkClaim,
    session: UploadSession,
    size: int,
    sha256: str,
    *,
    ttl_hours: float,
    store_state: dict[str, Any] | None = None,
) -> None:
    """Record the chunk as received; its bytes are durable. ``store_state``: the store's state. Raises ClaimLost."""
    moment = now()
    with recording():
        counted = UploadSession.objects.filter(id=session.id, status=UploadStatus.ACTIVE).update(
            offset=F("offset") + size, expires_at=moment + timedelta(hours=ttl_hours), updated_at=moment
        )
        accepted = UploadChunk.objects.filter(id=claim.id, claim_epoch=claim.epoch, state=ChunkState.CLAIMED).update(
            state=ChunkState.RECEIVED, sha256=sha256, store_state=store_state or {}, **CHUNK_CLAIMS.released()
        )
        if not counted or not accepted:
            raise ClaimLost(str(claim.id))


def release_chunk(claim: ChunkClaim) -> None:
    """Release the claim of a chunk that was not received."""
    claimed = UploadChunk.objects.filter(id=claim.id, claim_epoch=claim.epoch, state=ChunkState.CLAIMED)
    claimed.update(**CHUNK_CLAIMS.released())


def received_chunks(session: UploadSession) -> Sequence[int]:
    return list(_received(session.id).order_by("index").values_list("index", flat=True))


def received_chunk_count(session: UploadSession) -> int:
    return _received(session.id).count()


def contiguous_chunk_count(upload_id: uuid.UUID, known: int, *, at_most: int = 2000) -> int:
    """Return how many chunks from the first on are received without a gap.

    ``known`` of them are known to be received; at most ``at_most`` more are checked.
    """
    ahead = _received(upload_id).filter(index__gte=known).order_by("index").values_list("index", flat=True)[:at_most]
    for index in ahead:
        if index != known:
            break
        known += 1
    return known


def chunk_store_states(session: UploadSession) -> list[dict[str, Any]]:
    return list(_received(session.id).order_by("index").values_list("store_state", flat=True))


def start_assembly(session: UploadSession, holder: str, seconds: float) -> Lease | None:
    """Mark a session whose chunks are all received as assembling; return its lease, None if another holds it."""
    moment = now()
    lease = UPLOAD_LEASES.taken(holder, moment + timedelta(seconds=seconds))
    free = UploadSession.objects.filter(UPLOAD_LEASES.is_free(moment), id=session.id, status__in=UNFINISHED_UPLOADS)
    taken = free.update(status=UploadStatus.ASSEMBLING, updated_at=moment, **lease)
    session.refresh_from_db()
    return lease_of(session) if taken else None


def fail_with_wrong_digest(session: UploadSession, actual_sha256: str, reason: str) -> bool:
    """Fail a session whose digest is not the announced one. False if it had ended already."""
    with recording():
        ended = uploads.mark_upload_ended(session.id, UploadStatus.FAILED, reason)
        if ended:
            UploadSession.objects.filter(id=session.id).update(actual_sha256=actual_sha256)
    return ended


def _received(upload_id: uuid.UUID) -> QuerySet[UploadChunk]:
    return UploadChunk.objects.filter(session_id=upload_id, state=ChunkState.RECEIVED)
