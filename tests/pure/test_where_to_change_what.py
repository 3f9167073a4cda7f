"""The page that names the files for ordinary changes is held against the tree."""

from __future__ import annotations

import re

import pytest

from tests.markdown_pages import DOCS, ROOT

ROWS = [
    line
    for line in (DOCS / "explanation" / "where-to-change-what.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| change |")
]


def test_there_are_twenty_changes_at_least() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_file_exists(row: str) -> None:
    paths = re.findall(r"`([^`]+)`", row.split("|")[2])
    assert paths
    assert [path for path in paths if not (ROOT / "src" / "windlass" / path).exists()] == []
