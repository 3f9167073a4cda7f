"""Sends clients to the store for the bytes, where it can be asked (``DOWNLOADS``)."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from windlass import conf
from windlass.executors import in_thread
from windlass.storage.contract import presigning_store
from windlass.storage.registry import store

#: How long the place can be asked. A transfer that has begun goes on for longer.
SECONDS = 300


async def place_of(request: Request, store_name: str, key: str, headers: Mapping[str, str]) -> str | None:
    """A signed URL of the object; None where this process sends it. The store says what ``headers`` say of the bytes.

    A request with ``If-Range`` is ours: the store would compare the tag with one of its own making.
    """
    target = presigning_store(store(store_name))
    of_store = conf.store_settings(conf.get(), store_name)
    wanted = of_store.downloads if of_store is not None else "proxy"
    if wanted == "proxy" or target is None or "if-range" in request.headers:
        return None
    if wanted == "auto" and not target.is_public:
        return None
    said = {name: headers[name] for name in ("Content-Type", "Content-Disposition", "Cache-Control")}
    return await in_thread(target.presign, key, seconds=SECONDS, headers=said)
