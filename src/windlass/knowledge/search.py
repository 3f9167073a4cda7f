"""Search files by their texts, by words and by meaning, and by their names and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q, QuerySet

from windlass.files.api import FileAsset
from windlass.kernel.owners import EVERY_OWNER, Owners
from windlass.knowledge.fusion import Fused, fuse
from windlass.knowledge.models import Passage
from windlass.knowledge.queries import Term, parse_query
from windlass.knowledge.snippets import SnippetPart, snippet_of
from windlass.knowledge.text_search import find_passages
from windlass.knowledge.vectors import find_nearest

if TYPE_CHECKING:
    from windlass.knowledge.embedders import QueryVector

#: Passages of one file that are shown.
MOST_PASSAGES = 3
#: Passages that are looked at for each file that is asked for: several may be of one file.
PASSAGES_PER_FILE = 5


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


def search(
    query: str,
    files: QuerySet[FileAsset],
    limit: int,
    *,
    owners: Owners = EVERY_OWNER,
    vectors: Sequence[QueryVector] = (),
    by_words: bool = True,
) -> list[FoundFile]:
    """The best of ``files`` for a query, best first. ``files`` are those that the caller may see: nothing else is read.

    ``owners``: all of ``files`` belong to them; it makes the search faster. ``vectors``: the query by meaning, fused
    with the other rankings. ``by_words``: whether words, names and facts are compared too.

    The text of a file that has not passed its checks is not searched in.
    """
    terms = parse_query(query)
    checked, most = files.filter(gate_passed=True), limit * PASSAGES_PER_FILE
    words = find_passages(terms, checked, most, limit) if by_words else []
    meanings = [find_nearest(each, checked, owners, most) for each in vectors]
    named = _files_by_name(terms, files, limit) if by_words and terms else []
    fused = fuse(words, meanings, named)
    best = sorted(fused.files, key=lambda file_id: (-fused.files[file_id], str(file_id)))[:limit]
    return _described(best, fused, terms)


def passages_of_file(asset: FileAsset, *, first: int, at_most: int) -> list[Passage]:
    """The passages of a file in the order of its text, from the one with the ordinal ``first``. None of a file that has
    not passed its checks."""
    if not asset.gate_passed:
        return []
    return list(Passage.objects.filter(file_id=asset.id, ordinal__gte=first).order_by("ordinal")[:at_most])


def _files_by_name(terms: Sequence[Term], files: QuerySet[FileAsset], limit: int) -> list[UUID]:
    """Files with every term in their name or facts, newest first."""
    each = (Q(search_name__contains=term.name) | Q(search_facts__contains=term.name) for term in terms)
    found = files.filter(reduce(and_, each)).order_by("-created_at", "-id")
    return list(found.values_list("id", flat=True)[:limit])


def _described(best: Sequence[UUID], fused: Fused, terms: Sequence[Term]) -> list[FoundFile]:
    names = dict(FileAsset.present.filter(id__in=best).values_list("id", "original_filename"))
    shown = {file_id: fused.passages.get(file_id, ())[:MOST_PASSAGES] for file_id in best}
    rows = Passage.objects.in_bulk([number for numbers in shown.values() for number in numbers])
    return [
        FoundFile(
            file_id,
            round(fused.files[file_id], 6),
            snippet_of(names[file_id], terms, len(names[file_id])),
            [_passage(rows[number], terms) for number in shown[file_id] if number in rows],
        )
        for file_id in best
        if file_id in names
    ]


def _passage(row: Passage, terms: Sequence[Term]) -> FoundPassage:
    return FoundPassage(row.pk, row.page, row.start, row.end, row.language, snippet_of(row.text, terms))
