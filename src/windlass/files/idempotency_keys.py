"""Rows of idempotency keys: one request per key and caller runs, and its answer is kept.

What a request creates is recorded in its key's row within the transaction that creates it, and that UPDATE has the
claim's epoch as its condition. So a request that lost its key to a later one creates nothing.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q

from windlass import conf
from windlass.database.batches import delete_in_batches
from windlass.files.lease_rows import KEY_CLAIMS
from windlass.files.models import IdempotencyKey
from windlass.kernel.clock import CLOCK_TOLERANCE, now
from windlass.kernel.problem_types import IdempotencyKeyReused, RequestInProgress


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key. ``fingerprint``: of its head (``protocols.idempotency``)."""

    caller: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """The first request with a key, which has been answered.

    ``answer`` None: it created the upload session ``uploads[0]``, from which the answer is made. ``body_digest`` and
    ``body_size`` are None if its body did not arrive completely.
    """

    answer: Answer | None
    uploads: Sequence[uuid.UUID]
    body_digest: str | None
    body_size: int | None


@dataclass(slots=True)
class KeyClaim:
    """The right to execute the request of a key while ``epoch`` is that of its row.

    ``former_uploads``: what a process created for it that died before it answered. ``uploads``: what this request
    created. ``answer``: what was recorded last. ``body``: digest and size of its body, once they are known.
    """

    id: uuid.UUID
    epoch: int
    former_uploads: Sequence[uuid.UUID] = ()
    uploads: list[uuid.UUID] = field(default_factory=list)
    answer: Answer | None = None
    body: tuple[str, int] | None = None


def claim_key(request: KeyedRequest, holder: str, seconds: float) -> KeyClaim | AnsweredRequest:
    """Claim the key for this request, or return the request that had it before. Call it in a transaction.

    Raises IdempotencyKeyReused if that was another request, RequestInProgress if it has not been answered yet.
    """
    moment = now()
    rows = IdempotencyKey.objects.filter(caller=request.caller, key=request.key)
    rows.filter(_is_over(moment)).delete()
    if not rows.exists():
        new = IdempotencyKey(**_columns_of(request), expires_at=_expiry())
        IdempotencyKey.objects.bulk_create([new], ignore_conflicts=True)
    free = rows.filter(KEY_CLAIMS.is_free(moment), fingerprint=request.fingerprint, done=False)
    taken = free.update(**KEY_CLAIMS.taken(holder, moment + timedelta(seconds=seconds)))
    row = rows.first()  # None: released meanwhile by the request that had it
    if row is not None and row.fingerprint != request.fingerprint:
        raise key_reused()
    if row is not None and row.done:
        return _answered(row)
    if row is None or not taken:
        raise RequestInProgress("The first request with this Idempotency-Key has not been answered yet. Try again.")
    return KeyClaim(row.id, row.claim_epoch, former_uploads=_ids(row.uploads))


def key_reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused(
        "This Idempotency-Key was sent with another request: method, path, fields and bytes must be the same. "
        "Use a new key for a new request."
    )


def record_upload(claim: KeyClaim, upload_id: uuid.UUID) -> None:
    """Record that the request created this upload session, in the transaction that creates it.

    Raises RequestInProgress if another request has the key now.
    """
    uploads = [*(each for each in claim.uploads if each != upload_id), upload_id]
    _update(claim, {"uploads": [str(each) for each in uploads]})
    claim.uploads = uploads


def record_answer(claim: KeyClaim, answer: Answer) -> None:
    """Record the answer, in the transaction of what it reports if there is one. It may be replaced by a later one.

    Raises RequestInProgress if another request has the key now.
    """
    values = {
        "answer_status": answer.status,
        "answer_headers": [list(pair) for pair in answer.headers],
        "answer_body": zlib.compress(answer.body, 1),
    }
    _update(claim, values | _done(claim))
    claim.answer = answer


def finish_key(claim: KeyClaim) -> None:
    """Keep the key of a request that created an upload session, from which its answer is made again."""
    _update(claim, _done(claim))


def release_key(claim: KeyClaim) -> None:
    """Forget the key of a request that had no effect, so that it may be sent again."""
    IdempotencyKey.objects.filter(id=claim.id, claim_epoch=claim.epoch, done=False).delete()


def correct_key_claims_ahead(seconds: float) -> int:
    """Shorten claims that end later than ``seconds`` from now, as long as a claim lasts; return how many.

    They were taken while a clock was ahead. A holder that lives renews its claim; one that died would keep it, and its
    client would be told for as long that the first request has not been answered.
    """
    longest = now() + timedelta(seconds=seconds)
    held = IdempotencyKey.objects.exclude(claim_holder="").filter(claim_until__gt=longest + CLOCK_TOLERANCE)
    return held.update(claim_until=longest)


def prune_idempotency_keys() -> int:
    """Delete expired keys; return how many."""
    return delete_in_batches(IdempotencyKey.objects.filter(_is_over(now())), "expires_at")


def _update(claim: KeyClaim, values: dict[str, Any]) -> None:
    if not IdempotencyKey.objects.filter(id=claim.id, claim_epoch=claim.epoch).update(**values):
        raise RequestInProgress("Another request with this Idempotency-Key took over. Try again.")


def _done(claim: KeyClaim) -> dict[str, Any]:
    body_digest, body_size = claim.body or (None, None)
    values = {"done": True, "expires_at": _expiry(), "body_digest": body_digest, "body_size": body_size}
    return values | KEY_CLAIMS.released()


def _is_over(moment: Any) -> Q:
    return Q(KEY_CLAIMS.is_free(moment), expires_at__lt=moment)


def _expiry() -> Any:
    return now() + timedelta(hours=conf.get().idempotency_hours)


def _columns_of(request: KeyedRequest) -> dict[str, str]:
    return {"caller": request.caller, "key": request.key, "fingerprint": request.fingerprint}


def _answered(row: IdempotencyKey) -> AnsweredRequest:
    answer = None
    if row.answer_status is not None:
        headers = [(name, value) for name, value in row.answer_headers]
        answer = Answer(row.answer_status, headers, zlib.decompress(bytes(row.answer_body)))
    return AnsweredRequest(answer, _ids(row.uploads), row.body_digest, row.body_size)


def _ids(texts: Sequence[str]) -> list[uuid.UUID]:
    return [uuid.UUID(text) for text in texts]
