"""Where the entries of an archive would be unpacked, and whether one leads outside its directory.

Programs that unpack follow links that are there already, so a link is judged by where it would stand: a link to ``..``
below a link to ``.`` leads outside, although each of them looks as if it stayed within.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import accumulate

#: Longest path that a link may point to, in bytes (PATH_MAX of Linux).
LONGEST_TARGET = 4096
_DRIVE = re.compile(r"[A-Za-z]:")


def leaves_directory(path: str) -> bool:
    """Whether a path is absolute or has ``..`` in it."""
    return is_absolute(path) or ".." in path.replace("\\", "/").split("/")


def is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\")) or bool(_DRIVE.match(path))


@dataclass(slots=True)
class UnpackedLinks:
    """The symbolic links of an archive that were judged so far: hashes of their paths, and how many ``..`` each target
    begins with."""

    _steps_up: dict[int, int] = field(default_factory=dict)

    def add_symlink(self, name: str, target: str | None) -> bool:
        """Add a symbolic link. False if it could lead outside: its target is unknown, absolute or outside, it has
        ``..`` behind a name, or the link stands below another one. Links with backslashes are read differently by
        different systems, so they do not pass.

        ``..`` counts from the link's own directory, which is no link. What follows may pass other links, each of
        which stays within.
        """
        path, steps = _parts(name), _parts(target or "")
        up = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
        is_clear = bool(target) and "\\" not in f"{name}{target}" and not is_absolute(target or "")
        return self._add(path, up) and is_clear and ".." not in steps[up:]

    def add_hard_link(self, name: str, target: str | None) -> bool:
        """Add a hard link, whose target counts from the archive's root. False if it could lead outside.

        A hard link to a symbolic link is the same symbolic link at another place.
        """
        if not target or leaves_directory(target):
            return False
        steps = _parts(target)
        up = self._steps_up.get(_hashes(steps)[-1])
        stays_within = not self._passes_link(steps[:-1])
        return stays_within if up is None else self._add(_parts(name), up) and stays_within

    def _add(self, path: list[str], up: int) -> bool:
        stays_within = up < len(path) and not self._passes_link(path[:-1])
        self._steps_up[_hashes(path)[-1]] = up
        return stays_within

    def _passes_link(self, path: list[str]) -> bool:
        return any(each in self._steps_up for each in _hashes(path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _hashes(path: list[str]) -> list[int]:
    """A hash of each beginning of the path, of none first. Some file systems do not distinguish the case of names."""
    return list(accumulate(path, lambda before, part: hash((before, part.casefold())), initial=0))
