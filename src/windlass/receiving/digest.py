"""The SHA-256 of an upload while its bytes pass by, across the requests that one process receives.

A hash cannot be saved and gone on with elsewhere. Where another process takes over, or this one was restarted, nobody
has seen every byte, and the intake stage reads the file once (docs/decisions: digest while receiving).
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from typing import BinaryIO

from windlass.protocols.digests import Proof
from windlass.storage.contract import Buffer

READ_SIZE = 1024 * 1024


class RunningDigest:
    """The hash of the first ``offset`` bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.offset = 0

    def update(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            self._hash.update(buffer)
            self.offset += len(buffer)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def copy(self) -> RunningDigest:
        """As it stands now, to go back to."""
        found = RunningDigest()
        found._hash, found.offset = self._hash.copy(), self.offset
        return found


class DigestMemory:
    """Hashes of uploads between two requests, the least recently used forgotten first."""

    def __init__(self, capacity: int = 4096) -> None:
        self._kept: OrderedDict[uuid.UUID, RunningDigest] = OrderedDict()
        self._capacity = capacity

    def take(self, upload_id: uuid.UUID, offset: int) -> RunningDigest | None:
        """The hash that stands exactly at ``offset``, to go on with; a new one at 0; else None."""
        kept = self._kept.pop(upload_id, None)
        if offset == 0:
            return RunningDigest()
        return kept if kept is not None and kept.offset == offset else None

    def forget(self, upload_id: uuid.UUID) -> None:
        self._kept.pop(upload_id, None)

    def keep(self, upload_id: uuid.UUID, digest: RunningDigest | None) -> None:
        if digest is None:
            return
        self._kept[upload_id] = digest
        self._kept.move_to_end(upload_id)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)


def of_file(source: BinaryIO, proof: Proof) -> str:
    """The SHA-256 of a whole file, read in blocks, which ``proof`` sees too."""
    digest = hashlib.sha256()
    while block := source.read(READ_SIZE):
        digest.update(block)
        proof.update([block])
    return digest.hexdigest()
