"""Signed, expiring download URLs: the signature is the credential, for one path and until one moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.utils.crypto import constant_time_compare, salted_hmac

SALT = "windlass.download"


def sign(path: str, expires_in: int) -> tuple[str, datetime]:
    """``path`` with its signature as query, and when it stops working. ``expires_in`` is seconds."""
    expires = int(time.time()) + expires_in
    query = urlencode({"expires": expires, "signature": _signature(path, expires)})
    return f"{path}?{query}", datetime.fromtimestamp(expires, UTC)


def verify(path: str, expires: str | None, signature: str | None) -> bool:
    """Whether this query is one of ours for this path, and its time has not passed."""
    if not expires or not signature or not expires.isascii() or not expires.isdigit() or len(expires) > 12:
        return False
    return constant_time_compare(signature, _signature(path, int(expires))) and int(expires) > time.time()


def _signature(path: str, expires: int) -> str:
    return salted_hmac(SALT, f"{path}\n{expires}", algorithm="sha256").hexdigest()
