"""Digests that a client announces for what it sends, and the hashing that proves them. Knows no dialect's names."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Protocol

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Checksum:
    """``value`` is what ``algorithm``, a name in ALGORITHMS, must give."""

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


def _md5() -> Hash:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Hash:
    return hashlib.sha1(usedforsecurity=False)


#: md5, sha1 and crc32 find what a line garbled, not what an attacker changed; clients of tus use them for that.
ALGORITHMS: Mapping[str, Callable[[], Hash]] = {
    "sha1": _sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": _md5,
    "crc32": Crc32,
}


class Proof:
    """Takes bytes in order and says which of the announced digests they do not have."""

    def __init__(self, announced: Iterable[Checksum]) -> None:
        self._pending = [(checksum, ALGORITHMS[checksum.algorithm]()) for checksum in announced]

    def update(self, buffers: Sequence[Buffer]) -> None:
        for _, running in self._pending:
            for buffer in buffers:
                running.update(buffer)

    def failed(self) -> list[str]:
        """The algorithms whose digest is another; empty where all are right."""
        return [
            announced.algorithm
            for announced, running in self._pending
            if not compare_digest(announced.value, running.digest())
        ]
