"""What is noted of an archive's entries, whatever the archive's format."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Entries that are looked at; of an archive with more, what is said holds for these. One more than a profile may
#: allow, so that its limit is seen to be broken.
MOST_ENTRIES = 100_001

_DRIVE = re.compile(r"[A-Za-z]:")
_ARCHIVE = re.compile(r"\.(zip|jar|apk|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar|cab|iso)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """``size``: unpacked. ``target``: where a link leads, if that is known."""

    name: str
    size: int
    encrypted: bool = False
    is_directory: bool = False
    is_link: bool = False
    target: str | None = None
    is_device: bool = False

    @property
    def unsafe(self) -> bool:
        """Whether unpacking it could reach out of the directory it is unpacked into."""
        if self.is_link and (self.target is None or leaves(self.target)):
            return True
        return self.is_device or leaves(self.name)


def leaves(name: str) -> bool:
    """Whether a path is absolute or goes up."""
    return name.startswith(("/", "\\")) or bool(_DRIVE.match(name)) or ".." in name.replace("\\", "/").split("/")


@dataclass(slots=True)
class Survey:
    """Sums over the entries seen so far. ``sizes`` says where the unpacked size comes from: ``declared`` by the
    archive, ``counted`` by unpacking, or ``at least`` where counting was ended."""

    packed: int
    sizes: str
    entries: int = 0
    unpacked: int = 0
    encrypted: bool = False
    unsafe: int = 0
    nested: int = 0
    overlapping: int = 0
    cut: bool = False
    listed: bool = True
    _names: Counter[int] = field(default_factory=Counter)

    def add(self, entry: Entry) -> bool:
        """False, and nothing is added, where enough has been seen."""
        if self.entries >= MOST_ENTRIES:
            self.cut = True
            return False
        self.entries += 1
        self.unpacked += entry.size
        self.encrypted |= entry.encrypted
        self.unsafe += entry.unsafe
        self.nested += not entry.is_directory and bool(_ARCHIVE.search(entry.name))
        self._names[hash(entry.name)] += 1
        return True

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "unpacked_size": min(self.unpacked, 2**53 - 1),
            "unpacked_size_is": self.sizes,
            "archive_ratio": min(round(self.unpacked / max(self.packed, 1), 2), 1e15),
        }
        if self.listed:
            twice = sum(count - 1 for count in self._names.values())
            found |= {
                "entries": self.entries,
                "encrypted": self.encrypted,
                "unsafe_names": self.unsafe,
                "nested_archives": self.nested,
                "overlapping_entries": self.overlapping,
                "duplicate_names": twice,
            }
        return found
