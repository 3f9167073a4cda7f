"""Which stores send their objects themselves: a download is redirected to a URL that the store has signed."""

from __future__ import annotations

import uuid
from functools import lru_cache
from urllib.parse import urlsplit

from windlass import conf
from windlass.conf import Settings
from windlass.storage.contract import PresigningStore, presigning_store
from windlass.storage.registry import store


def redirecting_store(name: str) -> PresigningStore | None:
    """The store of this name, if downloads of its objects are redirected to it (``DOWNLOADS``); else None."""
    of_store = conf.store_settings(conf.get(), name)
    downloads = of_store.downloads if of_store is not None else "proxy"
    if downloads == "proxy":
        return None
    target = presigning_store(store(name))
    if target is None or (downloads == "auto" and not target.is_public):
        return None
    return target


def redirect_origins() -> tuple[str, ...]:
    """The origins of the URLs that downloads are redirected to. No request is made: stores sign by themselves."""
    return _origins(conf.get())


@lru_cache(maxsize=2)
def _origins(settings: Settings) -> tuple[str, ...]:
    origins: dict[str, None] = {}
    for name in conf.known_stores(settings):
        target = redirecting_store(name)
        if target is not None:
            url = urlsplit(target.presign(f"blobs/{uuid.uuid4()}", seconds=1, headers={}))
            origins[f"{url.scheme}://{url.netloc}"] = None
    return tuple(origins)
