"""Refusals of requests that sent bytes to an upload session and ended early."""

from __future__ import annotations

import uuid

from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.problem_responses import problem_of
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel.errors import (
    FileTooLarge,
    PastDeclaredLength,
    Problem,
    ReceiveTimeout,
    Unavailable,
    UploadLocked,
)
from windlass.protocols.dialects import Dialect
from windlass.receiving import lease as leases
from windlass.receiving.checkpointed_transfer import TransferEnd
from windlass.receiving.session import Outcome


def check_outcome(outcome: Outcome) -> None:
    """Raise the problem of a request that ended before its body did. What arrived is stored in any case.

    Raises FileTooLarge, PastDeclaredLength, ReceiveTimeout, Unavailable, UploadLocked.
    """
    offset = {"Upload-Offset": str(outcome.state.offset)}
    match outcome.end:
        case TransferEnd.OVER_LIMIT if outcome.declared is None:
            raise FileTooLarge(outcome.state.max_size or outcome.state.offset)
        case TransferEnd.OVER_LIMIT:
            raise PastDeclaredLength(
                f"The body goes beyond the {outcome.declared} bytes that were declared; what fits is kept.",
                limit=outcome.declared,
            )
        case TransferEnd.TIMED_OUT:
            raise ReceiveTimeout(
                f"Nothing came for too long. The upload stands at byte {outcome.state.offset}; resume it.",
                headers=offset,
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
                headers=offset | {"Retry-After": "1"},
                retry_after=1,
            )


async def with_location(error: Exception, upload_id: uuid.UUID | None, upload: UploadRequest) -> Problem:
    """The problem of a failed creation. It names the session, if that exists by now and can be resumed."""
    problem = problem_of(error)
    session = await in_database(files.load_upload, upload_id) if upload_id is not None else None
    if session is not None and session.status == files.UploadStatus.ACTIVE:
        headers = {"Location": upload.location(session.id), "Upload-Offset": str(session.offset)}
        problem.headers |= headers | ({"Upload-Complete": "?0"} if session.dialect == Dialect.IETF else {})
    return problem
