"""The server's URLs, and the requests to it: which of them carry the caller's token."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from urllib.parse import quote, urljoin, urlsplit

from windlass import __version__
from windlass.client.credentials import Token, credential_of
from windlass.client.effects import Flow, Outcome, Request, Response, Stream, one_at_a_time, send

USER_AGENT = f"windlass/{__version__} Python/{platform.python_version()}"


class Server:
    """A base URL, which may have a path, and a credential. Raises ValueError if either is invalid."""

    def __init__(self, url: str, token: Token | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the address of a server: it begins with http:// or https://.")
        self.base = url.rstrip("/")
        self._origin = _origin(url)
        self._credential = credential_of(token, self.base)

    def url(self, *segments: str) -> str:
        return "/".join([self.base, *(quote(segment, safe="") for segment in segments), ""])

    def resolve(self, reference: str, base: str) -> str:
        """Return the absolute URL of a link in the response to ``base``."""
        return urljoin(base, reference)

    def send(self, request: Request) -> Flow[Outcome]:
        """Send a request that is no stream. The token goes to this server only: a link may lead to another origin.

        A request that is answered 401 is sent once more, if the credential can give another token.
        """
        return cast("Outcome", (yield from self._send(request)))

    def open(self, request: Request) -> Flow[Outcome | Stream]:
        """As ``send``, for a request whose response is read as a stream."""
        return (yield from self._send(request))

    def end_sign_in(self) -> Flow[None]:
        """End the sign-in that this client began, if it did."""
        yield from self._credential.end(self._send_anonymously)

    def _send(self, request: Request) -> Flow[Outcome | Stream]:
        if _origin(request.url) != self._origin:
            return (yield from send(_described(request)))
        credential = self._credential
        token = credential.current()
        if token is None and credential.can_renew():
            token = yield from one_at_a_time(credential.renew(None, self._send_anonymously))
        outcome = yield from send(_described(request, token))
        if isinstance(outcome, Response) and outcome.status == 401 and credential.can_renew():
            token = yield from one_at_a_time(credential.renew(token, self._send_anonymously))
            outcome = yield from send(_described(request, token))
        return outcome

    def _send_anonymously(self, request: Request) -> Flow[Outcome]:
        return cast("Outcome", (yield from send(_described(request))))


def _described(request: Request, token: str | None = None) -> Request:
    """The request with the headers that every request has."""
    headers: Mapping[str, str] = {"User-Agent": USER_AGENT, "Accept": "application/json", **request.headers}
    return replace(request, headers={**headers, "Authorization": f"Bearer {token}"} if token else headers)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
