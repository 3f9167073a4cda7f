"""What the clients of a chaos run were promised, and what they saw that breaks a promise."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The server acknowledged the bytes of ``upload`` below ``offset``, which have this SHA-256 (hex)."""

    upload: str
    offset: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AcknowledgedFile:
    """A file that the server acknowledged. ``poisoned``: its processing cannot succeed."""

    id: str
    sha256: str
    dialect: str
    poisoned: bool = False


@dataclass
class Ledger:
    """Shared by all clients; every method may be called from any thread.

    ``acknowledgements``: the last one of each upload in progress. ``files``: acknowledged and not yet verified.
    """

    acknowledgements: dict[str, Acknowledgement] = field(default_factory=dict)
    files: dict[str, AcknowledgedFile] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, upload: str, offset: int, sha256: str) -> None:
        """Bytes of an upload in progress were acknowledged."""
        with self._lock:
            before = self.acknowledgements.get(upload)
            self.acknowledgements[upload] = Acknowledgement(upload, offset, sha256)
            self.counts["acknowledgements"] += 1
            self.counts["acknowledged bytes"] += offset - (before.offset if before else 0)

    def forget_upload(self, upload: str) -> None:
        """The upload has become a file, or was refused for a reason that its client may be given."""
        with self._lock:
            self.acknowledgements.pop(upload, None)

    def acknowledge_file(self, file: AcknowledgedFile) -> None:
        with self._lock:
            self.files[file.id] = file
            self.counts[f"files by {file.dialect}"] += 1

    def verified(self, file: AcknowledgedFile) -> None:
        with self._lock:
            self.files.pop(file.id, None)
            self.counts["verified files"] += 1

    def violate(self, text: str) -> None:
        with self._lock:
            self.violations.append(text)

    def count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1
