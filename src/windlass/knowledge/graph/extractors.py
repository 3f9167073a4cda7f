"""What searches texts for entities: the setting GRAPH."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from windlass.knowledge.graph import rules
from windlass.knowledge.graph.extraction import FileFacts, join_facts
from windlass.knowledge.passages import PassageText

#: From the owner, the passages of a file and a function for percents. Raises ExtractionPostponed.
Extractor = Callable[[str, Sequence[PassageText], Callable[[int], None]], FileFacts]
#: Passages between two reports of the progress.
_REPORT_EVERY = 50


def configured_extractor() -> Extractor:
    return extract_by_rules


def extraction_available() -> bool:
    return True


def extract_by_rules(owner: str, passages: Sequence[PassageText], report: Callable[[int], None]) -> FileFacts:
    found = []
    for number, passage in enumerate(passages):
        if number % _REPORT_EVERY == 0:
            report(100 * number // len(passages))
        found.append((passage, rules.extract(passage.text, passage.language)))
    return join_facts(owner, rules.NAME, found)
