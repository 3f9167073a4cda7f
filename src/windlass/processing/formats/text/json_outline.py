"""Whether a text is JSON (RFC 8259), where it stops being so, and its outline: kind, items, keys and depth.

The standard library parses; values are dropped as they are read, so that a text takes a few times its size.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import Any

from windlass.processing.formats.read_limits import MB, shorten

#: Characters of the longest text that is parsed.
LARGEST = 16 * MB
MOST_KEYS = 100
#: Levels of arrays and objects; the library's parser recurses.
_DEEPEST = 500
_LONGEST_NUMBER = 4096

_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_CONSTANT = re.compile(r'"(?:[^"\\]++|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)
_LONG_NUMBER = re.compile(rf'"(?:[^"\\]++|\\.)*+"|([-+.0-9eE]{{{_LONGEST_NUMBER + 1}}})', re.DOTALL)
#: Each bracket as a signed byte: one level more, or one less.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_KINDS = {"[": "array", "{": "object", "t": "boolean", "f": "boolean", "n": "null", '"': "string"}
_EXTRA_DATA, _LONG, _DEEP = "Extra data", "Long number", "Too deep"
#: Beginning of the library's message -> what was expected.
_EXPECTED = {
    "Expecting value": "a value",
    "Expecting property name": "a key in quotes",
    "Illegal trailing comma": "a value or a key",
    "Expecting ':'": "a colon",
    "Expecting ','": "a comma or the end",
    _EXTRA_DATA: "nothing more",
}


def facts(text: str, *, many: bool = False) -> dict[str, Any]:
    """Return the facts of a whole text of at most LARGEST characters.

    ``many``: values follow each other (JSON lines); there may be none.
    """
    outline = _Outline(many=many)
    facts: dict[str, Any] = {}
    try:
        facts["json_depth"] = _depth(text, len(text))
        if facts["json_depth"] > _DEEPEST:
            raise json.JSONDecodeError(_DEEP, text, _place_of_depth(text, _DEEPEST + 1))
        outline.parse(text)
        facts["json_valid"] = True
    except MemoryError:
        return facts
    except json.JSONDecodeError as error:
        if error.msg != _DEEP:
            facts["json_depth"] = _depth(text, error.pos)
        facts["json_valid"] = False
        facts["json_error"] = {"line": error.lineno, "column": error.colno, "detail": _detail(error)}
    return facts | outline.facts(text)


class _Outline:
    """Counts the members or items of the outermost value, or the values where there are many."""

    def __init__(self, *, many: bool) -> None:
        self._many = many
        self._count: int | None = 0 if many else None
        self._keys: list[str] = []
        self._last_pairs: list[tuple[str, Any]] = []

    def parse(self, text: str) -> None:
        """Raises json.JSONDecodeError."""
        decoder = json.JSONDecoder(
            object_pairs_hook=self._note_pairs, parse_constant=_refuse, parse_int=_number, parse_float=_number
        )
        place = _skip_space(text, 0)
        while place < len(text) or not self._many:
            try:
                value, place = decoder.raw_decode(text, place)
            except _Refused as error:
                raise json.JSONDecodeError(error.message, text, error.place(text, place)) from error
            except RecursionError as error:
                raise json.JSONDecodeError(_DEEP, text, place) from error
            place = _skip_space(text, place)
            if self._many:
                self._count = (self._count or 0) + 1
                continue
            if place < len(text):
                raise json.JSONDecodeError(_EXTRA_DATA, text, place)
            self._set_outermost(text, value)
            break

    def facts(self, text: str) -> dict[str, Any]:
        first = text[_skip_space(text, 0) :][:1]
        if not first or not (first in _KINDS or first in "-0123456789"):
            return {}
        facts: dict[str, Any] = {"json_kind": "lines" if self._many else _KINDS.get(first, "number")}
        if self._count is not None:
            facts["json_items"] = self._count
        return facts | ({"json_keys": self._keys} if self._keys else {})

    def _note_pairs(self, pairs: list[tuple[str, Any]]) -> None:
        """The outermost object is read last; what is returned stands for the object."""
        self._last_pairs = pairs

    def _set_outermost(self, text: str, value: Any) -> None:
        self._count = 0
        if isinstance(value, list):
            self._count = len(value)
        elif text.lstrip().startswith("{"):
            self._count = len(self._last_pairs)
            self._keys = [shorten(key, 100) for key, _ in self._last_pairs[:MOST_KEYS]]


class _Refused(ValueError):
    """JSON has no such number. ``pattern`` finds the first of them outside strings."""

    def __init__(self, message: str, pattern: re.Pattern[str]) -> None:
        super().__init__(message)
        self.message, self.pattern = message, pattern

    def place(self, text: str, start: int) -> int:
        return next((match.start() for match in self.pattern.finditer(text, start) if match[1]), start)


def _refuse(name: str) -> None:
    raise _Refused("Expecting value", _CONSTANT)


def _number(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise _Refused(_LONG, _LONG_NUMBER)


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _depth(text: str, end: int) -> int:
    """The deepest level before ``end``."""
    brackets = _STRING.sub("", text[:end]).encode("ascii", "ignore").translate(_STEPS, _NO_BRACKETS)
    return max(0, max(accumulate(array("b", brackets)), default=0))


def _place_of_depth(text: str, wanted: int) -> int:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        depth += bool(match[1]) - bool(match[2])
        if depth == wanted:
            return match.start()
    return len(text)


def _detail(error: json.JSONDecodeError) -> str:
    """One sentence, in words of ours."""
    if error.msg == _DEEP:
        return f"It is nested more than {_DEEPEST} levels deep."
    if error.msg == _LONG:
        return f"A number has more than {_LONGEST_NUMBER} digits."
    if error.msg.startswith("Unterminated"):
        return "A string does not end."
    if error.msg.startswith("Invalid"):
        return "A string has a line break, a control character or an escape that JSON does not have."
    expected = next((name for start, name in _EXPECTED.items() if error.msg.startswith(start)), "something else")
    sign = error.doc[error.pos : error.pos + 1]
    return f"{sign} stands where {expected} was expected." if sign else f"It ends where {expected} was expected."
