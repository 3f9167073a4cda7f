"""Transfer the bytes of one numbered chunk: count, hash and write them at their place, or only hash them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from windlass.executors import in_thread
from windlass.files import api as files
from windlass.kernel.clock import monotonic, now
from windlass.kernel.errors import BadRequest, ChecksumMismatch, ReceiveTimeout, Unavailable, UploadLocked
from windlass.protocols.intents import PutChunk
from windlass.receiving.body import ByteSource, ClientGone, read_initial_body
from windlass.receiving.digest import RunningDigest
from windlass.receiving.lease import keeper
from windlass.receiving.transfer import Transfer, TransferEnd, syncs_acknowledgements
from windlass.storage.contract import Buffer, State, Writer
from windlass.storage.registry import store

#: A request that sends a chunk gives way to another one if its client has sent nothing for this long (seconds).
SILENT_SECONDS = 1.0


def verify_chunk_digest(intent: PutChunk, actual: str) -> str:
    """Return ``actual`` (hex). Raises ChecksumMismatch if another digest was announced."""
    if intent.sha256 is not None and intent.sha256 != actual:
        raise ChecksumMismatch(
            f"Chunk {intent.index} has the SHA-256 {actual}; {intent.sha256} was announced. It does not count.",
            expected=intent.sha256,
            actual=actual,
            chunk_index=intent.index,
        )
    return actual


def wrong_chunk_length(index: int, length: int, received: int | None = None) -> BadRequest:
    """Return the refusal of a chunk that must have ``length`` bytes. ``received`` None: more than that."""
    stated = "more came" if received is None else f"{received} bytes came"
    members: dict[str, Any] = {"limit": length} | ({} if received is None else {"received": received})
    return BadRequest(f"Chunk {index} of this upload has {length} bytes; {stated}.", chunk_index=index, **members)


class ChunkTransfer:
    """The body of one request, which must have ``length`` bytes. ``running_digest`` is updated with them too."""

    def __init__(
        self, source: ByteSource, intent: PutChunk, length: int, running_digest: RunningDigest | None = None
    ) -> None:
        self.length = length
        self.running_digest = running_digest
        self._intent = intent
        self._source = _TimedSource(source)
        self._transfer: Transfer | None = None

    def request_stop(self) -> None:
        """End the transfer. Call it on the event loop only; may be repeated."""
        if self._transfer is not None:
            self._transfer.request_stop()

    def stop_if_silent(self) -> None:
        """End the transfer if the client has sent nothing for SILENT_SECONDS."""
        if monotonic() - self._source.last_read_at >= SILENT_SECONDS:
            self.request_stop()

    async def hash_only(self) -> str:
        """Return the SHA-256 (hex) of the body without storing it. Raises as ``store`` does, without store errors."""
        self._transfer = Transfer(
            self._source, _DiscardingWriter(), offset=0, limit=self.length, digest=RunningDigest(), must_hash=True
        )
        return await self._run(self._transfer, [])

    async def store(self, session: files.UploadSession, claim: files.ChunkClaim) -> tuple[str, State]:
        """Write the body at the chunk's place and make it durable; return its SHA-256 (hex) and the store's state.

        Raises BadRequest for a wrong length, ChecksumMismatch, ClientGone, ReceiveTimeout, Unavailable, UploadLocked,
        ClaimLost, WriterBusy, SyncFailed, StoreError. After an error the bytes at the chunk's place are undefined.
        """
        initial = await read_initial_body(self._source)
        if initial.gone:
            raise ClientGone
        if initial.ended or initial.size > self.length:
            self._require_length(initial.size)
            return await in_thread(self._store_at_once, session, claim, initial.buffers)
        return await self._stream(session, claim, initial.buffers)

    def _store_at_once(
        self, session: files.UploadSession, claim: files.ChunkClaim, buffers: list[Buffer]
    ) -> tuple[str, State]:
        digest = hashlib.sha256()
        for buffer in buffers:
            digest.update(buffer)
        sha256 = verify_chunk_digest(self._intent, digest.hexdigest())
        writer = self._open_writer(session, claim)
        try:
            writer.write(self._offset_in(session), buffers)
            if self.running_digest is not None:
                self.running_digest.update(buffers)
            return sha256, writer.sync(durable=syncs_acknowledgements())
        finally:
            writer.close()

    async def _stream(
        self, session: files.UploadSession, claim: files.ChunkClaim, first: list[Buffer]
    ) -> tuple[str, State]:
        writer = await in_thread(self._open_writer, session, claim)
        offset = self._offset_in(session)
        try:
            self._transfer = Transfer(
                self._source,
                writer,
                offset=offset,
                limit=offset + self.length,
                digest=RunningDigest(),
                must_hash=True,
                proof=self.running_digest,
            )
            sha256 = verify_chunk_digest(self._intent, await self._run(self._transfer, first, offset))
            return sha256, await in_thread(writer.sync, durable=syncs_acknowledgements())
        finally:
            await in_thread(writer.close)

    def _open_writer(self, session: files.UploadSession, claim: files.ChunkClaim) -> Writer:
        """Open the only writer of the chunk's place. Raises WriterBusy, ClaimLost, StoreError.

        The claim is checked after the region is locked: this process may have been stopped in between while another
        one received the chunk. From then on the lock excludes all others.
        """
        region = (self._offset_in(session), self.length)
        writer = store(session.store).open_writer(session.store_key, session.store_state, shared=True, region=region)
        if now() >= claim.until:
            writer.close()
            raise files.ClaimLost(str(claim.id))
        return writer

    async def _run(self, transfer: Transfer, first: list[Buffer], offset: int = 0) -> str:
        """Run the transfer; return the SHA-256 (hex) of a complete chunk."""
        end = await transfer.run(first)
        match end:
            case TransferEnd.CLIENT_GONE:
                raise ClientGone
            case TransferEnd.OVER_LIMIT:
                raise wrong_chunk_length(self._intent.index, self.length)
            case TransferEnd.TIMED_OUT:
                raise ReceiveTimeout(f"Nothing came for too long. Send chunk {self._intent.index} again.")
            case TransferEnd.STOP_REQUESTED if keeper.stopping:
                raise Unavailable(f"The server is stopping. Send chunk {self._intent.index} again shortly.", 1)
            case TransferEnd.STOP_REQUESTED:
                raise UploadLocked(
                    f"Nothing came for a while, and another request brings chunk {self._intent.index} now."
                )
        self._require_length(transfer.written - offset)
        assert transfer.digest is not None
        return transfer.digest.hexdigest()

    def _require_length(self, received: int) -> None:
        if received != self.length:
            raise wrong_chunk_length(self._intent.index, self.length, received)

    def _offset_in(self, session: files.UploadSession) -> int:
        return files.chunk_layout(session).offset(self._intent.index)


class _TimedSource:
    """A byte source that records when it was last read from (monotonic seconds)."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.last_read_at = monotonic()

    async def read(self) -> Buffer | None:
        buffer = await self._source.read()
        self.last_read_at = monotonic()
        return buffer


class _DiscardingWriter(Writer):
    """A writer that stores nothing."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        return sum(len(buffer) for buffer in buffers)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        return size

    def sync(self, *, durable: bool = True) -> State:
        return {}

    def finish(self, size: int, *, durable: bool = True) -> State:
        return {}

    def close(self) -> None:
        return None
