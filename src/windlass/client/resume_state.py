"""The URLs of unfinished uploads, stored between two runs of a program.

There is one small file for each upload, so programs that upload at the same time need no lock. The upload's URL may
carry a grant, so only the file's owner can read it.
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

#: Files older than this are deleted. The server's uploads expire long before.
KEEP_SECONDS = 3 * 24 * 3600


def state_directory() -> Path:
    """Return the user's state directory: by the XDG rules, on macOS Application Support."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "windlass"
    configured = os.environ.get("XDG_STATE_HOME", "")
    return (Path(configured) if os.path.isabs(configured) else Path.home() / ".local" / "state") / "windlass"


class ResumeState:
    """The stored URL of one upload; this base class stores nothing.

    Every method may block and none raises: without stored state an upload merely cannot resume.
    """

    def load_url(self) -> str | None:
        """Return the upload's URL, if one is stored."""
        return None

    def save_url(self, url: str) -> None:
        """Store the URL and renew its age."""

    def delete(self) -> None:
        """Forget the upload: it has ended."""


class ResumeFile(ResumeState):
    """Stores the URL in a file that is replaced as a whole. ``upload_key`` identifies the upload."""

    def __init__(self, directory: Path, upload_key: Mapping[str, Any]) -> None:
        text = json.dumps(upload_key, sort_keys=True)
        self._upload_key = upload_key
        self._directory = directory / "uploads"
        self._path = self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def load_url(self) -> str | None:
        try:
            stored = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        url = stored.get("url") if isinstance(stored, dict) else None
        return url if isinstance(url, str) else None

    def save_url(self, url: str) -> None:
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._delete_old_files()
            descriptor, temporary = tempfile.mkstemp(dir=self._directory)  # created with mode 0600
            with os.fdopen(descriptor, "w") as file:
                json.dump({"url": url, **self._upload_key}, file)
            os.replace(temporary, self._path)

    def delete(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _delete_old_files(self) -> None:
        oldest = time.time() - KEEP_SECONDS
        for entry in os.scandir(self._directory):
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry)
