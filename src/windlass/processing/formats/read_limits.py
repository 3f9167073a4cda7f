"""Where reading stops, whatever the file claims."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MB = 1024 * 1024
BLOCK = 64 * 1024

#: Seconds that one step spends on a file before it makes do with what it has: well below STEP_TIMEOUT_SECONDS.
PATIENCE = 30.0


@dataclass(slots=True)
class Clock:
    """Runs from when it is made."""

    seconds: float = PATIENCE
    began: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        return time.monotonic() - self.began > self.seconds


def blocks(file: BinaryIO, most: int, size: int = BLOCK) -> Iterator[bytes]:
    """The file from where it stands, up to ``most`` bytes."""
    while most > 0 and (block := file.read(min(size, most))):
        most -= len(block)
        yield block


def shorten(text: str, longest: int = 500) -> str:
    """One line of text that somebody else wrote, for a fact."""
    return " ".join(text[: 4 * longest].split())[:longest]
