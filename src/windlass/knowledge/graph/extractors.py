"""What searches texts for entities: the setting GRAPH."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from windlass import conf
from windlass.knowledge.graph import language_model, rules
from windlass.knowledge.graph.extraction import FileFacts, PassageFacts, join_facts
from windlass.knowledge.passages import PassageText

#: From a file's id, its owner, its passages and a function for percents. Raises ExtractionPostponed, ExtractionFailed.
Extractor = Callable[[UUID, str, Sequence[PassageText], Callable[[int], None]], FileFacts]
#: Passages between two reports of the progress.
_REPORT_EVERY = 50


def configured_extractor() -> Extractor:
    return language_model.extract_by_model if conf.get().graph == "http" else extract_by_rules


def extractor_name() -> str:
    """``FileGraph.extractor`` of what is extracted now."""
    return language_model.extractor_name() if conf.get().graph == "http" else rules.NAME


def extraction_available() -> bool:
    return conf.get().graph != "http" or language_model.available()


def extract_by_rules(_: UUID, owner: str, passages: Sequence[PassageText], report: Callable[[int], None]) -> FileFacts:
    return join_facts(owner, rules.NAME, _found_by_rules(passages, report))


def _found_by_rules(
    passages: Sequence[PassageText], report: Callable[[int], None]
) -> Iterator[tuple[PassageText, PassageFacts]]:
    """One passage after the other, so that what was found in all of a long text is never in memory."""
    for number, passage in enumerate(passages):
        if number % _REPORT_EVERY == 0:
            report(100 * number // len(passages))
        yield passage, rules.extract(passage.text, passage.language)
