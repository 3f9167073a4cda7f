"""The bytes of one numbered chunk: counted, hashed, and written to their place or only looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from windlass.executors import in_thread
from windlass.files import api as files
from windlass.kernel.clock import monotonic, now
from windlass.kernel.errors import BadRequest, ChecksumMismatch, ReceiveTimeout, Unavailable, UploadLocked
from windlass.protocols.intents import PutChunk
from windlass.receiving import writing
from windlass.receiving.body import ByteSource, ClientGone, read_initial_body
from windlass.receiving.digest import RunningDigest
from windlass.receiving.lease import keeper
from windlass.receiving.transfer import Transfer, TransferEnd
from windlass.storage.contract import Buffer, State, Writer
from windlass.storage.registry import store

#: A request that brings a chunk gives way to another one once nothing has come from its client for this long (seconds).
SILENT_SECONDS = 1.0


def proved(intent: PutChunk, actual: str) -> str:
    """``actual``, if it is the digest that was announced. Raises ChecksumMismatch."""
    if intent.sha256 is not None and intent.sha256 != actual:
        raise ChecksumMismatch(
            f"Chunk {intent.index} has the SHA-256 {actual}; {intent.sha256} was announced. It does not count.",
            expected=intent.sha256,
            actual=actual,
            chunk_index=intent.index,
        )
    return actual


class ChunkBody:
    """One request's body, which must have ``length`` bytes. ``carried``: a hash that sees them too."""

    def __init__(self, source: ByteSource, intent: PutChunk, length: int, carried: RunningDigest | None = None) -> None:
        self.length = length
        self.carried = carried
        self._intent = intent
        self._source = _Heard(source)
        self._transfer: Transfer | None = None

    @staticmethod
    def wrong_length(index: int, length: int, received: int | None = None) -> BadRequest:
        told = "more came" if received is None else f"{received} bytes came"
        members: dict[str, Any] = {"limit": length} | ({} if received is None else {"received": received})
        return BadRequest(f"Chunk {index} of this upload has {length} bytes; {told}.", chunk_index=index, **members)

    def request_stop(self) -> None:
        """From the event loop only; may be repeated."""
        if self._transfer is not None:
            self._transfer.request_stop()

    def stop_if_silent(self) -> None:
        if monotonic() - self._source.heard_at >= SILENT_SECONDS:
            self.request_stop()

    async def digest(self) -> str:
        """Of the bytes, which go nowhere. Raises as ``store`` does, but for the store's own errors."""
        self._transfer = Transfer(
            self._source, _Nowhere(), offset=0, limit=self.length, digest=RunningDigest(), must_hash=True
        )
        return await self._moved(self._transfer, [])

    async def store(self, session: files.UploadSession, claim: files.ChunkClaim) -> tuple[str, State]:
        """Into the chunk's place, as durable as an acknowledgement promises; returns the digest, and what the store
        is to be told of the chunk when the object is completed.

        Raises BadRequest for a wrong length, ChecksumMismatch, ClientGone, ReceiveTimeout, Unavailable, ClaimLost,
        WriterBusy, StoreError. Then the chunk's place holds no particular bytes.
        """
        found = await read_initial_body(self._source)
        if found.gone:
            raise ClientGone
        if found.ended or found.size > self.length:
            self._must_be_whole(found.size)
            return await in_thread(self._store_at_once, session, claim, found.buffers)
        return await self._stream(session, claim, found.buffers)

    def _store_at_once(
        self, session: files.UploadSession, claim: files.ChunkClaim, buffers: list[Buffer]
    ) -> tuple[str, State]:
        digest = hashlib.sha256()
        for buffer in buffers:
            digest.update(buffer)
        sha256 = proved(self._intent, digest.hexdigest())
        writer = self._open(session, claim)
        try:
            writer.write(self._place(session), buffers)
            if self.carried is not None:
                self.carried.update(buffers)
            return sha256, writing.save(writer)
        finally:
            writer.close()

    async def _stream(
        self, session: files.UploadSession, claim: files.ChunkClaim, first: list[Buffer]
    ) -> tuple[str, State]:
        writer = await in_thread(self._open, session, claim)
        begin = self._place(session)
        try:
            self._transfer = Transfer(
                self._source,
                writer,
                offset=begin,
                limit=begin + self.length,
                digest=RunningDigest(),
                must_hash=True,
                proof=self.carried,
            )
            sha256 = proved(self._intent, await self._moved(self._transfer, first, begin))
            return sha256, await in_thread(writing.save, writer)
        finally:
            await in_thread(writer.close)

    def _open(self, session: files.UploadSession, claim: files.ChunkClaim) -> Writer:
        """The only writer of the chunk's place.

        The claim is looked at when the place is locked: this process may have been stopped between the two, and another
        one have brought the chunk meanwhile. From here on the lock keeps everybody else away.
        """
        target = store(session.store)
        place = (self._place(session), self.length)
        writer = target.open_writer(session.store_key, session.store_state, shared=True, region=place)
        if now() >= claim.until:
            writer.close()
            raise files.ClaimLost(str(claim.id))
        return writer

    async def _moved(self, transfer: Transfer, first: list[Buffer], begin: int = 0) -> str:
        end = await transfer.run(first)
        match end:
            case TransferEnd.CLIENT_GONE:
                raise ClientGone
            case TransferEnd.OVER_LIMIT:
                raise self.wrong_length(self._intent.index, self.length)
            case TransferEnd.TIMED_OUT:
                raise ReceiveTimeout(f"Nothing came for too long. Send chunk {self._intent.index} again.")
            case TransferEnd.STOP_REQUESTED if keeper.stopping:
                raise Unavailable(f"The server is stopping. Send chunk {self._intent.index} again shortly.", 1)
            case TransferEnd.STOP_REQUESTED:
                raise UploadLocked(
                    f"Nothing came for a while, and another request brings chunk {self._intent.index} now."
                )
        self._must_be_whole(transfer.written - begin)
        assert transfer.digest is not None
        return transfer.digest.hexdigest()

    def _must_be_whole(self, received: int) -> None:
        if received != self.length:
            raise self.wrong_length(self._intent.index, self.length, received)

    def _place(self, session: files.UploadSession) -> int:
        return files.chunk_layout(session).offset(self._intent.index)


class _Heard:
    """A source that knows when something came from it last."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.heard_at = monotonic()

    async def read(self) -> Buffer | None:
        found = await self._source.read()
        self.heard_at = monotonic()
        return found


class _Nowhere(Writer):
    """A writer for bytes that are only looked at."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        return sum(len(buffer) for buffer in buffers)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        return size

    def sync(self, *, durable: bool = True) -> State:
        return {}

    def finish(self, size: int, *, durable: bool = True) -> State:
        return {}

    def close(self) -> None:
        """There is nothing to let go of."""
