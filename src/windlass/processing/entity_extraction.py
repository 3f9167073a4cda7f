"""Search the text of a file in processing for entities; they are stored with the step's result."""

from __future__ import annotations

from collections.abc import Callable

from windlass.files.api import ExtractionFailed, ExtractionPostponed, entity_graph
from windlass.processing.contract import ExtractedEntities, Owed, PermanentError
from windlass.processing.job_run import JobRun


def extract_entities(run: JobRun, report: Callable[[int], None]) -> ExtractedEntities | None:
    """Raises Owed, PermanentError."""
    graph = entity_graph()
    if graph is None:
        return None
    asset, text = run.asset, run.record.new_text
    try:
        found = graph.extract(asset.id, asset.owner, None if text is None else text.passages, report)
    except ExtractionPostponed as error:
        raise Owed(str(error)) from error
    except ExtractionFailed as error:
        raise PermanentError(str(error)) from error
    if found is None:
        run.record.remove_graph()
        return None
    run.record.set_graph(found)
    return ExtractedEntities(found.entities, found.relations, found.is_cut)


def extraction_available() -> bool:
    graph = entity_graph()
    return graph is not None and graph.available()
