"""The entities of a file are stored as it is processed, and no longer than the file has them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable

import pytest

from tests.integration.processing.received_files import processed, step, work_off
from windlass.files.api import FileAsset, StepState, visible_files
from windlass.kernel.principals import Principal
from windlass.knowledge import api as knowledge
from windlass.knowledge.graph import paths
from windlass.knowledge.models import EntityMention, EntityMerge, EntityRelation, FileEntity, FileGraph
from windlass.operations.owner_data.erase import erase_owner
from windlass.operations.owner_data.records import owner_rows
from windlass.processing import api as processing

WithProfile = Callable[[str], None]

LETTER = b"""Dear Mr. John Smith,

on March 12, 2024 the Acme Widgets Ltd. paid EUR 1,250.00 to Blue River Inc. Write to Ada Lovelace <ada@example.org>.
"""


@pytest.fixture(autouse=True)
def by_rules(settings: Callable[..., None]) -> None:
    settings(GRAPH="rules")


def entities(asset: FileAsset) -> dict[str, str]:
    page, _ = knowledge.list_entities(visible_files(Principal(asset.owner)), "", None, None, 100)
    return {each.name: each.type for each in page}


def stored(asset: FileAsset) -> list[object]:
    """Everything that is stored of the file, without the ids of rows."""
    rows: list[object] = list(
        FileEntity.objects.filter(file_id=asset.id).order_by("id").values_list("entity", "exact", "type", "name")
    )
    rows += EntityMention.objects.filter(file_entity__file_id=asset.id).order_by("id").values_list("start", "end")
    relations = EntityRelation.objects.filter(source__file_id=asset.id).order_by("id")
    rows += relations.values_list("source__exact", "target__exact", "type", "passage")
    return rows


def test_the_entities_of_a_processed_file_are_found() -> None:
    asset = processed(LETTER, "letter.txt")
    assert step(asset, "graph").state == StepState.DONE
    assert step(asset, "graph").detail == "7 entities, 15 relations"
    assert entities(asset) == {
        "2024-03-12": "date",
        "Acme Widgets Ltd.": "organization",
        "Ada Lovelace": "person",
        "Blue River Inc.": "organization",
        "EUR 1250.00": "money",
        "John Smith": "person",
        "ada@example.org": "email",
    }


def test_it_is_off_by_default_and_in_a_profile(settings: Callable[..., None], with_profile: WithProfile) -> None:
    with_profile("graph = false")
    asset = processed(LETTER, "letter.txt")
    assert not asset.steps.filter(step="graph").exists()
    settings(GRAPH="off")
    with_profile("graph = true")
    assert not processed(LETTER, "letter.txt").steps.filter(step="graph").exists()


def test_processing_again_gives_the_same_graph() -> None:
    asset = processed(LETTER, "letter.txt")
    before, revision = stored(asset), FileGraph.objects.get(file=asset).revision
    processing.reprocess(asset)
    assert entities(asset) == {}  # its checks are not done
    work_off(asset)
    assert stored(asset) == before
    assert FileGraph.objects.get(file=asset).revision != revision


def test_processing_again_replaces_what_the_file_said(with_profile: WithProfile) -> None:
    asset = processed(LETTER, "letter.txt")
    processing.reprocess(asset)
    with_profile("graph = false")
    work_off(asset)
    assert stored(asset) == []
    assert not FileGraph.objects.filter(file=asset).exists()


@pytest.mark.parametrize("end", ["delete", "release", "trash", "erase"])
def test_what_only_a_file_said_goes_with_it(end: str, with_profile: WithProfile) -> None:
    with_profile(f"trash_hours = {24 if end == 'trash' else 0}")
    asset = processed(LETTER, "letter.txt")
    other = processed(b"The Acme Widgets Inc. is a company.", "other.txt", owner=asset.owner)
    if end == "release":
        processing.release(asset)
    elif end == "erase":
        erase_owner(asset.owner, with_user=False)
    else:
        processing.delete_or_trash(asset)
    assert entities(asset) == ({} if end == "erase" else {"Acme Widgets Inc.": "organization"})
    if end == "trash":
        processing.restore(asset)
        assert len(entities(asset)) == 7
        return
    assert stored(asset) == []
    if end == "erase":
        assert stored(other) == []
        assert not any(rows.exists() for rows in owner_rows(asset.owner).values())


def test_entities_with_one_normal_form_are_one_and_can_be_split() -> None:
    asset = processed(LETTER, "letter.txt")
    processed(b"The ACME Widgets Limited and the Acme Widgets GmbH met.", "b.txt", owner=asset.owner)
    files = visible_files(Principal(asset.owner))

    def acme() -> list[tuple[str, int]]:
        return [(each.name, each.files) for each in knowledge.list_entities(files, "acme", None, None, 10)[0]]

    (found,), _ = knowledge.list_entities(files, "acme", None, None, 10)
    assert (found.files, found.mentions) == (2, 3)
    names = {"ACME Widgets Limited", "Acme Widgets GmbH", "Acme Widgets Ltd."}
    assert set(knowledge.describe_entity(files, found.id).names) == names
    revisions = set(FileGraph.objects.values_list("revision", flat=True))
    assert knowledge.split(asset.owner, found.id) == 3
    assert {name for name, _ in acme()} == names
    assert revisions.isdisjoint(FileGraph.objects.filter(file__owner=asset.owner).values_list("revision", flat=True))
    EntityMerge.objects.filter(owner=asset.owner).delete()
    assert acme() == [("ACME Widgets Limited", 2)]


def test_an_entity_that_was_split_off_can_be_merged() -> None:
    asset = processed(b"The ACME Widgets Limited, the Acme Widgets GmbH and the Blue River Inc met.", "a.txt")
    files = visible_files(Principal(asset.owner))

    def ids() -> dict[str, uuid.UUID]:
        return {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 10)[0]}

    knowledge.split(asset.owner, ids()["ACME Widgets Limited"])
    river = ids()["Blue River Inc"]
    knowledge.merge(asset.owner, ids()["Acme Widgets GmbH"], river)
    assert set(ids()) == {"ACME Widgets Limited", "Acme Widgets GmbH"}
    assert knowledge.describe_entity(files, river).names == ["Acme Widgets GmbH", "Blue River Inc"]


def test_entities_are_merged_by_hand_and_the_merge_is_undone() -> None:
    asset = processed(LETTER, "letter.txt")
    files = visible_files(Principal(asset.owner))
    ids = {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 100)[0]}
    acme, river, person = ids["Acme Widgets Ltd."], ids["Blue River Inc."], ids["John Smith"]
    knowledge.merge(asset.owner, river, acme)
    assert "Blue River Inc." not in entities(asset)
    described = knowledge.describe_entity(files, acme)
    assert described.names == ["Acme Widgets Ltd.", "Blue River Inc."]
    assert described.entity.mentions == 2
    for entity, into in ((person, acme), (acme, acme)):
        with pytest.raises(Exception, match="merged"):
            knowledge.merge(asset.owner, entity, into)
    with pytest.raises(Exception, match="no entity"):
        knowledge.merge("user:other", river, acme)
    assert knowledge.split(asset.owner, acme) == 1
    assert "Blue River Inc." in entities(asset)
    with pytest.raises(Exception, match="one name"):
        knowledge.split(asset.owner, acme)


def test_graphs_of_files_that_another_version_deleted_are_deleted() -> None:
    asset = processed(LETTER, "letter.txt")
    files = visible_files(Principal(asset.owner))
    ids = {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 100)[0]}
    knowledge.merge(asset.owner, ids["Blue River Inc."], ids["Acme Widgets Ltd."])
    gone = uuid.uuid4()
    for model in (FileEntity, FileGraph):
        model.objects.filter(file_id=asset.id).update(file_id=gone)
    assert entities(asset) == {}
    assert knowledge.delete_orphaned_graphs() >= 1
    knowledge.delete_unused_merges()
    assert not FileEntity.objects.filter(file_id=gone).exists()
    assert not EntityMerge.objects.filter(owner=asset.owner).exists()


def test_paths_lead_over_what_files_say() -> None:
    asset = processed(b"The Acme Ltd wrote to the Blue Inc in time.", "a.txt")
    processed(b"The Blue Inc wrote to the Cyan GmbH.", "b.txt", owner=asset.owner)
    processed(b"The Cyan GmbH wrote to the Dark AG.", "c.txt", owner="user:another")
    files = visible_files(Principal(asset.owner))
    ids = {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 100)[0]}
    found = knowledge.find_paths(files, ids["Acme Ltd"], ids["Cyan GmbH"], 4)
    (path,) = found.paths
    assert [(each.source.name, each.target.name) for each in path] == [
        ("Acme Ltd", "Blue Inc"),
        ("Blue Inc", "Cyan GmbH"),
    ]
    assert path[0].file_id == asset.id
    assert path[0].passage.id is not None
    assert not found.is_cut
    assert knowledge.find_paths(files, ids["Acme Ltd"], ids["Cyan GmbH"], 1).paths == []
    others = visible_files(Principal("user:another"))
    assert knowledge.find_paths(others, ids["Acme Ltd"], ids["Cyan GmbH"], 4).paths == []


def test_a_search_for_paths_that_leaves_rows_out_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = processed(b"The Acme Ltd came.\n\nThe Blue Inc went.", "a.txt")
    processed(b"The Acme Ltd met the Blue Inc.", "b.txt", owner=asset.owner)
    files = visible_files(Principal(asset.owner))
    ids = [each.id for each in knowledge.list_entities(files, "", None, None, 100)[0]]
    assert len(ids) == 2
    assert not knowledge.find_paths(files, ids[0], ids[1], 4).is_cut
    monkeypatch.setattr(paths, "MOST_ROWS", 1)
    assert knowledge.find_paths(files, ids[0], ids[1], 4).is_cut


def test_entities_of_stored_files_are_found_in_the_background(settings: Callable[..., None]) -> None:
    settings(GRAPH="off")
    asset = processed(LETTER, "letter.txt")
    settings(GRAPH="rules")
    assert list(knowledge.queue_extraction(asset.owner, every=False)) == [1]
    processing.backfill()
    asset = work_off(asset)
    assert len(entities(asset)) == 7
    assert list(knowledge.queue_extraction(asset.owner, every=False)) == []
    assert list(knowledge.queue_extraction(asset.owner, every=True)) == [1]


def test_a_text_in_no_language_works() -> None:
    noise = io.BytesIO()
    for number in range(400):
        noise.write(f"\u2603{number} {chr(0x4E00 + number)}@{number}. ".encode())
    asset = processed(noise.getvalue(), "noise.txt")
    assert step(asset, "graph").state == StepState.DONE
