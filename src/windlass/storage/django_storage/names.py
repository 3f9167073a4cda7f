"""Names in the storage: an object's is its key. The storage may hold other things, which the sweep must never see."""

from __future__ import annotations

import re

from windlass.storage.contract import StoreError

_KEY = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")

#: What the keys of Windlass begin with.
OURS = ("encryption", "objects", "renditions")
#: Not a name at the top, and none that begins with a dot there: some storages strip those.
CHECK = "objects/.check-"


def checked(key: str) -> str:
    """Raises StoreError for what is no key."""
    if not _KEY.fullmatch(key) or not {".", ".."}.isdisjoint(key.split("/")):
        raise StoreError(f"{key!r} is no key of this store")
    return key


def is_one(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def tops(prefix: str) -> list[str]:
    """The directories to begin at so as to find every object of ours whose key begins with ``prefix``."""
    directory = prefix.rpartition("/")[0]
    if not directory:
        return [top for top in OURS if top.startswith(prefix)]
    return [directory] if directory.split("/")[0] in OURS else []
