"""The claim of a numbered chunk: two requests send the same chunk, with other bytes, to two processes.

Each claims the chunk, locks its place, asks whether the claim is still its own, writes and records it as received, as
``receiving/chunked.py`` does. One may be killed or stopped before each step, the clock passes the end of a claim, and
it is set back.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.model.explorer import Actor, Explored, Model, ModelClock, explore, point
from tests.model.tables import FirstRows, values
from tests.model.test_lease import BACK, LEASE_SECONDS, PASSED, moves_clock
from windlass.database.connection import atomic
from windlass.files import api as files
from windlass.files.models import UploadSession
from windlass.kernel.clock import now
from windlass.storage.contract import Writer, WriterBusy
from windlass.storage.registry import store

SIZE = 1024
UPLOAD = uuid.UUID(int=8)
KEY = f"objects/{UPLOAD}"
CHUNKS = "SELECT state, sha256, claim_holder, claim_epoch, claim_until FROM windlass_files_uploadchunk"
OFFSET = 'SELECT "offset" FROM windlass_files_uploadsession'


@dataclass
class Chunk:
    """``accepted``: the bytes that a sender was told are received, or were received before."""

    accepted: list[bytes] = field(default_factory=list)
    claims: dict[str, files.ChunkClaim] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)

    @staticmethod
    def create() -> None:
        UploadSession.objects.create(
            id=UPLOAD,
            owner="user:1",
            dialect="chunks",
            profile="default",
            filename="a",
            size=SIZE,
            chunk_size=SIZE,
            store=store().name,
            store_key=KEY,
            store_state={},
            expires_at=now() + timedelta(days=2),
        )

    def put(self, name: str, session: UploadSession) -> None:
        data = name.encode() * SIZE
        with atomic():
            claim = files.claim_chunk(session, 0, name, LEASE_SECONDS)
        if isinstance(claim, files.ReceivedChunk):
            if claim.sha256 == hashlib.sha256(data).hexdigest():
                self.accepted.append(data)
            return
        if isinstance(claim, files.ClaimedChunk):
            return
        self.claims[name] = claim
        point("lock the chunk's place")
        writer = store().open_writer(KEY, {}, shared=True, region=(0, SIZE))
        self.writers[name] = writer
        if not files.is_chunk_claimed(claim):
            raise files.ClaimLost
        point("write")
        writer.write(0, [data])
        writer.close()
        files.accept_chunk(claim, session, SIZE, hashlib.sha256(data).hexdigest(), ttl_hours=48)
        self.accepted.append(data)

    def try_to_put(self, name: str, session: UploadSession) -> None:
        try:
            self.put(name, session)
        except (files.ClaimLost, WriterBusy):
            if name in self.writers:
                self.writers[name].close()

    def memory(self, name: str) -> Callable[[], object]:
        """Without the row's random identifier."""
        return lambda: (claim.epoch, claim.until) if (claim := self.claims.get(name)) else None

    def close(self, name: str) -> Callable[[], None]:
        return lambda: self.writers[name].close() if name in self.writers else None

    @staticmethod
    def stored() -> bytes:
        with store().open(KEY) as source:
            return source.read()

    def holds(self) -> None:
        """A received chunk has the bytes that were acknowledged and that its digest describes, whatever else is sent.

        It counts once."""
        ((offset,),) = values(OFFSET)
        received = [row for row in values(CHUNKS) if row[0] == "received"]
        assert offset == SIZE * len(received), "the chunk counts once"
        for sha256 in [row[1] for row in received]:
            assert hashlib.sha256(self.stored()).hexdigest() == sha256, "the bytes of a received chunk have changed"
        for data in self.accepted:
            assert self.stored() == data, f"{data[:1]!r} was acknowledged, {self.stored()[:1]!r} is stored"

    def goes_on(self) -> None:
        """When everybody is gone, a new request gets the chunk received once a claim has had the time to expire."""
        for writer in self.writers.values():
            writer.close()
        for (chunk,) in values("SELECT id FROM windlass_files_uploadchunk"):
            files.CHUNK_CLAIMS.request(uuid.UUID(chunk), LEASE_SECONDS)
        ModelClock.shift += PASSED
        self.put("z", UploadSession.objects.get())
        self.holds()
        assert [row[0] for row in values(CHUNKS)] == ["received"]


def check(*clock: timedelta, crashes: bool) -> Explored:
    chunk, first = Chunk(), FirstRows(Chunk.create)

    def reset() -> list[Actor]:
        for writer in chunk.writers.values():
            writer.close()
        chunk.__init__()  # type: ignore[misc]
        first.restore()
        store().delete(KEY)
        store().create(KEY, durable=False)
        session = UploadSession.objects.get()
        senders = [
            Actor(
                name,
                lambda name=name: chunk.try_to_put(name, session),  # type: ignore[misc]
                crashes=crashes and name == "a",  # both are the same: it is enough that one of them may be killed
                memory=chunk.memory(name),
                close=chunk.close(name),
            )
            for name in "ab"
        ]
        return [*senders, *([moves_clock(*clock)] if clock else [])]

    def state() -> object:
        return values(CHUNKS), values(OFFSET), chunk.stored()[:1], sorted(chunk.accepted)

    return explore(Model(reset, state, chunk.holds, chunk.goes_on))


def test_a_received_chunk_never_changes_and_counts_once() -> None:
    assert check(PASSED, BACK, crashes=False).states > 100


def test_a_sender_may_be_killed_at_any_moment() -> None:
    assert check(crashes=True).states > 20
