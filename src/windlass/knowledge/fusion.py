"""How a passage's matches by words and by meaning, and the name of its file, become one score. Pure.

Scores are combined, not ranks: a passage that has one stray word of a question is far below one that has all of them,
however few passages have any. Which share of the score is whose was chosen with half of the questions of
``benchmarks.search_quality`` (decision 0125).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from windlass.knowledge.matches import Match

#: What the best match by words, by meaning, and in a name or facts adds to a score: half and half, but so that what has
#: all of the words is before the nearest that has none of them.
WORDS, MEANING, NAME = 0.501, 0.499, 0.501
#: Of a match by words: how much of its score is the share of the terms; the rest is what the database's rank adds.
SHARE = 0.9
#: What the last of the files that were found by their names has of ``NAME``; the first has all.
LAST_NAME = 0.9

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Fused:
    """``files``: the score of each file that was found; ``passages``: the ids of its passages, best first."""

    files: Mapping[UUID, float]
    passages: Mapping[UUID, Sequence[int]]


def score_of_words(share: float, rank: float, best_rank: float) -> float:
    """From 0 to 1. ``share``: of the terms that the passage has; ``rank``: the database's, of which ``best_rank`` is
    the greatest of the same search."""
    return share * (SHARE + (1 - SHARE) * (rank / best_rank if best_rank > 0 else 0.0))


def fuse(words: Sequence[Match], meanings: Sequence[Sequence[Match]], named: Sequence[UUID]) -> Fused:
    """``words``: with scores from 0 to 1. ``meanings``: of each model that was asked, best first, with cosines.
    ``named``: the files whose names or facts were found, best first. A file's score is that of its best passage, and
    what its name adds."""
    file_of = {match.passage_id: match.file_id for ranking in (words, *meanings) for match in ranking}
    scores = {match.passage_id: WORDS * match.score for match in words}
    for passage_id, score in _best(map(_by_meaning, meanings)).items():
        scores[passage_id] = scores.get(passage_id, 0.0) + MEANING * score
    passages: dict[UUID, list[int]] = {}
    for passage_id in sorted(scores, key=lambda each: (-scores[each], each)):
        passages.setdefault(file_of[passage_id], []).append(passage_id)
    files = {file_id: scores[numbers[0]] for file_id, numbers in passages.items()}
    for place, file_id in enumerate(named):
        files[file_id] = files.get(file_id, 0.0) + NAME * (1 - (1 - LAST_NAME) * place / len(named))
    return Fused(files, passages)


def _by_meaning(matches: Sequence[Match]) -> Mapping[int, float]:
    """1 for the nearest, 0 for the farthest of the matches: what a cosine means differs between models."""
    if not matches:
        return {}
    most, least = matches[0].score, matches[-1].score
    return {each.passage_id: (each.score - least) / (most - least) if most > least else 1.0 for each in matches}


def _best(scores: Iterable[Mapping[K, float]]) -> Mapping[K, float]:
    """The greatest score of each."""
    best: dict[K, float] = {}
    for each in scores:
        for key, score in each.items():
            best[key] = max(score, best.get(key, 0.0))
    return best
