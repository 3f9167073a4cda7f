"""The versions of the draft that are spoken, and all in which they differ (docs/decisions: the IETF protocol)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windlass.protocols.intents import Head
from windlass.protocols.rufh import structured_fields

FIELD = "Upload-Draft-Interop-Version"


@dataclass(frozen=True, slots=True)
class Interop:
    """One row of the table. ``asked`` is the number that the request has, None where it has none."""

    accepted: int
    """The status for bytes that are taken and are not the last."""
    lifetime: str
    """The key of Upload-Limit for the seconds that an upload has left."""
    state_fields_refused: bool
    """HEAD and DELETE must not carry Upload-Offset, Upload-Complete or Upload-Length."""
    past_length_ends: bool
    """Bytes beyond the length make the upload invalid for good."""
    complete_required: bool
    """PATCH must carry Upload-Complete; where it need not, its absence means that more will come."""
    asked: int | None = None

    @property
    def informs(self) -> bool:
        """104 goes to clients that named a version spoken here, and to no others."""
        return self.asked is not None and OLDEST <= self.asked <= NEWEST


OLDEST, NEWEST = 6, 10

#: From which number on a row holds: 6 is drafts -04 and -05, 8 is -09 to -11.
TABLE = {
    10: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=True),
    8: Interop(204, "max-age", state_fields_refused=False, past_length_ends=True, complete_required=False),
    7: Interop(204, "max-age", state_fields_refused=False, past_length_ends=False, complete_required=False),
    6: Interop(201, "expires", state_fields_refused=True, past_length_ends=False, complete_required=False),
}


def of(head: Head) -> Interop:
    """What this request's client expects. Without a version, or with one to come, as the newest."""
    asked = structured_fields.integer(head, FIELD)
    number = NEWEST if asked is None else max(asked, OLDEST)
    row = next(row for least, row in TABLE.items() if number >= least)
    return replace(row, asked=asked)
