"""Rows of numbered chunks. A chunk does not need the session's lease: chunks are received in parallel, each under a
claim of its own, and a received chunk never changes."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from windlass.events.api import recording
from windlass.files import uploads
from windlass.files.leases import Lease, lease_of
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
    """Return the chunk layout of a chunked session."""
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
    free = Q(claim_holder="") | Q(claim_until__lt=moment)
    taken = rows.filter(free, state=ChunkState.CLAIMED).update(
        claim_holder=holder, claim_epoch=F("claim_epoch") + 1, claim_until=until, claim_wanted=False
    )
    row = rows.get()
    if row.state == ChunkState.RECEIVED:
        return ReceivedChunk(row.sha256 or "")
    return ChunkClaim(row.id, row.claim_epoch, until) if taken else ClaimedChunk(row.id)


def accept_chunk(
    held: ChunkClaim,
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
        kept = UploadChunk.objects.filter(id=held.id, claim_epoch=held.epoch, state=ChunkState.CLAIMED).update(
            state=ChunkState.RECEIVED,
            sha256=sha256,
            store_state=store_state or {},
            claim_holder="",
            claim_until=None,
            claim_wanted=False,
        )
        if not counted or not kept:
            raise ClaimLost(str(held.id))


def release_chunk(held: ChunkClaim) -> None:
    """Release the claim of a chunk that was not received."""
    UploadChunk.objects.filter(id=held.id, claim_epoch=held.epoch, state=ChunkState.CLAIMED).update(
        claim_holder="", claim_until=None, claim_wanted=False
    )


def request_chunk(chunk: ClaimedChunk) -> None:
    """Ask the holder of the claim, in any process, to release it if its client has gone silent."""
    UploadChunk.objects.filter(id=chunk.id).exclude(claim_holder="").update(claim_wanted=True)


def unrequested_chunks(holder: str) -> Collection[uuid.UUID]:
    """Return the chunks that ``holder`` still claims and nobody has requested."""
    return set(UploadChunk.objects.filter(claim_holder=holder, claim_wanted=False).values_list("id", flat=True))


def renew_chunk_claims(holder: str, seconds: float) -> int:
    """Renew every claim of this holder by one statement; return how many."""
    return UploadChunk.objects.filter(claim_holder=holder).update(claim_until=now() + timedelta(seconds=seconds))


def release_chunk_claims(holder: str) -> int:
    """Release and fence every claim of a process that has just started under this name; return how many."""
    return UploadChunk.objects.filter(claim_holder=holder).update(
        claim_holder="", claim_until=None, claim_epoch=F("claim_epoch") + 1
    )


def received_chunks(session: UploadSession) -> Sequence[int]:
    """Return the indexes of the received chunks, in order."""
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
    """Return the store's state of each received chunk, in order."""
    return list(_received(session.id).order_by("index").values_list("store_state", flat=True))


def start_assembly(session: UploadSession, holder: str, seconds: float) -> Lease | None:
    """Mark a session whose chunks are all received as assembling; return its lease, None if another holds it."""
    moment = now()
    free = Q(lease_holder="") | Q(lease_until__lt=moment)
    taken = UploadSession.objects.filter(free, id=session.id, status__in=UNFINISHED_UPLOADS).update(
        status=UploadStatus.ASSEMBLING,
        lease_holder=holder,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=moment + timedelta(seconds=seconds),
        lease_wanted=False,
        updated_at=moment,
    )
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
