"""The one-time key of the link with which the first account of a server is made: a file in the home directory.

The file holds the key's SHA-256 and the moment until which it is valid, and is readable by the server's user only.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from pathlib import Path

_FILE = "first-run.json"
LIFETIME_SECONDS = 24 * 3600


def create(home: Path) -> str:
    """Return a new key. It replaces the one of an earlier start."""
    key = secrets.token_urlsafe(32)
    _write(home, json.dumps({"sha256": _digest(key), "until": time.time() + LIFETIME_SECONDS}))
    return key


def exists(home: Path) -> bool:
    """Whether there is a key that has been neither used nor withdrawn."""
    return (home / _FILE).exists()


def is_valid(home: Path, key: str) -> bool:
    try:
        document = json.loads((home / _FILE).read_text())
        until, digest = float(document["until"]), str(document["sha256"])
    except (OSError, ValueError, KeyError):
        return False
    return time.time() < until and secrets.compare_digest(digest, _digest(key))


def withdraw(home: Path) -> bool:
    """Make the key invalid. Of several callers, the one that gets True has withdrawn it."""
    try:
        (home / _FILE).unlink()
    except FileNotFoundError:
        return False
    return True


def _write(home: Path, text: str) -> None:
    temporary = home / f"{_FILE}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(home / _FILE)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
