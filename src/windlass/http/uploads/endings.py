"""How a request that moved bytes ended, where it did not end as it should."""

from __future__ import annotations

from windlass.kernel.errors import FileTooLarge, PastDeclaredLength, Unavailable, UploadLocked
from windlass.kernel.errors import ReceiveTimeout as Silent
from windlass.receiving import lease as leases
from windlass.receiving.outcome import Outcome
from windlass.receiving.pump import End


def must_have_ended_well(outcome: Outcome) -> None:
    """Where the request ended before its body did, what arrived is kept and the client is told why."""
    match outcome.end:
        case End.OVER_LIMIT if outcome.declared is None:
            raise FileTooLarge(outcome.state.max_size or outcome.state.offset)
        case End.OVER_LIMIT:
            raise PastDeclaredLength(
                f"The body goes beyond the {outcome.declared} bytes that were declared; what fits is kept.",
                limit=outcome.declared,
            )
        case End.SILENT:
            raise Silent(f"Nothing came for too long. The upload stands at byte {outcome.state.offset}.")
        case End.ASKED if leases.keeper.stopping:
            raise Unavailable(
                f"The server is stopping. The upload stands at byte {outcome.state.offset}; resume it shortly.",
                retry_after=1,
            )
        case End.ASKED:
            raise UploadLocked(
                "Another request asked for this upload, so this one was ended and what had come was kept: the upload "
                f"stands at byte {outcome.state.offset}. Ask for its offset with HEAD and go on from there.",
                headers={"Retry-After": "1"},
                retry_after=1,
            )
