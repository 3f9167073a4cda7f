"""How a request that moved bytes ended, where it did not end as it should."""

from __future__ import annotations

from windlass.kernel.errors import FileTooLarge, PastDeclaredLength, Unavailable
from windlass.kernel.errors import ReceiveTimeout as Silent
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
        case End.ASKED:
            raise Unavailable(
                f"This request had to let go of the upload, which stands at byte {outcome.state.offset}. Resume it.",
                retry_after=1,
            )
