"""Decoding and counting of plain text as a stream.

A word is a run between spaces with a letter or a digit; Han characters and kana, which are written without spaces,
count one by one. That needs no dictionary; words of Thai and similar scripts are undercounted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

_SINGLE = re.compile("[\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
#: One run between spaces; the group is empty where it has neither letter nor digit.
_STRETCH = re.compile(r"[^\w\s]*+(\w?)\S*+\s*+")
_TAIL = 4096


def is_binary(head: bytes, media_type: str, codec: str) -> bool:
    """Whether a file of a type that may be text or binary (drawings, models) is binary."""
    return not media_type.startswith("text/") and b"\0" in head and not codec.startswith(("utf-16", "utf-32"))


def unified(texts: Iterable[str]) -> Iterator[str]:
    """Yield the text with every line break as ``\\n``."""
    breaks = io.IncrementalNewlineDecoder(None, translate=True)
    for text in texts:
        yield breaks.decode(text)
    yield breaks.decode("", final=True)


class TextCounter:
    """Counts a text that ``add`` takes in pieces."""

    def __init__(self) -> None:
        self._breaks = io.IncrementalNewlineDecoder(None, translate=True)
        self._characters = self._lines = self._words = self._longest = self._line_length = 0
        self._tail = ""

    def add(self, text: str, *, final: bool = False) -> None:
        self._characters += len(text)
        text = self._breaks.decode(text, final)
        first, *others = text.split("\n")
        self._line_length += len(first)
        self._longest = max(self._longest, self._line_length)
        for line in others:
            self._longest = max(self._longest, len(line))
            self._line_length = len(line)
        self._lines += len(others)
        self._count_words(text, final)

    def _count_words(self, text: str, final: bool) -> None:
        """Count words; the start of a word waits for its rest, up to ``_TAIL`` characters."""
        text = self._tail + text
        cut = len(text)
        while not final and cut and len(text) - cut < _TAIL and not text[cut - 1].isspace():
            cut -= 1
        text, self._tail = text[:cut], text[cut:]
        spaced, single = _SINGLE.subn(" ", text)
        self._words += single + sum(map(bool, _STRETCH.findall(spaced)))

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "lines": self._lines + (self._line_length > 0),
            "words": self._words,
            "characters": self._characters,
            "longest_line": self._longest,
        }
        if kinds := self._breaks.newlines:
            names = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
            facts["newline"] = names[kinds] if isinstance(kinds, str) else "mixed"
        return facts
