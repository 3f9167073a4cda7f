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
    facts: dict[str, Any] = {}
    outline = _kind(text, many=many)
    try:
        facts["json_depth"] = _depth(text, len(text))
        if facts["json_depth"] > _DEEPEST:
            raise json.JSONDecodeError(_DEEP, text, _offset_of_depth(text, _DEEPEST + 1))
        _parse(text, outline, many=many)
        facts["json_valid"] = True
    except MemoryError:
        return facts
    except json.JSONDecodeError as error:
        if error.msg != _DEEP:
            facts["json_depth"] = _depth(text, error.pos)
        facts["json_valid"] = False
        facts["json_error"] = {"line": error.lineno, "column": error.colno, "detail": _detail(error)}
    return facts | outline


def _kind(text: str, *, many: bool) -> dict[str, Any]:
    """Return what the first character says; nothing where no value begins with it."""
    first = text[_skip_space(text, 0) :][:1]
    kind = _KINDS.get(first) or ("number" if first and first in "-0123456789" else "")
    if many and kind:
        return {"json_kind": "lines", "json_items": 0}
    return {"json_kind": kind} if kind else {}


def _parse(text: str, outline: dict[str, Any], *, many: bool) -> None:
    """Parse the text, and add to its outline: the members or items of the outermost value, or the number of values.

    Raises json.JSONDecodeError.
    """
    members: list[tuple[str, Any]] = []

    def note_members(pairs: list[tuple[str, Any]]) -> None:
        """Keep those of the last object, which is the outermost. None stands for the object."""
        members[:] = pairs

    decoder = json.JSONDecoder(
        object_pairs_hook=note_members, parse_constant=_refuse, parse_int=_number, parse_float=_number
    )
    offset = _skip_space(text, 0)
    while offset < len(text) or not many:
        start = offset
        try:
            value, offset = decoder.raw_decode(text, start)
        except _Refused as error:
            raise json.JSONDecodeError(error.message, text, error.offset(text, start)) from error
        except RecursionError as error:
            raise json.JSONDecodeError(_DEEP, text, start) from error
        offset = _skip_space(text, offset)
        if many:
            outline["json_items"] += 1
            continue
        if offset < len(text):
            raise json.JSONDecodeError(_EXTRA_DATA, text, offset)
        if outline["json_kind"] == "object":
            outline["json_items"] = len(members)
            outline |= {"json_keys": [shorten(key, 100) for key, _ in members[:MOST_KEYS]]} if members else {}
        else:
            outline["json_items"] = len(value) if isinstance(value, list) else 0
        return


class _Refused(ValueError):
    """JSON has no such number. ``pattern`` finds the first of them outside strings."""

    def __init__(self, message: str, pattern: re.Pattern[str]) -> None:
        super().__init__(message)
        self.message, self.pattern = message, pattern

    def offset(self, text: str, start: int) -> int:
        return next((match.start() for match in self.pattern.finditer(text, start) if match[1]), start)


def _refuse(name: str) -> None:
    raise _Refused("Expecting value", _CONSTANT)


def _number(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise _Refused(_LONG, _LONG_NUMBER)


def _skip_space(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _depth(text: str, end: int) -> int:
    """The deepest level before ``end``."""
    brackets = _STRING.sub("", text[:end]).encode("ascii", "ignore").translate(_STEPS, _NO_BRACKETS)
    return max(0, max(accumulate(array("b", brackets)), default=0))


def _offset_of_depth(text: str, wanted: int) -> int:
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
