"""What a trusted proxy says of the request that it passed on: who asked, how, of which host, and below which path.

``X-Forwarded-For, -Proto, -Host, -Prefix``, or ``Forwarded`` (RFC 7239) where there is none of them. Anybody may send
these fields, so they count only as far as an unbroken chain of TRUSTED_PROXIES reaches, looked at from this end.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from windlass import conf
from windlass.http.middleware import Scope, header
from windlass.protocols import parameters

_HOST = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_SCHEMES = {
    ("http", "http"): "http",
    ("https", "http"): "https",
    ("http", "websocket"): "ws",
    ("https", "websocket"): "wss",
}
_DONE = "windlass.forwarded"

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """Of the hop that the outermost trusted proxy saw."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


def forwarded(scope: Scope) -> Scope:
    """The scope as the client's own request would have made it; the same one where no trusted proxy sent it."""
    trusted = conf.get().trusted_proxies
    client = scope.get("client")
    if not trusted or _DONE in scope or client is None or not _is_trusted(client[0], trusted):
        return scope
    return _as_said(scope, _said(scope, trusted))


def is_trusted_proxy(address: str) -> bool:
    """Whether TRUSTED_PROXIES has this address."""
    trusted = conf.get().trusted_proxies
    return bool(trusted) and _is_trusted(address, trusted)


def base_of(scope: Scope) -> str:
    """``https://host`` where a proxy told one of the two, else nothing: a path says enough."""
    return str(scope.get("windlass.base", ""))


def _as_said(scope: Scope, said: _Said) -> Scope:
    seen: Scope = {**scope, _DONE: True}
    if said.client is not None:
        seen["client"] = (said.client, 0)
    if said.scheme is not None:
        seen["scheme"] = _SCHEMES[said.scheme, scope["type"]]
    if said.host is not None:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        seen["headers"] = [(b"host", said.host.encode("ascii")), *others]
    if said.prefix is not None:
        seen["root_path"] = said.prefix + scope.get("root_path", "")
        seen["path"] = said.prefix + scope["path"]
        seen["raw_path"] = None
    if said.scheme is not None or said.host is not None:
        seen["windlass.base"] = f"{seen['scheme']}://{header(seen, b'host') or ''}"
    return seen


def _said(scope: Scope, trusted: tuple[str, ...]) -> _Said:
    addresses = _list(scope, b"x-forwarded-for")
    schemes, hosts = _list(scope, b"x-forwarded-proto"), _list(scope, b"x-forwarded-host")
    prefix = (header(scope, b"x-forwarded-prefix") or "").rstrip("/")
    if not (addresses or schemes or hosts):
        elements = [parameters.parse(f";{element}")[1] for element in _list(scope, b"forwarded")]
        addresses = [element.get("for", "") for element in elements]
        schemes = [element.get("proto", "") for element in elements]
        hosts = [element.get("host", "") for element in elements]
    hops = _hops(addresses, trusted)
    scheme, host = _at(schemes, hops).lower(), _at(hosts, hops)
    return _Said(
        client=_address(_at(addresses, hops)),
        scheme=scheme if scheme in ("http", "https") else None,
        host=host if _HOST.fullmatch(host) else None,
        prefix=prefix if _PREFIX.fullmatch(prefix) else None,
    )


def _hops(addresses: Sequence[str], trusted: tuple[str, ...]) -> int:
    """How many entries at the end were written by trusted proxies: the nearest one's, and each before it that was
    written by an address which is trusted too."""
    hops = 1
    while hops < len(addresses) and _is_trusted(addresses[-hops], trusted):
        hops += 1
    return hops


def _at(values: Sequence[str], hops: int) -> str:
    """A proxy that sets a single value, instead of adding to a list, speaks for all."""
    return values[-min(hops, len(values))] if values else ""


def _list(scope: Scope, name: bytes) -> list[str]:
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for part in ",".join(found).split(",") if part.strip()]


def _is_trusted(text: str, trusted: tuple[str, ...]) -> bool:
    if "*" in trusted:
        return True
    address = _address(text)
    return address is not None and any(ipaddress.ip_address(address) in network for network in _networks(trusted))


def _address(text: str) -> str | None:
    """The IP address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``, else None."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?", text)
    bare = bracketed[1] if bracketed else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


@lru_cache(maxsize=4)
def _networks(trusted: tuple[str, ...]) -> Networks:
    return tuple(ipaddress.ip_network(each, strict=False) for each in trusted)
