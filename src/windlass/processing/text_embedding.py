"""Vectors of a file's text, for the step that makes them."""

from __future__ import annotations

from windlass.files.api import LeasedTransaction, TextModelAway, TextModelRefused, text_index
from windlass.processing.contract import PermanentError, Unavailable
from windlass.processing.job_run import JobRun


def is_possible() -> bool:
    """Whether the model and the database are ready for it. Quick."""
    index = text_index()
    return index is not None and index.can_embed()


def embed_text(run: JobRun, leased: LeasedTransaction) -> int:
    """Make the vectors of the passages that are saved. Return how many passages there are.

    Raises Unavailable, PermanentError, LeaseLost.
    """
    index = text_index()
    if index is None:
        return 0
    if not run.record.is_saved:  # the passages of this run
        run.save()
    try:
        return index.embed(run.asset.id, leased)
    except TextModelAway as error:
        raise Unavailable(str(error), error.retry_after) from error
    except TextModelRefused as error:
        raise PermanentError(str(error)) from error
