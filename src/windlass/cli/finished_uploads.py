"""Which files of an interrupted ``windlass upload`` have been sent, so that the same command does not repeat them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from windlass.cli.upload_paths import Item

#: Files older than this are deleted: whoever gives the same command then means a new upload.
KEEP_SECONDS = 3 * 24 * 3600


class FinishedUploads:
    """The ids of uploaded files by path, size and modification time, as JSON lines. ``command`` identifies it.

    Nothing here raises OSError: without stored state the command sends everything.
    """

    def __init__(self, directory: Path, command: Mapping[str, Any]) -> None:
        text = json.dumps(command, sort_keys=True)
        self._directory = directory / "commands"
        self._path = self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
        self._ids: dict[tuple[Any, ...], str] = {}

    def load(self) -> None:
        self._delete_old_files()
        with suppress(OSError):
            for line in self._path.read_text().splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may have been cut off
                    *key, file_id = json.loads(line)
                    self._ids[tuple(key)] = file_id

    def file_id(self, item: Item) -> str | None:
        return self._ids.get(_key(item))

    def add(self, item: Item, file_id: str) -> None:
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
                file.write(json.dumps([*_key(item), file_id]) + "\n")

    def delete(self) -> None:
        """Forget the command: it has sent everything."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _delete_old_files(self) -> None:
        oldest = time.time() - KEEP_SECONDS
        with suppress(OSError):
            for entry in os.scandir(self._directory):
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry)


def _key(item: Item) -> tuple[str, int, int]:
    return str(item.path.absolute()), item.size, item.modified_ns
