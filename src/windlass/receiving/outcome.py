"""What the receiving core tells a dialect to render."""

from __future__ import annotations

from dataclasses import dataclass

from windlass.files import api as files
from windlass.protocols.intents import UploadState
from windlass.receiving.pump import End


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an upload stands after a request. ``declared``: the length that its bytes were held against, if any."""

    state: UploadState
    end: End = End.BODY
    declared: int | None = None


def state_of(session: files.UploadSession) -> UploadState:
    complete = session.status == files.UploadStatus.COMPLETED
    profile = files.profiles().get(session.profile)  # None: it was taken out of the settings since
    limits = [each for each in (profile.max_size if profile else None, session.max_size) if each is not None]
    return UploadState(
        upload_id=session.id,
        offset=session.offset,
        size=session.size,
        complete=complete,
        client_metadata=session.client_metadata,
        expires_at=None if complete else session.expires_at,
        file_id=session.file_id,
        max_size=min(limits, default=None),
        min_size=profile.min_size if profile else 0,
        concat=session.concat,
    )
