"""URLs that webhooks may be sent to. Nothing in the network of this server can be reached by naming it in a URL.

A URL is checked when an endpoint is saved, and its addresses again at each connection: whoever owns the name may let it
point to another address in the meantime (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from windlass.kernel.network_addresses import is_in_networks, is_public

MAX_URL_LENGTH = 2048
#: First part of the names of circuit breakers.
BREAKER_PREFIX = "webhook."
#: The length of ``CircuitBreaker.name``.
_MAX_BREAKER_NAME = 100

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Printable ASCII without the characters that no URL contains.
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9.])?|[0-9a-f:.]*:[0-9a-f:.]*")


class TargetRefused(Exception):
    """Webhooks may not be sent to this URL. The message says why and what is allowed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. ``host``: in lower case, IPv6 without brackets. ``resource``: path and query."""

    scheme: str
    host: str
    port: int
    resource: str

    @property
    def authority(self) -> str:
        """Host and port as in a ``Host`` field: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def breaker_name(self) -> str:
        """Name of the circuit breaker of this host and port, whatever the path."""
        name = BREAKER_PREFIX + self.authority
        if len(name) <= _MAX_BREAKER_NAME:
            return name
        return name[: _MAX_BREAKER_NAME - 17] + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def parse_target(url: str) -> Target:
    """Raises TargetRefused."""
    if len(url) > MAX_URL_LENGTH:
        raise TargetRefused(f"The URL has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed.")
    if not _URL.fullmatch(url):
        raise TargetRefused(
            "The URL contains a character that is not allowed: percent-encode it in the path, and write the host name "
            "in its ASCII form (xn--…)."
        )
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise TargetRefused("The URL cannot be read: its host or its port is malformed.") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise TargetRefused("The URL must begin with https://.")
    if "@" in parts.netloc:
        raise TargetRefused(
            "The URL must not contain a user name or password: deliveries are authenticated by signature."
        )
    if "#" in url:
        raise TargetRefused("The URL must not have a fragment (#…), because it is not sent.")
    if not _HOST.fullmatch(host) or len(host) > 253 or port == 0:
        raise TargetRefused("The URL must name a host, such as https://example.org/webhooks.")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme, host, port or _DEFAULT_PORTS[scheme], resource)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, each once, in the resolver's order. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def require_permitted(addresses: Iterable[str], networks: Collection[str], *, encrypted: bool) -> None:
    """Raise TargetRefused unless webhooks may be sent to every one of the addresses of a host.

    ``networks``: those of WEBHOOK_ALLOWED_NETWORKS, whose addresses are permitted in any case. ``encrypted``: whether
    the connection uses TLS; without it only those are. The message does not name the address: it may be a secret of
    this server's network.
    """
    others = [address for address in addresses if not is_in_networks(address, networks)]
    if not all(map(is_public, others)):
        raise TargetRefused(
            "The host of the URL has an address that is not public. WEBHOOK_ALLOWED_NETWORKS names the private "
            "networks that webhooks may be sent to."
        )
    if others and not encrypted:
        raise TargetRefused(
            "The URL must begin with https://. Plain http:// is allowed only to addresses in WEBHOOK_ALLOWED_NETWORKS."
        )


def check_target(url: str, networks: Collection[str]) -> Target:
    """Parse the URL, look up its host, and check its addresses. Blocks. Raises TargetRefused."""
    target = parse_target(url)
    try:
        addresses = resolve(target.host, target.port)
    except (OSError, UnicodeError):
        raise TargetRefused("The host of the URL cannot be found: its name has no address.") from None
    require_permitted(addresses, networks, encrypted=target.scheme == "https")
    return target
