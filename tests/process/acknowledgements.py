"""What a client records to check a server: the bytes that it sent, and every acknowledgement that it received."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

MB = 1024 * 1024


class GeneratedContent:
    """Content of any size that is generated block by block; no two blocks are equal."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._block = random.Random(seed).randbytes(MB)

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Yield the content from ``start`` in pieces of at most 1 MiB."""
        while start < self.size:
            number, within = divmod(start, MB)
            block = (number.to_bytes(8) + self._block[8:])[within : within + self.size - start]
            yield block
            start += len(block)

    def sha256(self, end: int | None = None) -> str:
        """Return the digest of the first ``end`` bytes."""
        digest, left = hashlib.sha256(), self.size if end is None else end
        for block in self.blocks():
            digest.update(block[:left])
            left -= len(block)
            if left <= 0:
                break
        return digest.hexdigest()


@dataclass
class Acknowledgements:
    """Acknowledged: (upload, offset, SHA-256 of the bytes below it). Sent: (when, how far)."""

    acknowledged: list[tuple[str, int, str]] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)

    def acknowledge(self, upload: str, offset: int, content: GeneratedContent) -> None:
        self.acknowledged.append((upload, offset, content.sha256(offset)))

    def send(self, offset: int) -> None:
        self.sent.append((time.monotonic(), offset))

    @property
    def last(self) -> int:
        return self.acknowledged[-1][1]

    def age(self, offset: int, at: float) -> float:
        """Return how many seconds before ``at`` the byte at ``offset`` was sent."""
        return max((at - when for when, reached in self.sent if reached > offset), default=0.0)
