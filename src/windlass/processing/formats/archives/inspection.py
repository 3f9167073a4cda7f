"""What an archive of any format holds and expands to: its entries, and the limits on counting them (zip bombs)."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.archives.decompressors import NotMeasured
from windlass.processing.formats.archives.entry_paths import UnpackedLinks, leaves_directory
from windlass.processing.formats.archives.unpacking import UnpackMeter

#: Entries that are read of one archive; its facts are sums over these. One more than a profile may allow, so that a
#: larger archive breaks the profile's limit.
MOST_ENTRIES = 100_001
#: Entries of the archive itself that are kept to be listed.
MOST_LISTED = 1000
#: Depth to which nested archives are read. Software packed with all its dependencies is four or five deep.
MOST_DEPTH = 12
#: Entries of the archives in an archive, in all.
MOST_INNER_ENTRIES = 1_000_000
#: Bytes of the shortest archive.
SHORTEST = 18
#: The largest integer that every JSON parser reads exactly.
LARGEST_INTEGER = 2**53 - 1
#: Below this many unpacked bytes no ratio is too high: a small file of one repeated letter is no bomb.
RATIO_CHECKED_FROM = 10 * 1024 * 1024

_READ_AT_RANDOM = (archive_types.ZIP, archive_types.SEVEN_ZIP, archive_types.RAR, archive_types.CAB, archive_types.ISO)
_ARCHIVE = re.compile(r"\.(zip|jar|apk|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar|cab|iso)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """``size``: unpacked bytes. ``target``: the path that a link points to, if it is known; of a hard link, counted
    from the root of the archive."""

    name: str
    size: int
    encrypted: bool = False
    is_directory: bool = False
    is_link: bool = False
    is_hard_link: bool = False
    target: str | None = None
    is_device: bool = False


@dataclass(slots=True)
class Inspection:
    """Sums over the entries read so far.

    ``packed``: bytes of the file. ``sizes``: the source of the unpacked size: ``declared`` by the archive, ``counted``
    by unpacking, or ``at least`` where unpacking stopped at the limit. ``damaged``, ``unmeasured`` and
    ``contradiction``: what is wrong with the archive, as part of a sentence; empty where nothing is.
    ``inner_entries`` and ``inner_unpacked``: sums over the archives in it, at every depth. ``cut``: it has more entries
    than are read. ``listed``: it has entries, rather than being compressed as a whole. ``first_entries``: the first of
    them, at most MOST_LISTED.
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
    first_entries: list[Entry] = field(default_factory=list)
    _names: Counter[int] = field(default_factory=Counter)
    _links: UnpackedLinks = field(default_factory=UnpackedLinks)

    def add(self, entry: Entry) -> bool:
        """Add an entry. Returns False, and adds nothing, once MOST_ENTRIES are there."""
        if self.entries >= MOST_ENTRIES:
            self.cut = True
            return False
        self.entries += 1
        self.unpacked += entry.size
        self.largest = max(self.largest, entry.size)
        self.encrypted |= entry.encrypted
        self.unsafe += self._is_unsafe(entry)
        self.nested += not entry.is_directory and bool(_ARCHIVE.search(entry.name))
        self._names[hash(entry.name)] += 1
        if self.entries <= MOST_LISTED:
            self.first_entries.append(entry)
        return True

    def _is_unsafe(self, entry: Entry) -> bool:
        """Whether unpacking the entry could write outside the directory that the archive is unpacked into."""
        if entry.is_link and not self._links.add_symlink(entry.name, entry.target):
            return True
        if entry.is_hard_link and not self._links.add_hard_link(entry.name, entry.target):
            return True
        return entry.is_device or leaves_directory(entry.name)

    def mark_locked(self) -> None:
        self.encrypted, self.unmeasured = True, "its table of contents is locked with a password"

    def merge(self, other: Inspection) -> None:
        """Take the larger of each figure of an inspection of the same bytes as another format."""
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


FormatReader = Callable[[BinaryIO, Inspection, "Inspector"], None]


@dataclass(slots=True)
class Inspector:
    """Inspects one file. ``readers``: of each type of archive. ``meter`` counts over every depth; what nested archives
    hold is added to ``outer``."""

    readers: Mapping[str, FormatReader]
    meter: UnpackMeter
    outer: Inspection
    depth: int = 0

    def inspect_nested(self, content: BinaryIO) -> None:
        """Inspect an entry's content if it is an archive by its structure; a compressed one is read whole.

        A damaged one counts as far as it can be read. Raises LimitPassed, NotMeasured.
        """
        if not self.meter.measures:
            return
        kinds = archive_types.types_by_head(content)
        for kind in kinds:
            if kind != archive_types.ZIP:
                self._inspect_inner(content, kind)
        if archive_types.ZIP in kinds or archive_types.has_zip_entries(content):
            self._inspect_inner(content, archive_types.ZIP)

    def _inspect_inner(self, content: BinaryIO, kind: str) -> None:
        if self.depth >= MOST_DEPTH:
            raise NotMeasured(f"archives in it are more than {MOST_DEPTH} deep")
        inner, bytes_held = Inspection(packed=0), 0
        if kind in _READ_AT_RANDOM and getattr(content, "seeks_back_slowly", False):
            content, bytes_held = self._in_memory(content)
        try:
            self.readers[kind](content, inner, Inspector(self.readers, self.meter, self.outer, self.depth + 1))
        except Unreadable:
            pass
        finally:
            self.meter.memory += bytes_held
            self.outer.inner_entries += inner.entries
            self.outer.largest = max(self.outer.largest, inner.largest)
            self.outer.inner_unpacked = min(self.outer.inner_unpacked + inner.unpacked, LARGEST_INTEGER)
        if self.outer.inner_entries > MOST_INNER_ENTRIES:
            raise NotMeasured(f"the archives in it have more than {MOST_INNER_ENTRIES:,} entries")

    def _in_memory(self, content: BinaryIO) -> tuple[BinaryIO, int]:
        """The content in memory and its size; unchanged, and 0, where the memory left is too small."""
        size = content.seek(0, 2)
        if size > self.meter.memory:
            return content, 0
        self.meter.memory -= size
        content.seek(0)
        return io.BytesIO(content.read(size)), size
