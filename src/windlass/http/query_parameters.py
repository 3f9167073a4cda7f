"""The names that a query may have: those that the endpoint documents. Any other is refused, and the nearest is named.

A name that is not known is a filter or a field that the client believes in, so ignoring it gives a wrong answer.
Not checked: requests of tus, of the IETF's protocol and of Uppy's S3 calls, whose clients add names of their own, and
signed URLs. ``_`` is allowed everywhere: some libraries add it with a moment, so that no cache answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.http.rest.byte_calls import query_names
from windlass.kernel.errors import InvalidField
from windlass.kernel.stored_text import is_storable

CACHE_BUSTER = "_"
#: Names that other APIs have for what is called otherwise here.
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


def check(scope: MutableMapping[str, Any], access: Access, *, own_names: bool = False) -> None:
    """Check the query of a request of the byte plane; with ``own_names`` its text alone. Raises InvalidField."""
    query = scope.get("query_string", b"")
    if query:
        check_text(query.decode("latin-1"))
    if query and not own_names:
        known = query_names(scope["method"], scope.get("windlass.route", scope["path"]))
        granted = {accounts.GRANT_PARAMETER} if access.grant_use else set()
        check_names(query.decode("latin-1"), known | granted, f"{scope['method']} {scope['path']}")


def check_names(query: str, known: Collection[str], endpoint: str) -> None:
    """Raises InvalidField for the first name that is not ``known``, and for text that no database can hold."""
    check_text(query)
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known and name != CACHE_BUSTER:
            raise _unknown(name, sorted(known), endpoint)


def check_text(query: str) -> None:
    """Raises InvalidField for text that no database can hold."""
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
