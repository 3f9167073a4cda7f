"""The pages of a list have every file once and in order, whichever statements find them (docs/decisions/0115)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.db import connection

from tests.integration.asgi_client import make_file
from windlass.database.ownership import owned_by
from windlass.files import name_index
from windlass.files.api import FileAsset, kind_of
from windlass.http.rest import file_pages
from windlass.http.rest.file_list import FileQuery, list_page
from windlass.kernel import filenames
from windlass.kernel.owners import EVERY_OWNER, Owners
from windlass.kernel.principals import Principal

pytest_plugins = ["tests.integration.record_plane"]

NAMES = ['a "quoted" name', "100%", "50_percent", "日本語の報告", "Ünïcode", "needle", "back\\slash", "x"]
TYPES = ["image/png", "image/jpeg", "video/mp4", "application/pdf", "text/csv", None]
STATUSES = ["READY", "FAILED", "REJECTED"]


@pytest.fixture(scope="module")
def owner(records_home: object) -> str:
    name = f"pages-{uuid.uuid4().hex}"
    for number in range(48):
        text = NAMES[number % len(NAMES)]
        make_file(
            name,
            original_filename=f"{text} {number}.bin",
            mime_type=TYPES[number % len(TYPES)],
            status=STATUSES[number % len(STATUSES)],
            search_facts="tag of facts" if number % 9 == 0 else "",
        )
    return name


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_pages, "WALKED", 5)


def listed(owner: str, **parameters: Any) -> list[uuid.UUID]:
    """The files of all pages, in their order."""
    ids: list[uuid.UUID] = []
    query: FileQuery | None = FileQuery(limit=4, **parameters)
    while query is not None:
        found, following = list_page(query, Principal(owner=owner))
        ids += [each.asset.id for each in found]
        cursor = parse_qs(following)["cursor"][0] if following else None
        query = query.model_copy(update={"cursor": cursor}) if cursor else None
    return ids


def expected(owner: str, accept: Any, order: str = "-created_at") -> list[uuid.UUID]:
    sign = "-" if order.startswith("-") else ""
    return [each.id for each in FileAsset.objects.filter(owner=owner).order_by(order, f"{sign}id") if accept(each)]


@pytest.mark.parametrize("sort", ["-created", "created", "name", "-size"])
@pytest.mark.parametrize(
    "text",
    ['"quoted"', "%", "0_p", "本語の", "本", "ünï", "NEEDLE", "k\\s", "x ", "facts", "name 1", "nothing", ".bin", "e"],
)
def test_a_part_of_a_name_or_fact_finds_every_file(owner: str, text: str, sort: str) -> None:
    part = filenames.comparable(text)
    order = {"-created": "-created_at", "created": "created_at", "name": "search_name", "-size": "-size"}[sort]
    files = expected(owner, lambda each: part in each.search_name or part in each.search_facts, order)
    assert listed(owner, q=text, sort=sort) == files


FILTERS: list[tuple[Mapping[str, Any], Any]] = [
    ({}, lambda each: True),
    ({"reference": "nothing"}, lambda each: False),
    ({"mime_type": "image/*"}, lambda each: (each.mime_type or "").startswith("image/")),
    ({"mime_type": "IMAGE/PNG"}, lambda each: each.mime_type == "image/png"),
    ({"mime_type": "font/*"}, lambda each: False),
    ({"kind": "spreadsheet"}, lambda each: each.mime_type == "text/csv"),
    ({"kind": "other"}, lambda each: kind_of(each.mime_type) == "other"),
    ({"kind": "image", "mime_type": "image/png"}, lambda each: each.mime_type == "image/png"),
    ({"kind": "video", "mime_type": "image/*"}, lambda each: False),
    ({"status": ["FAILED", "REJECTED"]}, lambda each: each.status in ("FAILED", "REJECTED")),
    ({"status": ["FAILED", "FAILED"]}, lambda each: each.status == "FAILED"),
    (
        {"status": ["FAILED", "READY"], "mime_type": "image/*"},
        lambda each: each.status in ("FAILED", "READY") and (each.mime_type or "").startswith("image/"),
    ),
    (
        {"q": "needle", "mime_type": "image/*"},
        lambda each: "needle" in each.search_name and (each.mime_type or "").startswith("image/"),
    ),
]


@pytest.mark.parametrize(
    ("parameters", "accept"), FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_a_filter_with_several_values_has_every_file_once(owner: str, parameters: Any, accept: Any) -> None:
    assert listed(owner, **parameters) == expected(owner, accept)
    ascending = expected(owner, accept, "created_at")
    assert listed(owner, sort="created", **parameters) == ascending


@pytest.mark.parametrize("owners", [Owners(), Owners(frozenset({"nobody"}), all_others=True), EVERY_OWNER])
def test_the_first_page_has_the_files_of_its_owners(owner: str, owners: Owners) -> None:
    principal = Principal(owner="nobody", permitted=owners)
    theirs = FileAsset.objects.filter(owned_by(principal.owners), trashed_at=None)
    found, _ = list_page(FileQuery(limit=200), principal)
    assert [each.asset.id for each in found] == [each.id for each in theirs.order_by("-created_at", "-id")[:200]]
    found, _ = list_page(FileQuery(owner=owner), principal)
    assert len(found) == (48 if owner in principal.owners else 0)


def test_the_index_of_names_follows_the_rows(owner: str) -> None:
    word = uuid.uuid4().hex
    file = make_file(owner, original_filename="before.txt")
    file.created_at = file.created_at.replace(year=2020)  # not among the newest
    file.original_filename = f"{word}.txt"
    file.save()
    assert listed(owner, q=word) == [file.id]
    FileAsset.objects.filter(id=file.id).update(search_name="renamed", search_facts=f"fact {word[:9]}")
    assert listed(owner, q=word) == []
    assert listed(owner, q=word[:9]) == [file.id]
    key = file.id.hex
    file.delete()
    assert listed(owner, q=word[:9]) == []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {name_index.KEYS} WHERE file_id = %s", [key])
        assert cursor.fetchone()[0] == 0


def test_an_index_whose_triggers_are_lost_is_not_used_and_made_anew(owner: str) -> None:
    """As after a migration that has made SQLite's table of files anew."""
    word = uuid.uuid4().hex
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name_index.TRIGRAMS}")
    name_index.ensure_name_index("default")  # without the table, its triggers would let no file be written
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER windlass_files_name_added")
    file = make_file(owner, original_filename=f"{word}.txt")
    FileAsset.objects.filter(id=file.id).update(created_at="2020-01-01T00:00:00Z")
    assert listed(owner, q=word) == [file.id]
    name_index.ensure_name_index("default")
    assert name_index._is_complete(connection)
    assert listed(owner, q=word) == [file.id]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {name_index.TRIGRAMS} WHERE names MATCH %s", [word])
        assert cursor.fetchone()[0] == 1
    file.delete()
