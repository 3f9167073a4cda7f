"""The Markdown files of the repository, for tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A fenced block. Its info string is a language, and perhaps ``file=PATH`` or ``add=PATH``."""

    language: str
    options: dict[str, str]
    text: str


def pages() -> list[Path]:
    """README, the other documents at the top, and everything below docs/, benchmarks/ and examples/."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("examples/*.md")]
    return sorted(found)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fences(page: Path) -> Iterator[Fence]:
    for found in _FENCE.finditer(page.read_text()):
        language, *options = found["info"].split()
        yield Fence(language, dict(option.split("=", 1) for option in options), found["text"])


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())
