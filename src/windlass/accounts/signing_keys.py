"""Keys that are derived from Django's SECRET_KEY, one for each purpose, and from its previous values
(SECRET_KEY_FALLBACKS).

The first key signs. All of them verify, so that changing SECRET_KEY ends nothing while the old one is a fallback.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac


def derived_keys(purpose: str) -> list[bytes]:
    """32 bytes each, the current one first."""
    return [salted_hmac(purpose, "key", secret, algorithm="sha256").digest() for secret in _secrets()]


def signature(purpose: str, text: str) -> str:
    """Hexadecimal, by the current key."""
    return _signature(purpose, text, settings.SECRET_KEY)


def is_signature(purpose: str, text: str, given: str) -> bool:
    """Whether ``given`` is the signature of this text by any of the keys."""
    return any(constant_time_compare(given, _signature(purpose, text, secret)) for secret in _secrets())


def _secrets() -> list[str | bytes]:
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _signature(purpose: str, text: str, secret: str | bytes) -> str:
    return salted_hmac(purpose, text, secret, algorithm="sha256").hexdigest()
