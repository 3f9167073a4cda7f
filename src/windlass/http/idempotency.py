"""Idempotency keys on both planes: the header's description, whose key it is, and the claim of a running request."""

from __future__ import annotations

from contextlib import AbstractContextManager

from starlette.responses import Response

from windlass.files import api as files
from windlass.http.endpoints import header
from windlass.kernel.principals import Principal
from windlass.protocols.idempotency import HEADER
from windlass.receiving.lease import LeaseKeeper

PARAMETER = header(
    HEADER,
    "A name for this request, such as a UUID. If it is repeated with the same name, it is answered as before, with "
    "`Idempotency-Replayed: true`, and has no second effect.",
)

#: Statuses of refusals that may be other ones later: a timeout, a conflict, a lock, too many requests.
_TRANSIENT = frozenset({408, 409, 423, 425, 429})


#: Headers of a stored answer that are made anew for each reply.
_NOT_STORED = frozenset({"content-length", "date", "set-cookie"})


def caller_of(principal: Principal) -> str:
    """The name under which a caller's keys are kept. Each grant is a caller of its own."""
    return f"grant:{principal.grant.id}" if principal.grant is not None else principal.owner


_keeper = LeaseKeeper(files.KEY_CLAIMS.unrequested, files.KEY_CLAIMS.renew)


def holding(claim: files.KeyClaim) -> AbstractContextManager[None]:
    """Renew the claim inside. A request that loses it all the same notices that when it commits."""
    return _keeper.holding(claim.id, lambda: None)


def is_final(status: int) -> bool:
    """Whether an answer of this status, given to a request that had an effect, is the answer for good."""
    return status < 500 and status not in _TRANSIENT


def storable(response: Response) -> files.Answer:
    headers = [(name, value) for name, value in response.headers.items() if name.lower() not in _NOT_STORED]
    return files.Answer(response.status_code, headers, bytes(response.body))
