"""What a search in passages finds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found. A greater ``score`` is a better match, within one search of one database.

    ``weight``: what its rank counts beside the ranks of other searches, up to 1.
    """

    passage_id: int
    file_id: Any
    score: float
    weight: float = 1.0
