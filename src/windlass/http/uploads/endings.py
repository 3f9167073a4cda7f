"""How a request that moved bytes ended, where it did not end as it should."""

from __future__ import annotations

import uuid

from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.endpoints import problem_of
from windlass.http.uploads.upload_request import Incoming
from windlass.kernel.errors import FileTooLarge, PastDeclaredLength, Problem, Unavailable, UploadLocked
from windlass.kernel.errors import ReceiveTimeout as Silent
from windlass.protocols.dialects import Dialect
from windlass.receiving import lease as leases
from windlass.receiving.session import Outcome
from windlass.receiving.transfer import TransferEnd


def must_have_ended_well(outcome: Outcome) -> None:
    """Where the request ended before its body did, what arrived is kept and the client is told why."""
    stands = {"Upload-Offset": str(outcome.state.offset)}
    match outcome.end:
        case TransferEnd.OVER_LIMIT if outcome.declared is None:
            raise FileTooLarge(outcome.state.max_size or outcome.state.offset)
        case TransferEnd.OVER_LIMIT:
            raise PastDeclaredLength(
                f"The body goes beyond the {outcome.declared} bytes that were declared; what fits is kept.",
                limit=outcome.declared,
            )
        case TransferEnd.TIMED_OUT:
            raise Silent(
                f"Nothing came for too long. The upload stands at byte {outcome.state.offset}; resume it.",
                headers=stands,
            )
        case TransferEnd.STOP_REQUESTED if leases.keeper.stopping:
            raise Unavailable(
                f"The server is stopping. The upload stands at byte {outcome.state.offset}; resume it shortly.",
                retry_after=1,
            )
        case TransferEnd.STOP_REQUESTED:
            raise UploadLocked(
                "Another request asked for this upload, so this one was ended and what had come was kept: the upload "
                f"stands at byte {outcome.state.offset}. Ask for its offset with HEAD and go on from there.",
                headers=stands | {"Retry-After": "1"},
                retry_after=1,
            )


async def tell_location(error: Exception, upload_id: uuid.UUID | None, incoming: Incoming) -> Problem:
    """The refusal of a creation that had begun: it says where the upload goes on, if it does."""
    problem = problem_of(error)
    session = await in_database(files.load_upload, upload_id) if upload_id is not None else None
    if session is not None and session.status == files.UploadStatus.ACTIVE:
        told = {"Location": incoming.location(session.id), "Upload-Offset": str(session.offset)}
        problem.headers |= told | ({"Upload-Complete": "?0"} if session.dialect == Dialect.IETF else {})
    return problem
