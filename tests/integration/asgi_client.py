"""A client that calls an ASGI application without sockets, and file records for tests."""

from __future__ import annotations

import asyncio
import io
import uuid
from typing import Any

import httpx

from tests.integration.websocket_client import handshake

REQUEST_ID = "a-request-of-the-tests"


class ApiClient:
    """Send requests to an ASGI application as one user, or without a token anonymously.

    The method ``WS`` is the handshake of a WebSocket; the reply is 101 where the application accepts it.
    """

    def __init__(self, app: Any, token: str = "", owner: str = "anonymous") -> None:
        self._app = app
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.owner = owner

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        options["headers"] = self.headers | options.get("headers", {})
        if method == "WS":
            return handshake(self._app, path, options["headers"])
        return asyncio.run(self._send(method, path, **options))

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **options)


def make_file(owner: str, content: bytes | None = None, **values: Any) -> Any:
    """Create a file record; with ``content`` store its bytes too."""
    from windlass.files.api import Blob, FileAsset
    from windlass.storage.registry import store

    if content is not None:
        key = f"blobs/{uuid.uuid4()}"
        store().put(key, io.BytesIO(content), len(content))
        values["blob"] = Blob.objects.create(owner=owner, store=store().name, key=key, size=len(content))
        values["size"] = len(content)
    defaults = {"original_filename": "a.txt", "size": 3, "profile": "default"}
    return FileAsset.objects.create(owner=owner, **(defaults | values))
