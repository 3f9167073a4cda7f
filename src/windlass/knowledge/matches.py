"""What a search in passages finds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found. A greater ``score`` is a better match: by words from 0 to 1, by meaning the cosine."""

    passage_id: int
    file_id: Any
    score: float
