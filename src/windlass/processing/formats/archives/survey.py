"""The facts of an archive, summed over its entries, whatever its format."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Entries that are read of one archive; its facts are sums over these. One more than a profile may allow, so that a
#: larger archive breaks the profile's limit.
MOST_ENTRIES = 100_001
#: Bytes of the shortest archive.
SHORTEST = 18
#: The largest integer that every JSON parser reads exactly.
LARGEST_INTEGER = 2**53 - 1
#: Below this many unpacked bytes no ratio is too high: a small file of one repeated letter is no bomb.
RATIO_CHECKED_FROM = 10 * 1024 * 1024

_DRIVE = re.compile(r"[A-Za-z]:")
_ARCHIVE = re.compile(r"\.(zip|jar|apk|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar|cab|iso)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """``size``: unpacked bytes. ``target``: the path that a link points to, if it is known."""

    name: str
    size: int
    encrypted: bool = False
    is_directory: bool = False
    is_link: bool = False
    target: str | None = None
    is_device: bool = False

    @property
    def unsafe(self) -> bool:
        """Whether unpacking it could write outside the directory it is unpacked into."""
        if self.is_link and (self.target is None or leaves_directory(self.target)):
            return True
        return self.is_device or leaves_directory(self.name)


def leaves_directory(name: str) -> bool:
    """Whether a path is absolute or has ``..`` in it."""
    return name.startswith(("/", "\\")) or bool(_DRIVE.match(name)) or ".." in name.replace("\\", "/").split("/")


@dataclass(slots=True)
class Survey:
    """Sums over the entries read so far.

    ``packed``: bytes of the file. ``sizes``: the source of the unpacked size: ``declared`` by the archive, ``counted``
    by unpacking, or ``at least`` where unpacking stopped at the limit. ``damaged``, ``unmeasured`` and
    ``contradiction``: what is wrong with the archive, as part of a sentence; empty where nothing is.
    ``inner_entries`` and ``inner_unpacked``: sums over the archives in it, at every depth. ``cut``: it has more entries
    than are read. ``listed``: it has entries, rather than being compressed as a whole.
    """

    packed: int
    sizes: str = "declared"
    entries: int = 0
    unpacked: int = 0
    encrypted: bool = False
    unsafe: int = 0
    nested: int = 0
    overlapping: int = 0
    cut: bool = False
    listed: bool = True
    damaged: str = ""
    unmeasured: str = ""
    contradiction: str = ""
    inner_entries: int = 0
    inner_unpacked: int = 0
    largest: int = 0
    has_trailing: bool = False
    _names: Counter[int] = field(default_factory=Counter)

    def add(self, entry: Entry) -> bool:
        """Add an entry. Returns False, and adds nothing, once MOST_ENTRIES are there."""
        if self.entries >= MOST_ENTRIES:
            self.cut = True
            return False
        self.entries += 1
        self.unpacked += entry.size
        self.largest = max(self.largest, entry.size)
        self.encrypted |= entry.encrypted
        self.unsafe += entry.unsafe
        self.nested += not entry.is_directory and bool(_ARCHIVE.search(entry.name))
        self._names[hash(entry.name)] += 1
        return True

    def merge(self, other: Survey) -> None:
        """Take the larger of each figure of a survey of the same bytes as another format."""
        if other.all_unpacked > self.all_unpacked:
            self.unpacked, self.inner_unpacked, self.sizes = other.unpacked, other.inner_unpacked, other.sizes
        for name in ("entries", "largest", "inner_entries", "unsafe", "nested", "overlapping"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.encrypted |= other.encrypted
        self.listed |= other.listed
        self.contradiction = self.contradiction or other.contradiction
        self.unmeasured = self.unmeasured or other.unmeasured
        self._names |= other._names

    @property
    def all_unpacked(self) -> int:
        return self.unpacked + self.inner_unpacked

    def facts(self) -> dict[str, Any]:
        ratio = self.all_unpacked / max(self.packed, 1)
        rounded = math.ceil(100 * ratio) / 100 if self.sizes == "at least" else round(ratio, 2)
        facts: dict[str, Any] = {
            "unpacked_size": min(self.unpacked, LARGEST_INTEGER),
            "unpacked_size_is": self.sizes,
            "archive_ratio": min(rounded, 1e15),
            "encrypted": self.encrypted,
            "largest_entry": min(self.largest, LARGEST_INTEGER),
        }
        if self.has_trailing:
            facts["trailing_data"] = True
        if self.inner_unpacked or self.inner_entries:
            facts["inner_unpacked_size"] = min(self.inner_unpacked, LARGEST_INTEGER)
            facts["inner_entries"] = self.inner_entries
        faults = {"damaged": self.damaged, "not_measured": self.unmeasured, "contradiction": self.contradiction}
        facts |= {f"archive_{name}": reason for name, reason in faults.items() if reason}
        if self.listed:
            duplicates = sum(count - 1 for count in self._names.values())
            facts |= {
                "entries": min(self.entries, LARGEST_INTEGER),
                "unsafe_names": self.unsafe,
                "nested_archives": self.nested,
                "overlapping_entries": self.overlapping,
                "duplicate_names": duplicates,
            }
        return facts
