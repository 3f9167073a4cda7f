"""The first append to an upload that this process has created, where it brings the whole of a small file.

It takes no lease, which would be a transaction of its own. What a lease ensures is ensured otherwise:

- Whoever takes the lease raises its epoch, and the file is recorded only if the epoch is still the one with which the
  session was created. So nobody has written to the upload before or meanwhile whose bytes count.
- The object is locked while it is written. If it is not empty, the database is asked, under that lock, whether the
  epoch is still the same: otherwise acknowledged bytes might be overwritten.

If another request has the object or the lease, this one goes the ordinary way, with the bytes that it has read.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta

from windlass.files import api as files
from windlass.kernel.clock import now
from windlass.kernel.owners import Owners
from windlass.protocols.intents import Append
from windlass.receiving import lease as leases
from windlass.receiving.body import BATCH_SIZE
from windlass.storage.registry import store

#: Sessions that are remembered; the one that was created first is forgotten first.
CAPACITY = 1024


class CreatedSessions:
    """Sessions as this process created them, until their first append. Use an instance on one event loop only."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[uuid.UUID, files.UploadSession] = OrderedDict()

    def put(self, session: files.UploadSession) -> None:
        """Remember a session that has no lease, if its file is small and nothing has to be verified when it ends."""
        is_small = session.size is not None and 0 < session.size <= BATCH_SIZE
        is_plain = not (session.is_partial or session.expected_sha256 or session.expected_sha512)
        if is_small and is_plain and store(session.store).capabilities.local_files:
            self._sessions[session.id] = session
            if len(self._sessions) > CAPACITY:
                self._sessions.popitem(last=False)

    def take(self, intent: Append, owners: Owners, dialect: str) -> files.UploadSession | None:
        """Return the session, which is forgotten, if this is a first append of these owners' that brings all bytes."""
        session = self._sessions.pop(intent.upload_id, None)
        if session is None or session.owner not in owners or session.dialect != dialect:
            return None
        is_whole = intent.offset == 0 and intent.body_length == session.size and intent.size in (None, session.size)
        is_plain = not (intent.body_digests or intent.upload_digests) and intent.completes is not False
        return session if is_whole and is_plain and session.expires_at > now() else None


created_sessions = CreatedSessions()


def as_if_leased(session: files.UploadSession) -> files.Lease:
    """The lease of a session that nobody has leased yet, with which its file can be recorded as long as that is so."""
    return replace(files.lease_of(session), until=now() + timedelta(seconds=leases.LEASE_SECONDS))
