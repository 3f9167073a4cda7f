"""The files that ``windlass upload`` sends: those that are named, and those in folders that match the patterns."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

#: Stands for standard input.
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Item:
    """One file to upload. ``relative_path`` begins with the name of the folder that it was found in."""

    path: Path
    size: int = 0
    modified_ns: int = 0
    relative_path: str | None = None


@dataclass(frozen=True, slots=True)
class Patterns:
    """Shell patterns for files in folders. Each is compared with the name and with the path below the folder."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def admit_file(self, relative: str) -> bool:
        return self.admit_folder(relative) and (not self.include or _matches(relative, self.include))

    def admit_folder(self, relative: str) -> bool:
        return not _matches(relative, self.exclude)


def items_of(paths: Sequence[Path], patterns: Patterns, on_skipped: Callable[[str], None]) -> Iterator[Item]:
    """Yield each file once, in the order of the paths and sorted within a folder.

    Symbolic links in folders are not followed. ``on_skipped`` is told of what is no regular file, and of what cannot
    be read. Raises OSError for a path that is named and cannot be read.
    """
    seen: set[Path] = set()
    for path in paths:
        found = _files_in(path, patterns, on_skipped) if path != STDIN and path.is_dir() else iter([_item(path)])
        for item in found:
            if item.path not in seen:
                seen.add(item.path)
                yield item


def _item(path: Path, relative: str | None = None) -> Item:
    if path == STDIN:
        return Item(STDIN)
    status = path.stat()
    return Item(path, status.st_size, status.st_mtime_ns, relative)


def _files_in(folder: Path, patterns: Patterns, on_skipped: Callable[[str], None]) -> Iterator[Item]:
    name = folder.resolve().name
    walk = os.walk(folder, onerror=lambda error: on_skipped(f"{error.filename}: {error.strerror}"))
    for directory, folders, files in walk:
        below = Path(directory).relative_to(folder)
        folders[:] = sorted(each for each in folders if patterns.admit_folder((below / each).as_posix()))
        for each in sorted(files):
            relative = (below / each).as_posix()
            if not patterns.admit_file(relative):
                continue
            path = Path(directory) / each
            if stat.S_ISREG(path.lstat().st_mode):
                yield _item(path, f"{name}/{relative}")
            else:
                on_skipped(f"{path} is skipped: it is a symbolic link or no regular file")


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rpartition("/")[2]
    return any(fnmatch(name, pattern) or fnmatch(relative, pattern) for pattern in patterns)
