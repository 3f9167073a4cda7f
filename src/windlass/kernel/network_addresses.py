"""Which IP addresses are public: reachable on the internet, and not part of the network that this server runs in; and
which belong to one client.

``ipaddress.is_global`` alone is not enough: it depends on the Python version, counts site-local IPv6 addresses as
global, and does not look into addresses that contain an IPv4 address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: The well-known prefix of NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is reached.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Addresses that ``is_global`` accepts, in some or all versions of Python.
_NOT_PUBLIC = (
    ipaddress.ip_network("168.63.129.16/32"),  # services of Azure's host, such as its metadata
    ipaddress.ip_network("192.0.0.0/24"),  # IETF protocol assignments; Oracle Cloud's metadata
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays, deprecated
    ipaddress.ip_network("2001::/23"),  # IETF protocol assignments, with Teredo
    ipaddress.ip_network("2002::/16"),  # 6to4: contains an IPv4 address
    ipaddress.ip_network("3fff::/20"),  # documentation
    ipaddress.ip_network("5f00::/16"),  # segment routing
)

ANY = "*"


def reached_address(address: Address) -> Address:
    """The IPv4 address that a mapped or NAT64 IPv6 address leads to; else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(text: str) -> bool:
    """Whether a textual address is public. One with a zone (``fe80::1%eth0``) is not, and neither is other text."""
    try:
        address = reached_address(ipaddress.ip_address(text))
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in _GLOBAL_UNICAST):
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


@lru_cache(maxsize=4096)
def is_loopback(text: str) -> bool:
    """Whether a textual address is this machine's own, also as a mapped IPv6 address."""
    try:
        return reached_address(ipaddress.ip_address(text)).is_loopback
    except ValueError:
        return False


def is_in_networks(text: str, networks: Iterable[str]) -> bool:
    """Whether a textual address, or the one it leads to, is in one of the networks; ``*`` is any."""
    listed = list(networks)
    if ANY in listed:
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    parsed = [ipaddress.ip_network(each, strict=False) for each in listed]
    candidates = {address, reached_address(address)}
    return any(each in network for network in parsed for each in candidates if each.version == network.version)


@lru_cache(maxsize=4096)
def counting_key(text: str) -> str:
    """The address in ``text``, or its /64 network for IPv6, which is what one customer has; other text as it is."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
