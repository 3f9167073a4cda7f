"""The fields ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers, as of version 08).

They tell a client its limits, and how much of the one that is closest remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def fields(
    policies: Sequence[tuple[str, int, int]], tightest: str, remaining: int, reset: float
) -> list[tuple[bytes, bytes]]:
    """``policies``: name, limit and seconds of each window. ``remaining`` calls and ``reset`` seconds are those of the
    ``tightest`` one, which is named."""
    policy = ", ".join(f'"{name}";q={limit};w={seconds}' for name, limit, seconds in policies)
    current = f'"{tightest}";r={remaining};t={ceil(reset)}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", current.encode())]
