"""Whether texts can be stored in the database and sent in UTF-8."""

from __future__ import annotations

import re
from typing import Any

# PostgreSQL's text cannot hold NUL, and UTF-8 cannot encode half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(value: Any) -> bool:
    """Whether a text, or every text in a JSON value, can be stored. Not recursive, so that depth is harmless."""
    pending = [value]
    while pending:
        match pending.pop():
            case str() as text if _UNSTORABLE.search(text):
                return False
            case dict() as fields:
                pending += fields.keys()
                pending += fields.values()
            case list() as items:
                pending += items
    return True
