"""A row of the table of routes (``ROWS`` in test_access.py): who may call the route, and whose thing it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

#: Every kind of credential that the routes are called with.
KINDS = frozenset(
    {"none", "token", "session", "jwt", "staff", "grant", "used grant", "signed", "metrics"}
    | {"expired token", "expired jwt", "expired grant", "read token", "write token", "staff without admin", "ticket"}
)


@dataclass(frozen=True)
class Call:
    """A well-formed request about a thing of one owner (test_isolation.py makes one of each kind).

    ``{id}`` and the other names of the thing are replaced in the path, the query, the headers and the body.
    """

    thing: str
    #: What the parameters of the path are, in order.
    path: tuple[str, ...]
    query: str
    #: For ``ApiClient``: headers, content, json, data, files.
    options: Mapping[str, Any]
    #: The reply to anyone else, which is also the reply where there is no such thing.
    hidden: int
    #: The replies to the owner and to staff; empty: any success.
    own: frozenset[int]

    def request(self, template: str, names: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
        """Path with query, and options, with the names of a thing."""
        path = template.format(*self.path) + (f"?{self.query}" if self.query else "")
        files = {"files": self.options["files"]} if "files" in self.options else {}
        text = json.dumps({name: value for name, value in self.options.items() if name != "files"})
        return _filled(path, names), json.loads(_filled(text, names)) | files


def _filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@dataclass(frozen=True)
class Row:
    """``kinds``: the credentials that the route accepts. ``calls``: requests about a thing that has an owner; none
    where the route is about nobody's."""

    kinds: frozenset[str]
    calls: tuple[Call, ...] = ()
    #: Whether a call with a body changes nothing, so that a token for reading suffices.
    only_reads: bool = False
    #: The kind of thing whose ids the route lists, of the caller alone.
    listed: str = ""

    def accepted(self, method: str) -> frozenset[str]:
        """The kinds of credentials that a call with this method accepts; of tokens with a scope, those with its own."""
        if "token" not in self.kinds or "none" in self.kinds:
            return self.kinds
        scoped = "read token" if self.only_reads or method in ("GET", "HEAD", "OPTIONS", "WS") else "write token"
        return self.kinds | {scoped, "staff without admin"}

    def of(
        self,
        thing: str,
        *path: str,
        query: str = "",
        hidden: int = 404,
        own: frozenset[int] = frozenset(),
        **options: Any,
    ) -> Row:
        """The row, with one more call about a thing."""
        call = Call(thing, path or ("{id}",), query, options, hidden, own)
        return replace(self, calls=(*self.calls, call))

    def listing(self, thing: str) -> Row:
        return replace(self, listed=thing)
