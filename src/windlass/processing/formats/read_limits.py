"""Where reading stops, whatever the file claims: seconds, bytes, characters of a fact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MB = 1024 * 1024
BLOCK = 64 * 1024

#: Seconds after which a step stops reading a file and returns what it has: well below STEP_TIMEOUT_SECONDS.
READING_SECONDS = 30.0


@dataclass(slots=True)
class Deadline:
    """A limit of ``seconds`` from its creation on."""

    seconds: float = READING_SECONDS
    started: float = field(default_factory=time.monotonic)

    def has_passed(self) -> bool:
        return time.monotonic() - self.started > self.seconds


def blocks(file: BinaryIO, most: int, size: int = BLOCK) -> Iterator[bytes]:
    """Yield at most ``most`` bytes from the file's position on."""
    while most > 0 and (block := file.read(min(size, most))):
        most -= len(block)
        yield block


def round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def shorten(text: str, longest: int = 500) -> str:
    """Return a text of the file on one line, for a fact."""
    return " ".join(text[: 4 * longest].split())[:longest]
