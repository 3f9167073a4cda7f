"""What the receiving core tells a dialect to render."""

from __future__ import annotations

from dataclasses import dataclass

from windlass.files import api as files
from windlass.protocols.intents import UploadState
from windlass.receiving.pump import End


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an upload stands after a request."""

    state: UploadState
    end: End = End.BODY


def state_of(session: files.UploadSession) -> UploadState:
    complete = session.status == files.UploadStatus.COMPLETED
    return UploadState(
        upload_id=session.id,
        offset=session.offset,
        size=session.size,
        complete=complete,
        client_metadata=session.client_metadata,
        expires_at=None if complete else session.expires_at,
        file_id=session.file_id,
    )
