"""The walk through OWASP's requirements and the threat model name tests that exist, and leave no line open."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.markdown_pages import DOCS, ROOT

TESTS = ROOT / "tests"
SECURITY, THREATS = DOCS / "explanation" / "security.md", DOCS / "explanation" / "threat-model.md"

#: The requirements of ASVS 5.0.0, chapter V5.
LINES = [
    *("5.1.1", "5.2.1", "5.2.2", "5.2.3", "5.2.4", "5.2.5", "5.2.6"),
    *("5.3.1", "5.3.2", "5.3.3", "5.4.1", "5.4.2", "5.4.3"),
]


def tables(page: Path) -> dict[str, list[list[str]]]:
    """The rows of each table whose last column is `tests`, by the heading above it."""
    found: dict[str, list[list[str]]] = {}
    heading, rows = "", None
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            heading, rows = line.lstrip("# "), None
        elif line.startswith("|") and line.endswith("| tests |"):
            rows = found.setdefault(heading, [])
        elif line.startswith("|") and rows is not None and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


ROWS = [(page.stem, row) for page in (SECURITY, THREATS) for rows in tables(page).values() for row in rows]


def named(row: list[str]) -> list[str]:
    return re.findall(r"`([^`]+)`", row[-1])


@cache
def functions(module: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef))


def asvs_tests() -> Iterator[tuple[str, str]]:
    """Each test that carries the number of a line: the line, and the test as pages name it."""
    for module in TESTS.rglob("test_*.py"):
        if "node_modules" not in module.parts:
            for name in functions(module):
                if match := re.match(r"test_asvs_(\d)_(\d)_(\d)_", name):
                    yield ".".join(match.groups()), f"{module.relative_to(TESTS)}::{name}"


@pytest.mark.parametrize(("page", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else value[1][:60])
def test_every_row_names_tests_that_exist(page: str, row: list[str]) -> None:
    assert named(row)
    for name in named(row):
        path, _, function = name.partition("::")
        module = TESTS / path
        assert module.is_file(), name
        assert not function or function in functions(module), name


def test_every_line_of_asvs_has_a_row_and_a_test_with_its_number() -> None:
    rows = tables(SECURITY)["ASVS 5.0, chapter V5 (file handling)"]
    assert [row[0] for row in rows] == LINES
    carrying = {line: {name for found, name in asvs_tests() if found == line} for line in LINES}
    assert all(carrying.values())
    for row in rows:
        assert carrying[row[0]] <= set(named(row)), row[0]
    assert {line for line, _ in asvs_tests()} == set(LINES)


def test_every_advice_of_the_cheat_sheet_has_a_row() -> None:
    assert len(tables(SECURITY)["OWASP File Upload cheat sheet"]) >= 13


@pytest.mark.parametrize("part", tables(THREATS))
def test_each_part_is_looked_at_for_every_kind_of_threat(part: str) -> None:
    assert {row[0] for row in tables(THREATS)[part]} == set("STRIDE")


def test_the_threat_model_has_all_parts() -> None:
    assert len(tables(THREATS)) == 6
