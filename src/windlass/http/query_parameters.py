"""Refuse query parameters that an endpoint does not declare, and name the nearest that it does.

A client that sends an unknown name relies on a filter or a field that does not exist, so ignoring it would give a wrong
answer. Not checked are requests of tus, of the IETF protocol and of Uppy's S3 calls, whose clients add names of their
own, and signed URLs. ``_`` is allowed everywhere: some libraries add it with a timestamp to bypass caches.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from windlass.kernel.problem_types import InvalidField
from windlass.kernel.stored_text import is_storable

CACHE_BUSTER = "_"
#: Names that other APIs use -> the name here.
_OTHER_NAMES = {
    "content_type": "mime_type",
    "file": "ids",
    "files": "ids",
    "id": "ids",
    "name": "q",
    "offset": "cursor",
    "page": "cursor",
    "page_size": "limit",
    "per_page": "limit",
    "query": "q",
    "search": "q",
    "size": "limit",
    "state": "status",
    "type": "mime_type",
}


def check(scope: MutableMapping[str, Any], known: Collection[str] | None) -> None:
    """Check the query of a byte-plane request; with ``known=None`` only its text. Raises InvalidField."""
    query = scope.get("query_string", b"").decode("latin-1")
    if not query:
        return
    if known is None:
        check_text(query)
    else:
        check_names(query, known, f"{scope['method']} {scope['path']}")


def check_names(query: str, known: Collection[str], endpoint: str) -> None:
    """Raise InvalidField for the first name that is not ``known``, and as ``check_text`` does."""
    check_text(query)
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known and name != CACHE_BUSTER:
            raise _unknown(name, sorted(known), endpoint)


def check_text(query: str) -> None:
    """Raise InvalidField for text that a database cannot store."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if not is_storable(name) or not is_storable(value):
            raise InvalidField(f"The query parameter {name[:40]!r} contains a NUL character.", field=name[:40])


def _unknown(name: str, known: list[str], endpoint: str) -> InvalidField:
    shown = name[:40]
    if not known:
        return InvalidField(f"{endpoint} takes no query parameters; {shown!r} was sent.", field=shown, allowed=known)
    return InvalidField(
        f"{endpoint} has no query parameter {shown!r}. Did you mean {_nearest(name, known)}? "
        f"It takes: {', '.join(known)}.",
        field=shown,
        allowed=known,
    )


def _nearest(name: str, known: list[str]) -> str:
    other = _OTHER_NAMES.get(name.lower())
    if other in known:
        return str(other)
    return difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
