"""Names in the bucket: an object has its key, and the pieces of its unfinished part lie beside it."""

from __future__ import annotations

import re
import secrets

from windlass.storage.contract import StoreError

_KEY = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_TAIL = re.compile(r"(.+)\.tail\.([0-9a-f]{16})")

#: What the keys of Windlass begin with. A bucket may hold other things, which the sweep must never see.
OURS = ("objects/", "renditions/", ".check-")


def within(prefix: str) -> list[str]:
    """The prefixes to list so as to find every object of ours whose key begins with ``prefix``."""
    return [
        prefix if prefix.startswith(ours) else ours
        for ours in OURS
        if ours.startswith(prefix) or prefix.startswith(ours)
    ]


def checked(key: str) -> str:
    """Raises StoreError for what is no key."""
    if not _KEY.fullmatch(key) or not {".", ".."}.isdisjoint(key.split("/")) or _TAIL.fullmatch(key):
        raise StoreError(f"{key!r} is no key of this store")
    return key


def new_token() -> str:
    """Names a piece for good: nobody ever writes to it again, so what a state names stays what it was."""
    return secrets.token_hex(8)


def tail(key: str, token: str) -> str:
    return f"{key}.tail.{token}"


def tails(key: str) -> str:
    """What the names of all of an object's pieces begin with."""
    return f"{key}.tail."


def owner(key: str) -> str | None:
    """The key of the object that a piece belongs to; None for what is no piece."""
    found = _TAIL.fullmatch(key)
    return found[1] if found else None
