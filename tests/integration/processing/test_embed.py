"""The vectors of a text are made as it is processed, owed while the model is away, and gone with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest

from tests.integration.processing.received_files import processed, received, step, work_off
from tests.model_server import ModelServer, model_server
from windlass import conf
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.knowledge import api as knowledge
from windlass.knowledge import indexing, model_endpoint
from windlass.knowledge.api import Passage
from windlass.knowledge.models import PassageVector
from windlass.knowledge.passages import PassageText
from windlass.operations.owner_data.erase import erase_owner
from windlass.processing import api as processing
from windlass.processing import plan
from windlass.resilience import circuit_breaker

Change = Callable[..., None]


@pytest.fixture
def model(settings: Change, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr(model_endpoint, "BACKOFF_SECONDS", 0.001)
    with model_server() as server:
        settings(EMBEDDINGS="http", EMBEDDINGS_URL=server.url, EMBEDDINGS_MODEL="trial", EMBEDDINGS_BATCH=4)
        _forget()
        yield server
    _forget()


def _forget() -> None:
    circuit_breaker.reset()
    plan.plan_for.cache_clear()
    plan.profile_document.cache_clear()


def vectors_of(asset: FileAsset) -> list[int]:
    rows = PassageVector.objects.filter(passage__file=asset).order_by("passage__ordinal")
    return list(rows.values_list("passage__ordinal", flat=True))


def test_a_text_gets_vectors_in_batches(model: ModelServer) -> None:
    asset = processed(b"A sentence of the report, which is long. " * 300, "report.txt")
    count = Passage.objects.filter(file=asset).count()
    assert step(asset, "embed").state == StepState.DONE
    assert step(asset, "embed").detail == f"{count} vectors"
    assert vectors_of(asset) == list(range(count))
    assert [len(texts) for texts in model.texts] == [4] * (count // 4) + [count % 4] * bool(count % 4)


def test_without_a_model_the_step_is_not_planned(settings: Change) -> None:
    settings(EMBEDDINGS="off")
    _forget()
    asset = processed(b"a text without vectors", "note.txt")
    assert not asset.steps.filter(step="embed").exists()


def test_vectors_are_owed_while_the_model_is_away(model: ModelServer) -> None:
    model.away = True
    asset = processed(b"it waits for the model", "note.txt")
    assert asset.status == FileStatus.READY
    assert step(asset, "index").state == StepState.DONE
    assert step(asset, "embed").state == StepState.OWED
    mine = FileAsset.objects.filter(id=asset.id)
    assert (knowledge.unembedded_count(mine), knowledge.unindexed_count(mine)) == (1, 0)
    model.away = False
    circuit_breaker.reset()
    processing.backfill()
    asset = work_off(asset)
    assert step(asset, "embed").state == StepState.DONE
    assert knowledge.unembedded_count(mine) == 0


def test_a_refused_text_fails_the_step_alone(model: ModelServer) -> None:
    model.vector_of = lambda text: []
    asset = processed(b"the model cannot read this", "note.txt")
    assert asset.status == FileStatus.READY
    assert step(asset, "embed").state == StepState.FAILED


def test_an_interrupted_step_continues_where_it_was(model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker dies after the second batch; the rows are then those of an undisturbed run."""
    add, batches = knowledge_add(), []

    def dies(*args: object) -> None:
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(args)
        add(*args)

    monkeypatch.setattr("windlass.knowledge.file_vectors.add_vectors", dies)
    asset = received(b"A sentence that is read in two attempts. " * 300, "report.txt")
    with pytest.raises(KeyboardInterrupt):
        work_off(asset)
    assert vectors_of(asset) == list(range(8))
    monkeypatch.undo()
    from windlass.jobs import api as jobs

    job = jobs.Job.objects.get(file_id=asset.id, state=jobs.JobState.RUNNING)
    processing.revoke_claims([job])
    asset = work_off(asset)
    assert step(asset, "embed").state == StepState.DONE
    assert vectors_of(asset) == list(range(Passage.objects.filter(file=asset).count()))


def knowledge_add() -> Callable[..., None]:
    from windlass.knowledge.file_vectors import add_vectors

    return add_vectors


@pytest.mark.parametrize("end", ["delete", "release", "erase"])
def test_no_vector_remains_of_a_file_that_is_gone(model: ModelServer, end: str) -> None:
    before = PassageVector.objects.count()
    asset = processed(b"a short life", "note.txt")
    assert PassageVector.objects.count() == before + 1
    if end == "erase":
        erase_owner(asset.owner, with_user=False)
    else:
        {"delete": processing.delete, "release": processing.release}[end](asset)
    assert PassageVector.objects.count() == before


def test_vectors_are_made_again_for_another_model(model: ModelServer, settings: Change) -> None:
    asset = processed(b"once more, with another model", "note.txt")
    settings(EMBEDDINGS_MODEL="other", EMBEDDINGS_PREVIOUS_MODEL="trial")
    files = knowledge.files_to_embed(asset.owner)
    assert [each.id for each in files] == [asset.id]
    assert list(knowledge.queue_embedding(files)) == [1]
    assert len(knowledge.query_vectors("once")) == 2
    processing.backfill()
    work_off(asset)
    assert not knowledge.files_to_embed(asset.owner).exists()
    assert list(PassageVector.objects.filter(passage__file=asset).values_list("model__key", flat=True)) == [
        "http:other"
    ]


def test_a_long_text_is_not_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PART", 3)
    sizes: list[int] = []
    replace = indexing._replace

    def counted(file_id: UUID, passages: Sequence[PassageText], *places: int | None) -> None:
        sizes.append(len(passages))
        replace(file_id, passages, *places)

    monkeypatch.setattr(indexing, "_replace", counted)
    asset = processed(b"A sentence of a text that is long. " * 300, "long.txt")
    monkeypatch.undo()
    count = Passage.objects.filter(file=asset).count()
    assert count > 6
    assert max(sizes) <= 3
    columns = ("ordinal", "text", "start", "end")
    rows = list(Passage.objects.filter(file=asset).order_by("ordinal").values_list(*columns))
    processing.reprocess(asset)
    work_off(asset)
    assert list(Passage.objects.filter(file=asset).order_by("ordinal").values_list(*columns)) == rows


def test_the_breaker_of_the_model_is_listed(model: ModelServer) -> None:
    assert "service.embeddings" in [each.name for each in processing.breaker_statuses()]
    assert conf.get().embeddings == "http"
