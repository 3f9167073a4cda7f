"""The lease of an upload: what it promises whatever the order of statements, the clock and the deaths of processes.

Writers take the lease, open the object under its lock, write, and commit, by Windlass's own functions on the real local
store. One of them may be killed, or stopped for as long as one likes, before each of its steps. The clock passes the
end of a lease, and is set back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from tests.model.explorer import Actor, Explored, Model, ModelClock, explore, point
from tests.model.tables import FirstRows, rows, values
from windlass.events.api import recording
from windlass.files import api as files
from windlass.files.models import FileAsset, UploadSession
from windlass.kernel.clock import now
from windlass.receiving.first_append import as_if_leased
from windlass.receiving.leased_writer import open_leased_writer
from windlass.storage.contract import Writer, WriterBusy
from windlass.storage.registry import store

LEASE_SECONDS = 10.0
PASSED, BACK = timedelta(seconds=LEASE_SECONDS + 1), timedelta(hours=-1)
SIZE, PART = 6, 3
UPLOAD = uuid.UUID(int=7)
#: What decides how an upload goes on; identifiers and times of records do not.
SESSION = (
    'SELECT status, "offset", lease_holder, lease_epoch, lease_until, lease_wanted FROM windlass_files_uploadsession'
)
KEY = f"objects/{UPLOAD}"


@dataclass
class Upload:
    """An upload of SIZE bytes, and what its writers were told. ``acknowledged``: (offset, the byte that was sent)."""

    acknowledged: list[bytes] = field(default_factory=list)
    epochs: list[tuple[int, str]] = field(default_factory=list)
    writers: dict[str, Writer] = field(default_factory=dict)
    leases: dict[str, files.Lease] = field(default_factory=dict)

    @staticmethod
    def create() -> None:
        """A session of which nothing is received."""
        UploadSession.objects.create(
            id=UPLOAD,
            owner="user:1",
            dialect="tus",
            profile="default",
            filename="a",
            size=SIZE,
            store=store().name,
            store_key=KEY,
            store_state={},
            expires_at=now() + timedelta(days=2),
        )

    def append(self, name: str) -> None:
        """Take the lease if it is free, append a part, commit it, and take the reply for an acknowledgement."""
        lease = files.take_lease(UPLOAD, name, LEASE_SECONDS)
        if lease is None:
            return
        self.epochs.append((lease.epoch, name))
        self.leases[name] = lease
        point("open")
        writer = self.writers[name] = self._open(lease)
        point("write")
        data = name.encode() * min(PART, SIZE - lease.offset)
        writer.write(lease.offset, [data])
        point("close")
        writer.close()
        end = lease.offset + len(data)
        with recording() as recorder:
            if end == SIZE:
                session = files.leased_upload(lease)
                if session is None:
                    raise files.LeaseLost
                files.complete_upload(recorder, lease, session, size=end, sha256=None)
            else:
                files.commit_offset(lease, end, {}, ttl_hours=48, release=True)
        self.acknowledged.append(self.stored()[: lease.offset] + data)

    def append_whole(self, name: str, session: UploadSession) -> None:
        """Append the whole file without a lease, as the process does that created ``session``."""
        lease = as_if_leased(session)
        self.leases[name] = lease
        point("open")
        writer = self.writers[name] = self._open(lease)
        point("write")
        writer.write(0, [name.encode() * SIZE])
        point("close")
        writer.close()
        with recording() as recorder:
            files.complete_upload(recorder, lease, session, size=SIZE, sha256=None)
        self.acknowledged.append(name.encode() * SIZE)

    def try_to_append_whole(self, name: str, session: UploadSession) -> None:
        with suppress(files.LeaseLost, WriterBusy):
            self.append_whole(name, session)

    def _open(self, lease: files.Lease) -> Writer:
        return open_leased_writer(store(), lease, lambda: files.is_lease_valid(lease))

    def try_to_append(self, name: str) -> None:
        with suppress(files.LeaseLost, files.UploadCompleted, WriterBusy):
            self.append(name)

    def memory(self, name: str) -> Callable[[], object]:
        return lambda: self.leases.get(name)

    def close(self, name: str) -> Callable[[], None]:
        return lambda: self.writers[name].close() if name in self.writers else None

    @staticmethod
    def stored() -> bytes:
        with store().open(KEY) as source:
            return source.read()

    def holds(self) -> None:
        """An acknowledged byte is in the object, unchanged, and below the session's offset.

        No two holders of the lease have the same epoch. An upload becomes one file at most."""
        stored, (offset,) = (
            self.stored(),
            [row[0] for row in values('SELECT "offset" FROM windlass_files_uploadsession')],
        )
        for bytes_ in self.acknowledged:
            assert stored[: len(bytes_)] == bytes_, f"{bytes_!r} was acknowledged, {stored!r} is stored"
            assert offset >= len(bytes_), f"{bytes_!r} was acknowledged, the offset is {offset}"
        numbers = [epoch for epoch, _ in self.epochs]
        assert len(numbers) == len(set(numbers)), f"an epoch has two holders: {self.epochs}"
        assert len(rows(FileAsset)) <= 1

    def goes_on(self) -> None:
        """When everybody is gone, a new request completes the upload once a lease has had the time to expire, even if
        the clock was ahead when it was taken."""
        for writer in self.writers.values():
            writer.close()
        files.UPLOAD_LEASES.request(UPLOAD, LEASE_SECONDS)
        ModelClock.shift += PASSED
        for _ in range(SIZE // PART):
            if UploadSession.objects.get().status == files.UploadStatus.ACTIVE:
                self.append("z")
        self.holds()
        assert len(rows(FileAsset)) == 1, values(SESSION)


def moves_clock(*steps: timedelta) -> Actor:
    def work() -> None:
        for step in steps:
            point(f"clock {step}")
            ModelClock.shift += step

    return Actor("clock", work)


def check(names: Sequence[str], *clock: timedelta, creator: str = "") -> Explored:
    """``creator``: also appends, as the process that created the session and takes no lease."""
    upload, first = Upload(), FirstRows(Upload.create)

    def reset() -> list[Actor]:
        for writer in upload.writers.values():
            writer.close()
        upload.__init__()  # type: ignore[misc]
        first.restore()
        store().delete(KEY)
        store().create(KEY, durable=False)
        writers = [
            Actor(
                name, lambda name=name: upload.try_to_append(name), name == "a", upload.memory(name), upload.close(name)
            )  # type: ignore[misc]
            for name in names
        ]
        if creator:
            append = partial(upload.try_to_append_whole, creator, UploadSession.objects.get())
            writers.append(Actor(creator, append, True, upload.memory(creator), upload.close(creator)))
        return [*writers, *([moves_clock(*clock)] if clock else [])]

    def state() -> object:
        return (
            values(SESSION),
            values("SELECT size FROM windlass_files_fileasset"),
            upload.stored(),
            sorted(upload.acknowledged),
        )

    return explore(Model(reset, state, upload.holds, upload.goes_on))


@pytest.mark.parametrize(
    "clock",
    [(PASSED, BACK), (-BACK, BACK)],
    ids=["it is set back", "it is ahead for a while"],
)
def test_no_acknowledged_byte_is_lost_and_the_upload_can_go_on(clock: tuple[timedelta, ...]) -> None:
    assert check("ab", *clock).states > 100


@pytest.mark.parametrize(("names", "clock"), [("ab", ()), ("a", (PASSED, BACK))], ids=["two others", "the clock moves"])
def test_an_append_without_a_lease_overwrites_nothing(names: str, clock: tuple[timedelta, ...]) -> None:
    assert check(names, *clock, creator="c").states > 30
