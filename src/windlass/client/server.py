"""The server's URLs, and the rule which requests carry the token."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from windlass import __version__

USER_AGENT = f"windlass/{__version__} Python/{platform.python_version()}"


class Server:
    """A base URL, which may have a path, and its token. Raises ValueError if either is invalid."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the address of a server: it begins with http:// or https://.")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("The token has characters that no token has; is there a line break in it?")
        self.base = url.rstrip("/")
        self._origin = _origin(url)
        self._token = token

    def url(self, *segments: str) -> str:
        return "/".join([self.base, *(quote(segment, safe="") for segment in segments), ""])

    def resolve(self, reference: str, base: str) -> str:
        """Return the absolute URL of a link in the response to ``base``."""
        return urljoin(base, reference)

    def headers(self, url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the headers of a request. The token goes to this server only: a link may lead to another origin."""
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **(extra or {})}
        if self._token and _origin(url) == self._origin:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
