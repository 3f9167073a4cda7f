"""What is noted of an archive's entries, whatever the archive's format."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Entries that are looked at; of an archive with more, what is said holds for these. One more than a profile may
#: allow, so that its limit is seen to be broken.
MOST_ENTRIES = 100_001
#: Bytes of the shortest archive: what has fewer is none.
SHORTEST = 18
#: The largest figure that every reader of JSON takes for what it is.
MOST_SAID = 2**53 - 1
#: Below this many unpacked bytes no ratio is too high: a small file of one letter is no bomb.
RATIO_COUNTS_FROM = 10 * 1024 * 1024

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
    archive, ``counted`` by unpacking, or ``at least`` where counting was ended.

    ``damaged``, ``unmeasured`` and ``contradiction`` say what is wrong with it, each as a part of a sentence; they are
    empty where nothing is. ``inner_entries`` and ``inner_unpacked`` are sums over the archives in it, at every depth.
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
        """False, and nothing is added, where enough has been seen."""
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

    @property
    def all_unpacked(self) -> int:
        return self.unpacked + self.inner_unpacked

    def facts(self) -> dict[str, Any]:
        ratio = self.all_unpacked / max(self.packed, 1)
        up = math.ceil(100 * ratio) / 100 if self.sizes == "at least" else round(ratio, 2)
        found: dict[str, Any] = {
            "unpacked_size": min(self.unpacked, MOST_SAID),
            "unpacked_size_is": self.sizes,
            "archive_ratio": min(up, 1e15),
            "encrypted": self.encrypted,
            "largest_entry": min(self.largest, MOST_SAID),
        }
        if self.has_trailing:
            found["trailing_data"] = True
        if self.inner_unpacked or self.inner_entries:
            found["inner_unpacked_size"] = min(self.inner_unpacked, MOST_SAID)
            found["inner_entries"] = self.inner_entries
        wrong = {"damaged": self.damaged, "not_measured": self.unmeasured, "contradiction": self.contradiction}
        found |= {f"archive_{name}": said for name, said in wrong.items() if said}
        if self.listed:
            twice = sum(count - 1 for count in self._names.values())
            found |= {
                "entries": min(self.entries, MOST_SAID),
                "unsafe_names": self.unsafe,
                "nested_archives": self.nested,
                "overlapping_entries": self.overlapping,
                "duplicate_names": twice,
            }
        return found
