"""Which uploads were begun and not ended, kept between two runs of a program.

One small file for each, so that programs which upload at the same time need no lock. It holds the upload's URL, which
may carry a right (a grant), so only its owner can read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The server has forgotten an upload long before.
KEEP_SECONDS = 3 * 24 * 3600


def state_directory() -> Path:
    """Where a user's programs keep what they know: the XDG rules, or macOS' own place."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "windlass"
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state") / "windlass"


class Slot:
    """The place of one upload. Everything here blocks; nothing raises: without it an upload only cannot resume."""

    def recall(self) -> str | None:
        """The URL of the upload, where one is known."""
        return None

    def remember(self, url: str) -> None:
        """Keep the URL, and note that the upload lives."""

    def forget(self) -> None:
        """The upload has ended."""


class FileSlot(Slot):
    """A slot that is a file, replaced as a whole."""

    def __init__(self, directory: Path, described: Mapping[str, Any]) -> None:
        text = json.dumps(described, sort_keys=True)
        self._described = described
        self._directory = directory / "uploads"
        self._path = self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def recall(self) -> str | None:
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        url = kept.get("url") if isinstance(kept, dict) else None
        return url if isinstance(url, str) else None

    def remember(self, url: str) -> None:
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prune()
            handle, temporary = tempfile.mkstemp(dir=self._directory)  # made with mode 0600
            with os.fdopen(handle, "w") as file:
                json.dump({"url": url, **self._described}, file)
            os.replace(temporary, self._path)

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _prune(self) -> None:
        oldest = time.time() - KEEP_SECONDS
        for entry in os.scandir(self._directory):
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry)
