"""Whether a text can be stored in the database and sent in UTF-8."""

from __future__ import annotations

import re

# PostgreSQL's text cannot hold NUL, and UTF-8 cannot encode half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None
