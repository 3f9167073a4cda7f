"""The supported versions of the draft and how they differ (docs/decisions/0017-ietf-resumable-uploads.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windlass.protocols.intents import Head
from windlass.protocols.rufh import structured_fields

FIELD = "Upload-Draft-Interop-Version"


@dataclass(frozen=True, slots=True)
class Interop:
    """One row of the table. ``requested``: the number that the request has, None if it has none."""

    accepted: int
    """The status of the reply to bytes that are not the last."""
    lifetime: str
    """The key of Upload-Limit for the seconds that an upload has left."""
    state_fields_refused: bool
    """HEAD and DELETE must not carry Upload-Offset, Upload-Complete or Upload-Length."""
    past_length_ends: bool
    """Bytes beyond the length make the upload invalid for good."""
    complete_required: bool
    """PATCH must carry Upload-Complete; where it need not, its absence means that more will come."""
    requested: int | None = None

    @property
    def sends_104(self) -> bool:
        """Whether the client gets interim responses: it named a supported version."""
        return self.requested is not None and OLDEST <= self.requested <= NEWEST


OLDEST, NEWEST = 6, 10

#: By the lowest number that a row is for: 6 is drafts -04 and -05, 8 is -09 to -11.
TABLE = {
    10: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=True),
    8: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=False),
    7: Interop(204, "max-age", state_fields_refused=False, past_length_ends=False, complete_required=False),
    6: Interop(201, "expires", state_fields_refused=True, past_length_ends=False, complete_required=False),
}


def of(head: Head) -> Interop:
    """Return the version of this request. Without one, or with one that is newer, it is the newest."""
    requested = structured_fields.integer(head, FIELD)
    number = NEWEST if requested is None else max(requested, OLDEST)
    row = next(row for least, row in TABLE.items() if number >= least)
    return replace(row, requested=requested)
