"""Write and remove the passages of files. Processing calls it through ``files.TextIndex``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import structlog

from windlass import conf
from windlass.database import rows
from windlass.database.connection import atomic, connection
from windlass.files.api import LeasedTransaction, PreparedText, TextModelAway, TextModelRefused
from windlass.knowledge import embedders
from windlass.knowledge.bad_model import BadModel
from windlass.knowledge.file_vectors import embed_file
from windlass.knowledge.languages import detect_language
from windlass.knowledge.model_endpoint import ModelAway, ModelRefused, breaker_name
from windlass.knowledge.models import Passage
from windlass.knowledge.orphans import OrphanSearch
from windlass.knowledge.passages import VERSION, PassageText, split_text
from windlass.knowledge.text_search import add_words, text_search
from windlass.knowledge.vectors import vectors_available

log = structlog.get_logger(__name__)

#: Passages that one transaction writes; those of a longer text take several.
PART = 400
AWAY = "The model that makes vectors is away; the text is found by its words, and by its meaning when it is back."
AWAY_SECONDS = 60.0
UNUSABLE = "The model that makes vectors cannot be used; the text is found by its words."
#: After which a model whose files are damaged is loaded again.
UNUSABLE_SECONDS = 300.0
#: Rows of one statement.
BATCH = 200
#: Passages that one transaction of a rebuild indexes.
REBUILD_BATCH = 1_000

_orphans = OrphanSearch[int](Passage, "id", REBUILD_BATCH)


class PassageIndex:
    """``files.TextIndex``: passages in the database."""

    def prepare(self, text: str, *, one_page: bool) -> PreparedText:
        return PreparedText(tuple(split_text(text, one_page=one_page)), detect_language(text))

    def begin(self, file_id: UUID, prepared: PreparedText, leased: LeasedTransaction) -> None:
        for start in range(0, _last_part(prepared), PART):
            with leased():
                _replace(file_id, prepared.passages[start : start + PART], start, start + PART)

    def replace(self, file_id: UUID, prepared: PreparedText) -> None:
        start = _last_part(prepared)
        _replace(file_id, prepared.passages[start:], start, None)

    def remove(self, file_id: UUID) -> None:
        Passage.objects.filter(file_id=file_id).delete()

    def breaker_names(self) -> Sequence[str]:
        return [breaker_name(embedders.ENDPOINT)] if conf.get().embeddings == "http" else []

    def can_embed(self) -> bool:
        return embedders.can_embed() and vectors_available()

    def embed(self, file_id: UUID, leased: LeasedTransaction) -> int:
        if not vectors_available():
            raise TextModelAway("The database cannot store vectors.", AWAY_SECONDS)
        try:
            return embed_file(file_id, embedders.current_embedder(), leased)
        except ModelAway as error:
            raise TextModelAway(AWAY, error.retry_after) from error
        except BadModel as error:  # the operator can put it right, and no file has failed meanwhile
            log.error("search.model_unusable", error=str(error))
            raise TextModelAway(UNUSABLE, UNUSABLE_SECONDS) from error
        except ModelRefused as error:
            raise TextModelRefused("The model cannot make vectors of this text.") from error


def delete_orphaned_passages() -> int:
    """Delete passages whose file is gone. Return how many.

    One call looks at a part of the passages; the next one goes on from there.
    """
    ids = _orphans.next()
    return Passage.objects.filter(id__in=ids).delete()[0] if ids else 0


def rebuild_words() -> Iterator[int]:
    """Index the words of all passages anew, such as after the index was lost; yields how many are done.

    What is not indexed yet is not found meanwhile. Do it again if it was interrupted.
    """
    database = connection()
    with atomic():
        text_search(database).recreate(database)
        last = Passage.objects.order_by("-id").values_list("id", flat=True).first() or 0
    done, after = 0, 0
    while True:
        with atomic():
            # Passages that are written meanwhile have greater ids, and are indexed where they are written.
            batch = list(Passage.objects.filter(id__gt=after, id__lte=last).order_by("id")[:REBUILD_BATCH])
            if not batch:
                return
            add_words(batch)
        done, after = done + len(batch), batch[-1].id
        yield done


def _last_part(prepared: PreparedText) -> int:
    """Where the last part begins."""
    return max(0, len(prepared.passages) - 1) // PART * PART


def _replace(file_id: UUID, passages: Sequence[PassageText], start: int, end: int | None) -> None:
    """Replace the passages with these ordinals; ``end``: None for all that follow."""
    old = Passage.objects.filter(file_id=file_id, ordinal__gte=start)
    (old if end is None else old.filter(ordinal__lt=end)).delete()
    for batch in _batches([_row(file_id, each) for each in passages]):
        rows.insert(batch)
        add_words(batch)


def _row(file_id: UUID, passage: PassageText) -> Passage:
    return Passage(
        file_id=file_id,
        ordinal=passage.ordinal,
        text=passage.text,
        start=passage.start,
        end=passage.end,
        page=passage.page,
        language=passage.language,
        version=VERSION,
    )


def _batches(passages: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    return (passages[start : start + BATCH] for start in range(0, len(passages), BATCH))
