"""Structured fields (RFC 9651) of a request. A field whose value has another type counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import http_sf

from windlass.kernel.problem_types import BadRequest
from windlass.protocols.digests import Checksum
from windlass.protocols.intents import Head

#: RFC 9530 names of the supported algorithms, and the length of each digest (bytes). Others are ignored.
_DIGESTS = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}

_LARGEST = 999_999_999_999_999


def integer(head: Head, name: str) -> int | None:
    """Return a non-negative integer, or None."""
    value = _item(head, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def boolean(head: Head, name: str) -> bool | None:
    value = _item(head, name)
    return value if isinstance(value, bool) else None


def digests(head: Head, name: str) -> tuple[Checksum, ...]:
    """Return the supported digests of Content-Digest or Repr-Digest. Raises BadRequest for a malformed digest."""
    members = _parsed(head, name, "dictionary")
    checksums = []
    for key, value in members.items() if isinstance(members, dict) else ():
        algorithm, size = _DIGESTS.get(key, ("", 0))
        if not algorithm:
            continue
        digest = value[0] if isinstance(value, tuple) else None
        if not isinstance(digest, bytes) or len(digest) != size:
            raise BadRequest(f"{name} has a {key} that is not {size} bytes in base64 between colons.", field=name)
        checksums.append(Checksum(algorithm, digest))
    return tuple(checksums)


def dictionary(members: Mapping[str, int]) -> str:
    """Serialize a dictionary. Values beyond the largest integer of a structured field are clamped to it."""
    clamped: dict[str, Any] = {key: min(value, _LARGEST) for key, value in members.items()}
    return http_sf.ser(clamped)


def _item(head: Head, name: str) -> Any:
    parsed = _parsed(head, name, "item")
    return parsed[0] if isinstance(parsed, tuple) else None


def _parsed(head: Head, name: str, kind: str) -> Any:
    text = head.headers.get(name.lower())
    if text is None:
        return None
    try:
        return http_sf.parse(text.encode("ascii"), tltype=kind)
    except ValueError:  # StructuredFieldError is one, and so is text that is not ASCII
        return None
