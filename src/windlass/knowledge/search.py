"""Search files by their texts, names and facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from uuid import UUID

from django.db.models import Q, QuerySet

from windlass.files.api import FileAsset
from windlass.knowledge.models import Passage
from windlass.knowledge.queries import Term, parse_query
from windlass.knowledge.snippets import SnippetPart, snippet_of
from windlass.knowledge.text_search import Match, find_passages

#: Passages of one file that are shown.
MOST_PASSAGES = 3
#: Passages that are looked at for each file that is asked for: several may be of one file.
PASSAGES_PER_FILE = 5
#: Of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): a file's score is the sum of 1 / (CONSTANT + rank).
FUSION_CONSTANT = 60


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """``start`` and ``end`` are characters of the file's text, ``page`` is where the passage starts."""

    id: int
    page: int | None
    start: int
    end: int
    language: str
    snippet: Sequence[SnippetPart]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """``passages``: the best ones, best first; none where the name or the facts were found."""

    file_id: UUID
    score: float
    name: Sequence[SnippetPart]
    passages: Sequence[FoundPassage]


def search(query: str, files: QuerySet[FileAsset], limit: int) -> list[FoundFile]:
    """The best of ``files`` for a query, best first. ``files`` are those that the caller may see: nothing else is read.

    The text of a file that has not passed its checks is not searched in.
    """
    terms = parse_query(query)
    if not terms:
        return []
    matches = find_passages(terms, files.filter(gate_passed=True), limit * PASSAGES_PER_FILE)
    by_file: dict[UUID, list[Match]] = {}
    for match in matches:
        by_file.setdefault(match.file_id, []).append(match)
    scores = fuse(list(by_file), _files_by_name(terms, files, limit))
    best = sorted(scores, key=lambda file_id: (-scores[file_id], str(file_id)))[:limit]
    return _described(best, scores, by_file, terms)


def fuse(*rankings: Iterable[UUID]) -> Mapping[UUID, float]:
    """The score of each file that is in any of the rankings, each of which has the best first."""
    scores: dict[UUID, float] = {}
    for ranking in rankings:
        for rank, file_id in enumerate(ranking, 1):
            scores[file_id] = scores.get(file_id, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return scores


def _files_by_name(terms: Sequence[Term], files: QuerySet[FileAsset], limit: int) -> list[UUID]:
    """Files with every term in their name or facts, newest first."""
    each = (Q(search_name__contains=term.name) | Q(search_facts__contains=term.name) for term in terms)
    found = files.filter(reduce(and_, each)).order_by("-created_at", "-id")
    return list(found.values_list("id", flat=True)[:limit])


def _described(
    best: Sequence[UUID], scores: Mapping[UUID, float], by_file: Mapping[UUID, Sequence[Match]], terms: Sequence[Term]
) -> list[FoundFile]:
    names = dict(FileAsset.present.filter(id__in=best).values_list("id", "original_filename"))
    shown = {file_id: [match.passage_id for match in by_file.get(file_id, ())][:MOST_PASSAGES] for file_id in best}
    rows = Passage.objects.in_bulk([number for numbers in shown.values() for number in numbers])
    return [
        FoundFile(
            file_id,
            round(scores[file_id], 6),
            snippet_of(names[file_id], terms, len(names[file_id])),
            [_passage(rows[number], terms) for number in shown[file_id] if number in rows],
        )
        for file_id in best
        if file_id in names
    ]


def _passage(row: Passage, terms: Sequence[Term]) -> FoundPassage:
    return FoundPassage(row.pk, row.page, row.start, row.end, row.language, snippet_of(row.text, terms))
