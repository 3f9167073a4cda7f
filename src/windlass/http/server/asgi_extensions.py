"""ASGI extensions of our server protocol: interim responses, and reading the rest of a body after an early reply."""

from __future__ import annotations

from collections.abc import Mapping

from windlass.http.middleware import Scope

#: ``scope["extensions"][INTERIM_RESPONSE]["send"]`` is a coroutine function of a status and header fields.
INTERIM_RESPONSE = "windlass.http.response.informational"
#: A server with this extension reads the rest of a body after a reply that came before its end.
DRAINS_BODY = "windlass.http.lingers"


async def send_interim_response(scope: Scope, status: int, headers: Mapping[str, str]) -> None:
    """Send an interim response (RFC 9110, 15.2), for which ASGI has no message. Does nothing where the server cannot:
    no client may rely on it."""
    extension = scope.get("extensions", {}).get(INTERIM_RESPONSE)
    if extension is not None:
        await extension["send"](status, headers)
