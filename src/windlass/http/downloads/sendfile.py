"""Hands the sending of local files over to the proxy in front (``SENDFILE``)."""

from __future__ import annotations

from starlette.requests import Request

from windlass import conf
from windlass.storage.registry import store


def field_for(request: Request, store_name: str, key: str) -> dict[str, str]:
    """The field that makes the proxy send the object; none where this process sends it.

    A request with ``If-Range`` is ours: the proxy would compare the tag with one of its own making.
    """
    settings = conf.get()
    if settings.sendfile == "off" or "if-range" in request.headers:
        return {}
    path = store(store_name).local_path(key)
    if path is None:
        return {}
    if settings.sendfile == "x-accel-redirect":
        of_store = conf.store_settings(settings, store_name)
        root = of_store.sendfile_root if of_store is not None else ""
        return {"X-Accel-Redirect": f"{root}/{key}"} if root else {}  # else the proxy was not told where this store is
    return {"X-Sendfile": str(path)}
