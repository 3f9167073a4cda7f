"""Read the headers of trusted proxies: the client's address, scheme, host, port and path prefix.

They are ``X-Forwarded-For, -Proto, -Host, -Port, -Prefix``, or ``Forwarded`` (RFC 7239) where there is none of those.
Anybody may send them, so an entry counts only if an unbroken chain of TRUSTED_PROXIES reaches from it to this server.
Without addresses the chain cannot be followed: the first entry of a list counts, since the trusted proxy that sent it
would otherwise have replaced it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings as django_settings

from windlass import conf
from windlass.http.middleware import Scope, header
from windlass.kernel import urls
from windlass.protocols import header_parameters

_HOST = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_SCHEMES = {
    ("http", "http"): "http",
    ("https", "http"): "https",
    ("http", "websocket"): "ws",
    ("https", "websocket"): "wss",
}
_DONE = "windlass.forwarded"
_PROXIED = "windlass.proxied"
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


@dataclass(frozen=True, slots=True)
class _ClientHop:
    """The request as the outermost trusted proxy received it; None where it did not say."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    prefix: str | None = None


def as_client_sees(scope: Scope) -> Scope:
    """The scope with the values of trusted proxies and the prefix of the settings.

    That is ``ROOT_PATH`` where the ASGI server has no prefix; Django's ``FORCE_SCRIPT_NAME`` replaces any other.
    """
    if conf.get().root_path and not scope.get("root_path"):
        scope = _below(scope, conf.get().root_path)
    client_scope = forwarded(scope)
    forced = (django_settings.FORCE_SCRIPT_NAME or "").rstrip("/")
    return _below(client_scope, forced) if forced and client_scope.get("root_path") != forced else client_scope


def forwarded(scope: Scope) -> Scope:
    """The scope of the client's own request; ``scope`` itself where no trusted proxy sent it."""
    client = scope.get("client")
    if _DONE in scope or client is None or not is_trusted_proxy(client[0]):
        return scope
    return _with_hop(scope, _client_hop(scope))


def was_forwarded(scope: Scope) -> bool:
    """Whether a trusted proxy sent the request, whose scope ``forwarded`` returned."""
    return _DONE in scope


def is_trusted_proxy(text: str) -> bool:
    """Whether TRUSTED_PROXIES has the address in ``text``."""
    return _is_in(text, conf.get().trusted_proxies)


@lru_cache(maxsize=4096)
def _is_in(text: str, trusted: tuple[str, ...]) -> bool:
    if "*" in trusted:
        return True
    address = _address(text)
    return address is not None and any(ipaddress.ip_address(address) in network for network in _networks(trusted))


def base_of(scope: Scope) -> urls.UrlBase:
    """The base of URLs in replies to this request, whose scope ``forwarded`` returned."""
    host = header(scope, b"host") or ""
    proxied = bool(scope.get(_PROXIED))
    return urls.UrlBase(f"{scope['scheme']}://{host}" if host else "", scope.get("root_path", ""), proxied)


def path_of(scope: Scope) -> str:
    """The path below the prefix, by which requests are routed."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _below(scope: Scope, root: str) -> Scope:
    """The scope below the prefix ``root``, which a proxy may have removed from the path."""
    path = path_of(scope)
    full_path = path if path == root or path.startswith(f"{root}/") else root + path
    return {**scope, "root_path": root, "path": full_path, "raw_path": None}


def _with_hop(scope: Scope, hop: _ClientHop) -> Scope:
    client_scope: Scope = {**scope, _DONE: True}
    if hop.client is not None:
        client_scope["client"] = (hop.client, 0)
    if hop.scheme is not None:
        client_scope["scheme"] = _SCHEMES[hop.scheme, scope["type"]]
    host = _with_port(hop.host or header(scope, b"host") or "", hop.port, client_scope["scheme"])
    if hop.host is not None or hop.port is not None:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        client_scope["headers"] = [(b"host", host.encode("latin-1")), *others]
    if hop.prefix is not None:
        client_scope["root_path"] = hop.prefix + scope.get("root_path", "")
        client_scope["path"] = hop.prefix + scope["path"]
        client_scope["raw_path"] = None
    client_scope[_PROXIED] = (hop.scheme, hop.host, hop.port) != (None, None, None)
    return client_scope


def _with_port(host: str, port: str | None, scheme: str) -> str:
    """The host with the port, unless it has one or the port is the scheme's default."""
    if port is None or not host or re.search(r":\d+$", host) or port == _DEFAULT_PORTS.get(scheme):
        return host
    return f"{host}:{port}"


def _client_hop(scope: Scope) -> _ClientHop:
    addresses = _list(scope, b"x-forwarded-for")
    schemes, hosts = _list(scope, b"x-forwarded-proto"), _list(scope, b"x-forwarded-host")
    ports = _list(scope, b"x-forwarded-port")
    prefix = (header(scope, b"x-forwarded-prefix") or "").rstrip("/")
    if not (addresses or schemes or hosts or ports):
        elements = [header_parameters.parse(f";{element}")[1] for element in _list(scope, b"forwarded")]
        addresses = [element.get("for", "") for element in elements]
        schemes = [element.get("proto", "") for element in elements]
        hosts = [element.get("host", "") for element in elements]
    hops = _hops(addresses) if any(addresses) else max(len(schemes), len(hosts), len(ports), 1)
    scheme, host, port = _at(schemes, hops).lower(), _at(hosts, hops), _at(ports, hops)
    return _ClientHop(
        client=_address(_at(addresses, hops)),
        scheme=scheme if scheme in ("http", "https") else None,
        host=host if _HOST.fullmatch(host) else None,
        port=port if _PORT.fullmatch(port) else None,
        prefix=prefix if _PREFIX.fullmatch(prefix) else None,
    )


def _hops(addresses: Sequence[str]) -> int:
    """The number of entries at the end that trusted proxies wrote: the nearest proxy's, and each entry before it that
    a trusted address wrote."""
    hops = 1
    while hops < len(addresses) and is_trusted_proxy(addresses[-hops]):
        hops += 1
    return hops


def _at(values: Sequence[str], hops: int) -> str:
    """The entry of the client's hop. A proxy that sets a single value, instead of adding to a list, sets it for all."""
    return values[-min(hops, len(values))] if values else ""


def _list(scope: Scope, name: bytes) -> list[str]:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def _address(text: str) -> str | None:
    """The IP address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``, else None."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?", text)
    bare = bracketed[1] if bracketed else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


@lru_cache(maxsize=4)
def _networks(trusted: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(each, strict=False) for each in trusted)
