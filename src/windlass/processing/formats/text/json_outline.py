"""Whether a text is JSON (RFC 8259), and its outline, as it streams by, holding one byte for each level."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.formats.read_limits import shorten

MOST_KEYS = 100
_LONGEST_NUMBER = 4096
_TOKEN = re.compile(
    r"(?P<space>[ \t\n\r]++)|(?P<mark>[\[\]{},:])|(?P<string>\"[^\"\\\x00-\x1f]*+\")|(?P<open>\")"
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)|(?P<literal>true|false|null)"
)
#: The rest of a string that is in pieces, or has escapes.
_INSIDE = re.compile(r"[^\"\\\x00-\x1f]++|\\(?:[\"\\/bfnrt]|u[0-9A-Fa-f]{4})|\"")
#: What a token that the end of a piece cuts may begin with.
_PARTIAL = re.compile(r"[-+.0-9eEa-z]*+\Z|\\u?[0-9A-Fa-f]{0,4}\Z")
_KINDS = {"[": "array", "{": "object", "t": "boolean", "f": "boolean", "n": "null", '"': "string"}
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA, _DONE = range(7)
_WANTED = {
    _VALUE: "a value",
    _VALUE_OR_END: "a value or ]",
    _KEY: "a key in quotes",
    _KEY_OR_END: "a key in quotes or }",
    _COLON: "a colon",
    _COMMA: "a comma or the end",
    _DONE: "nothing more",
}


class Wrong(Exception):
    """It is not JSON; the message says what was expected."""


@dataclass(slots=True)
class Checker:
    """Give it the text piece by piece, the last one with ``final``. ``many``: values follow each other (JSON lines)."""

    many: bool = False
    kind: str = ""
    items: int = 0
    deepest: int = 0
    keys: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    _open: bytearray = field(default_factory=bytearray)
    _expected: int = _VALUE
    _rest: str = ""
    _string: bool = False
    _key: str | None = None
    _line: int = 1
    _column: int = 1

    def add(self, text: str, *, final: bool = False) -> None:
        """After an error nothing more is looked at."""
        if self.error is not None:
            return
        text, self._rest = self._rest + text, ""
        try:
            self._scan(text, final)
            if final and (self._open or self._string or self._expected not in (_COMMA, _DONE)) and not self._over():
                raise Wrong(f"It ends where {_WANTED[self._expected]} was expected.")
        except Wrong as error:
            self.error = {"line": self._line, "column": self._column, "detail": str(error)}

    def facts(self, *, whole: bool) -> dict[str, Any]:
        """Of a text whose rest was not looked at, nothing is said of its being valid unless it is wrong already."""
        found: dict[str, Any] = {"json_depth": self.deepest}
        if self.error is not None:
            found |= {"json_valid": False, "json_error": self.error}
        elif whole:
            found["json_valid"] = True
        if self.kind:
            found |= {"json_kind": "lines" if self.many else self.kind, "json_items": self.items}
        return found | ({"json_keys": self.keys} if self.keys else {})

    def _over(self) -> bool:
        """Lines of JSON may end after any line, and there may be none."""
        return self.many and not self._open and not self._string and self._expected == _VALUE

    def _scan(self, text: str, final: bool) -> None:
        place = 0
        while place < len(text):
            match = (_INSIDE if self._string else _TOKEN).match(text, place)
            cut = match is None or (match.end() == len(text) and match.lastgroup in ("number", "literal"))
            if cut and not final and len(text) - place < _LONGEST_NUMBER and _PARTIAL.match(text, place):
                self._rest = text[place:]
                break
            if match is None:
                raise Wrong(self._unfit(text[place]))
            if match.end() - place > _LONGEST_NUMBER and match.lastgroup == "number":
                raise Wrong(f"A number has more than {_LONGEST_NUMBER} digits.")
            self._take(match)
            place = match.end()
            self._move(match[0])

    def _unfit(self, found: str) -> str:
        if self._string:
            return "A string has a line break, a control character or an escape that JSON does not have."
        return f"{found!r} stands where {_WANTED[self._expected]} was expected."

    def _move(self, token: str) -> None:
        breaks = token.count("\n")
        self._line += breaks
        self._column = len(token) - token.rfind("\n") if breaks else self._column + len(token)

    def _take(self, match: re.Match[str]) -> None:
        token, group = match[0], match.lastgroup
        if self._string:
            self._inside(token)
        elif group == "mark":
            self._mark(token)
        elif group != "space":
            self._value(token, group)

    def _inside(self, piece: str) -> None:
        if self._key is not None and len(self._key) < 400:
            self._key += piece
        if piece == '"':
            self._string = False
            if self._key is not None:
                self._name(self._key)
                self._key = None

    def _value(self, token: str, group: str | None) -> None:
        text = group in ("string", "open")
        if text and self._expected in (_KEY, _KEY_OR_END):
            self._expected = _COLON
            self._begin_key(token, group)
            return
        self._begin(_KINDS.get(token[0], "number"), token)
        self._string = group == "open"
        self._end()

    def _begin_key(self, token: str, group: str | None) -> None:
        named = len(self._open) == 1
        if named:
            self.items += not self.many
        if group == "open":
            self._string = True
            self._key = token if named else None
        elif named:
            self._name(token)

    def _name(self, quoted: str) -> None:
        if len(self.keys) < MOST_KEYS and not self.many:
            try:
                self.keys.append(shorten(json.loads(quoted), 100))
            except ValueError:  # cut in an escape
                self.keys.append(shorten(quoted.strip('"'), 100))

    def _begin(self, kind: str, token: str) -> None:
        if self._expected not in (_VALUE, _VALUE_OR_END):
            raise Wrong(f"{shorten(token, 20)} stands where {_WANTED[self._expected]} was expected.")
        if not self._open:
            self.kind = kind
            self.items += self.many
        elif len(self._open) == 1 and self._open[0] == ord("[") and not self.many:
            self.items += 1

    def _end(self) -> None:
        """A value has ended."""
        self._expected = _COMMA if self._open else (_VALUE if self.many else _DONE)

    def _mark(self, mark: str) -> None:
        if mark in "[{":
            self._begin(_KINDS[mark], mark)
            self._open.append(ord(mark))
            self.deepest = max(self.deepest, len(self._open))
            self._expected = _VALUE_OR_END if mark == "[" else _KEY_OR_END
        elif mark == ":" and self._expected == _COLON:
            self._expected = _VALUE
        elif mark == "," and self._expected == _COMMA and self._open:
            self._expected = _VALUE if self._open[-1] == ord("[") else _KEY
        elif mark in "]}" and self._closes(mark):
            self._open.pop()
            self._end()
        else:
            raise Wrong(f"{mark} stands where {_WANTED[self._expected]} was expected.")

    def _closes(self, mark: str) -> bool:
        opened = "[" if mark == "]" else "{"
        begun = _VALUE_OR_END if mark == "]" else _KEY_OR_END
        return bool(self._open) and self._open[-1] == ord(opened) and self._expected in (_COMMA, begun)
