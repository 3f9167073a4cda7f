"""Numbered chunks as rows. A chunk needs no lease of its session: different ones come in in parallel, each under a
claim of its own, and one that is received never changes again."""

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
    """Another request brings this chunk now, or its upload has ended; what this one wrote does not count."""


@dataclass(frozen=True, slots=True)
class ChunkClaim:
    """The right to bring a chunk while ``epoch`` is its row's. ``until``: nobody else can have it before then."""

    id: uuid.UUID
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """The chunk is in, with this SHA-256 (hex)."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """Another request has the claim."""

    id: uuid.UUID


def chunk_layout(session: UploadSession) -> ChunkLayout:
    """Of a session that was begun in chunks."""
    assert session.size is not None
    assert session.chunk_size is not None
    return ChunkLayout(session.size, session.chunk_size)


def claim_chunk(
    session: UploadSession, index: int, holder: str, seconds: float
) -> ChunkClaim | ReceivedChunk | ClaimedChunk:
    """Take the claim if nobody holds it, or its holder's time ran out; else say what stands in the way."""
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
    """The chunk's bytes are in their place, of which the store says ``store_state``. Raises ClaimLost."""
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
    """The chunk did not come, or not as announced: anybody may bring it."""
    UploadChunk.objects.filter(id=held.id, claim_epoch=held.epoch, state=ChunkState.CLAIMED).update(
        claim_holder="", claim_until=None, claim_wanted=False
    )


def request_chunk(chunk: ClaimedChunk) -> None:
    """Ask whoever holds the claim, in any process, to let go if nothing comes from its client any more."""
    UploadChunk.objects.filter(id=chunk.id).exclude(claim_holder="").update(claim_wanted=True)


def unrequested_chunks(holder: str) -> Collection[uuid.UUID]:
    """The chunks that ``holder`` has claimed and may keep."""
    return set(UploadChunk.objects.filter(claim_holder=holder, claim_wanted=False).values_list("id", flat=True))


def renew_chunk_claims(holder: str, seconds: float) -> int:
    """Prolong every claim of this holder by one statement."""
    return UploadChunk.objects.filter(claim_holder=holder).update(claim_until=now() + timedelta(seconds=seconds))


def release_chunk_claims(holder: str) -> int:
    """Free every claim of a holder that has just started under this name, and so cannot be writing."""
    return UploadChunk.objects.filter(claim_holder=holder).update(
        claim_holder="", claim_until=None, claim_epoch=F("claim_epoch") + 1
    )


def received_chunks(session: UploadSession) -> Sequence[int]:
    """The indexes of the chunks that are in, in order."""
    return list(_received(session.id).order_by("index").values_list("index", flat=True))


def received_chunk_count(session: UploadSession) -> int:
    return _received(session.id).count()


def contiguous_chunk_count(upload_id: uuid.UUID, known: int, *, at_most: int = 2000) -> int:
    """How many chunks from the first on are in without a gap. ``known`` of them are known to be; looks no further than
    ``at_most`` beyond."""
    ahead = _received(upload_id).filter(index__gte=known).order_by("index").values_list("index", flat=True)[:at_most]
    for index in ahead:
        if index != known:
            break
        known += 1
    return known


def chunk_store_states(session: UploadSession) -> list[dict[str, Any]]:
    """What the store said of each received chunk, in order."""
    return list(_received(session.id).order_by("index").values_list("store_state", flat=True))


def start_assembly(session: UploadSession, holder: str, seconds: float) -> Lease | None:
    """The lease of a session whose chunks are all in, so that one works its digest out. None: another has it."""
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
    """The whole has another digest than was announced: the session has failed. False where it had ended already."""
    with recording():
        ended = uploads.mark_upload_ended(session.id, UploadStatus.FAILED, reason)
        if ended:
            UploadSession.objects.filter(id=session.id).update(actual_sha256=actual_sha256)
    return ended


def _received(upload_id: uuid.UUID) -> QuerySet[UploadChunk]:
    return UploadChunk.objects.filter(session_id=upload_id, state=ChunkState.RECEIVED)
