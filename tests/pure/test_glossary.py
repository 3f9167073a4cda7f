"""The glossary is held against the code: its terms are used, and no name contains a word that a term has replaced."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.markdown_pages import DOCS, ROOT, pages

GLOSSARY = DOCS / "reference" / "glossary.md"
SOURCE = ROOT / "src" / "windlass"
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if "migrations" not in path.parts]

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def glossary_rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| term ", "| not ")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def terms() -> list[str]:
    text, _, _ = GLOSSARY.read_text().partition("## Replaced words")
    return [term for row in glossary_rows(text) for term in row[0].split(", ")]


def replaced_words() -> set[str]:
    _, _, text = GLOSSARY.read_text().partition("## Replaced words")
    return {word for row in glossary_rows(text) for word in re.findall(r"`(\w+)`", row[0])}


@cache
def all_text() -> str:
    """Code and documentation but the glossary, in lower-case words: ``UploadSession`` reads "upload session"."""
    paths = [*MODULES, *(page for page in pages() if page != GLOSSARY)]
    return " ".join(word.lower() for path in paths for word in _WORD.findall(path.read_text()))


@pytest.mark.parametrize("term", terms())
def test_every_term_is_used(term: str) -> None:
    assert re.search(rf"\b{' '.join(_WORD.findall(term.lower()))}(s|es)?\b", all_text())


def names(path: Path) -> Iterator[str]:
    """Of a module and of its classes and functions."""
    yield path.parent.name if path.stem == "__init__" else path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_name_contains_a_replaced_word(path: Path) -> None:
    wrong = {name for name in names(path) if replaced_words() & {word.lower() for word in _WORD.findall(name)}}
    assert not wrong, "docs/reference/glossary.md names the words to use instead"
