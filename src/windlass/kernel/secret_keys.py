"""Encryption keys of 32 random bytes, as text for settings."""

from __future__ import annotations

import base64
import secrets

LENGTH = 32


def generate() -> str:
    return base64.b64encode(secrets.token_bytes(LENGTH)).decode()


def parse(text: str) -> bytes:
    """The key in ``text``: base64 (either alphabet, padded or not) or hex.

    Raises ValueError, whose text does not repeat the key.
    """
    text = text.strip()
    try:
        if len(text) == 2 * LENGTH:
            return bytes.fromhex(text)
        key = base64.b64decode(text.replace("-", "+").replace("_", "/").rstrip("=") + "=", validate=True)
    except ValueError:
        key = b""
    if len(key) != LENGTH:
        raise ValueError("it is not 32 bytes in base64 or hex; `windlass encryption-key` makes one")
    return key
