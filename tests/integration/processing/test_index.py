"""The text of a file is indexed as it is processed, and no longer than the file has it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.integration.processing.received_files import processed, received, step, work_off
from windlass.files.api import FileAsset, StepState, visible_files
from windlass.kernel.principals import Principal
from windlass.knowledge import api as knowledge
from windlass.knowledge.api import Passage
from windlass.operations.owner_data.erase import erase_owner
from windlass.processing import api as processing

WithProfile = Callable[[str], None]


def found(query: str, asset: FileAsset) -> list[uuid.UUID]:
    return [each.file_id for each in knowledge.search(query, visible_files(Principal(asset.owner)), 10)]


def test_the_text_of_a_processed_file_is_found() -> None:
    asset = processed(b"The pawl of the windlass keeps the chain from slipping back.", "note.txt")
    assert step(asset, "index").state == StepState.DONE
    assert step(asset, "index").detail == "1 passage"
    assert asset.extra_attributes["language"] == "en"
    assert found("chain slipping", asset) == [asset.id]


def test_a_file_without_text_plans_no_index_and_an_empty_one_has_none() -> None:
    picture = processed(b"GIF89a" + bytes(20), "a.gif")
    assert not picture.steps.filter(step="index").exists()
    blank = processed(b"<html><body> </body></html>", "a.html")
    assert step(blank, "index").state == StepState.SKIPPED


def test_a_profile_can_turn_it_off(with_profile: WithProfile) -> None:
    with_profile("search = false")
    asset = processed(b"not to be found", "note.txt")
    assert not asset.steps.filter(step="index").exists()
    assert found("found", asset) == []


def test_processing_again_gives_the_same_passages() -> None:
    asset = processed(b"A sentence to be found again. " * 400, "note.txt")
    columns = ("ordinal", "text", "start", "end", "page", "language")
    before = list(Passage.objects.filter(file=asset).order_by("ordinal").values_list(*columns))
    assert len(before) > 3
    processing.reprocess(asset)
    assert found("sentence", asset) == []  # its checks are not done
    asset = work_off(asset)
    assert list(Passage.objects.filter(file=asset).order_by("ordinal").values_list(*columns)) == before
    assert found("sentence", asset) == [asset.id]


def test_processing_again_without_search_removes_the_text(with_profile: WithProfile) -> None:
    asset = processed(b"to be found at first", "note.txt")
    with_profile("search = false")
    processing.reprocess(asset)
    work_off(asset)
    assert not Passage.objects.filter(file=asset).exists()


@pytest.mark.parametrize("end", ["delete", "release", "trash", "erase"])
def test_nothing_is_found_of_a_file_that_is_gone(end: str, with_profile: WithProfile) -> None:
    with_profile(f"trash_hours = {24 if end == 'trash' else 0}")
    asset = processed(b"a short life", "note.txt")
    if end == "release":
        processing.release(asset)
    elif end == "erase":
        erase_owner(asset.owner, with_user=False)
    else:
        processing.delete_or_trash(asset)
    assert found("life", asset) == []
    assert Passage.objects.filter(file_id=asset.id).exists() == (end == "trash")
    if end == "trash":
        processing.restore(asset)
        assert found("life", asset) == [asset.id]


def test_files_from_before_are_indexed_in_the_background(with_profile: WithProfile) -> None:
    with_profile("search = false")
    asset = processed(b"from before the search", "note.txt")
    with_profile("search = true")
    files = knowledge.files_to_index(asset.owner, every=False)
    assert list(files) == [asset]
    assert list(knowledge.queue_files(files)) == [1]
    assert knowledge.waiting_count(asset.owner) == 1
    assert found("before", asset) == []
    processing.backfill()
    asset = work_off(asset)
    assert asset.status == "READY"
    assert found("before", asset) == [asset.id]
    assert list(knowledge.files_to_index(asset.owner, every=False)) == []
    assert list(knowledge.files_to_index(asset.owner, every=True)) == [asset]


def test_a_text_that_comes_later_is_indexed_too(with_profile: WithProfile) -> None:
    asset = processed(b"this text is extracted later", "note.txt")
    Passage.objects.filter(file=asset).delete()
    asset.steps.filter(step="text").update(state=StepState.OWED)
    asset.steps.filter(step="index").update(state=StepState.SKIPPED)
    for _ in range(2):  # the stage of the text, then that of the index
        processing.backfill()
        work_off(asset)
    assert step(asset, "index").state == StepState.DONE
    assert found("later", asset) == [asset.id]


def test_a_file_is_not_found_before_it_is_processed() -> None:
    asset = received(b"unprocessed words", "note.txt", run_intake=True)
    assert found("unprocessed", asset) == []
    work_off(asset)
    assert found("unprocessed", asset) == [asset.id]
