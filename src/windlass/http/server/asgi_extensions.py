"""Interim responses (RFC 9110, 15.2), which ASGI has no message for: an extension of the scope says how to send one."""

from __future__ import annotations

from collections.abc import Mapping

from windlass.http.middleware import Scope

#: ``scope["extensions"][INFORM]["send"]`` is a coroutine function of a status and header fields.
INFORM = "windlass.http.response.informational"


async def inform(scope: Scope, status: int, headers: Mapping[str, str]) -> None:
    """Send one where the server can. Nothing happens where it cannot: no client may count on it."""
    extension = scope.get("extensions", {}).get(INFORM)
    if extension is not None:
        await extension["send"](status, headers)
