"""The state of an unfinished object: which upload it is at the store, and what of it is certain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windlass.storage.contract import State

NO_PARTS = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Tag:
    """What the store calls a part: its ETag, and its checksum where the upload has such."""

    etag: str
    crc32: str = ""

    def part(self, number: int) -> dict[str, Any]:
        """As the completing request lists it."""
        named: dict[str, Any] = {"PartNumber": number, "ETag": self.etag}
        return named | ({"ChecksumCRC32": self.crc32} if self.crc32 else {})


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the part that is not full yet, in an object of their own."""

    token: str
    size: int


@dataclass(frozen=True, slots=True)
class Made:
    """``parts`` parts of ``part_size`` bytes are at the store, then the ``tail``.

    ``mark`` is what the object that becomes of this upload will carry, by which it is known.

    ``chain`` is a hash over the parts' tags, in order: what the store lists later is compared with it, so that a state
    stays small however many parts there are, and a part that somebody replaced is noticed. ``gone`` names pieces that
    only earlier states need: who is handed this one may delete them.
    """

    upload: str
    mark: str
    part_size: int
    checksum: str
    parts: int = 0
    chain: str = NO_PARTS
    tail: tuple[Piece, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        return self.parts * self.part_size + sum(piece.size for piece in self.tail)

    def with_part(self, tag: Tag) -> Made:
        """The next part is at the store, and with it whatever the tail held."""
        return replace(self, parts=self.parts + 1, chain=_link(self.chain, tag), tail=())

    def names(self, tags: Sequence[Tag]) -> bool:
        """Whether these are the parts that this state was made of."""
        return len(tags) == self.parts and chain_of(tags) == self.chain

    def state(self) -> State:
        return {
            "upload": self.upload,
            "mark": self.mark,
            "part_size": self.part_size,
            "checksum": self.checksum,
            "parts": self.parts,
            "chain": self.chain,
            "tail": [[piece.token, piece.size] for piece in self.tail],
            "gone": list(self.gone),
        }

    @classmethod
    def of(cls, state: State) -> Made | None:
        """None where the state is no object in the making."""
        if "upload" not in state:
            return None
        tail = tuple(Piece(token, size) for token, size in state["tail"])
        known = {name: state[name] for name in ("upload", "mark", "part_size", "checksum", "parts", "chain")}
        return cls(**known, tail=tail, gone=tuple(state["gone"]))


def chain_of(tags: Iterable[Tag]) -> str:
    chain = NO_PARTS
    for tag in tags:
        chain = _link(chain, tag)
    return chain


def _link(chain: str, tag: Tag) -> str:
    return hashlib.sha256(f"{chain} {tag.etag} {tag.crc32}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The state of a region: one part of the object."""

    number: int
    tag: Tag

    def state(self) -> State:
        return {"part": self.number, "etag": self.tag.etag, "crc32": self.tag.crc32}

    @classmethod
    def of(cls, state: State) -> Chunk:
        return cls(state["part"], Tag(state["etag"], state["crc32"]))
