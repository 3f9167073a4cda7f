"""Digests that a client announces for its bytes, and their verification. Independent of any dialect."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import Protocol

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest that the bytes must have. ``algorithm``: a name in ALGORITHMS."""

    algorithm: str
    value: bytes


class Hash(Protocol):
    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    """Four bytes, big-endian."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


#: md5, sha1 and crc32 detect transmission errors, not attacks; tus clients use them for that.
ALGORITHMS: Mapping[str, Callable[[], Hash]] = {
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "crc32": Crc32,
}


class Proof:
    """Hashes bytes in order and compares the results with the announced digests."""

    def __init__(self, announced: Iterable[Checksum]) -> None:
        self._pending = [(checksum, ALGORITHMS[checksum.algorithm]()) for checksum in announced]

    def update(self, buffers: Sequence[Buffer]) -> None:
        for _, running in self._pending:
            for buffer in buffers:
                running.update(buffer)

    def failed(self) -> list[str]:
        """Return the algorithms whose digest differs; empty if all match."""
        return [
            announced.algorithm
            for announced, running in self._pending
            if not compare_digest(announced.value, running.digest())
        ]
