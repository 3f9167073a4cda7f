"""The receiving core against a model of it: any operations in any order, with splits, wrong claims, breaks and crashes.

In process, on a real database and a real store; only the connection is played.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests import django_home

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.files import api as files  # noqa: E402
from windlass.files.api import UploadStatus  # noqa: E402
from windlass.files.models import FileAsset, UploadSession  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.kernel.principals import Principal  # noqa: E402
from windlass.kernel.problem_types import (  # noqa: E402
    BodyDigestMismatch,
    Conflict,
    Forbidden,
    InconsistentLength,
    NotFound,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    QuotaExceeded,
    UploadGone,
    UploadLocked,
)
from windlass.protocols.digests import Checksum  # noqa: E402
from windlass.protocols.intents import Append, Concatenate, Create, Description  # noqa: E402
from windlass.receiving import append_operation, concatenation, lease, offset_uploads, single, transfer  # noqa: E402
from windlass.receiving.admission import admit  # noqa: E402
from windlass.receiving.body import ClientGone, RequestBody  # noqa: E402
from windlass.receiving.session import Outcome, leased_session  # noqa: E402
from windlass.storage.registry import store  # noqa: E402

ANN = Principal("user:71")
BATCH = 64  # so that bodies of a few hundred bytes are streamed


@pytest.fixture(scope="module", autouse=True)
def small_limits() -> Iterator[None]:
    django_home.migrated()
    patch = pytest.MonkeyPatch()
    patch.setattr("windlass.receiving.body.BATCH_SIZE", BATCH)
    patch.setattr(transfer, "BATCH_SIZE", BATCH)
    for name, value in {"DURABILITY": "os", "CHECKPOINT_BYTES": "128", "MAX_UPLOAD_SIZE": "2000"}.items():
        patch.setenv(name, value)
    conf.reload()
    yield
    patch.undo()
    conf.reload()


_runner = asyncio.Runner()


@pytest.fixture(scope="module", autouse=True)
def loop_ends(small_limits: None) -> Iterator[None]:
    yield
    _runner.close()


def run(work: Any) -> Any:
    """Run it to its end, with the tasks that it leaves in the background."""

    async def settled() -> Any:
        try:
            return await work
        finally:
            while concatenation._running:
                await asyncio.wait(list(concatenation._running.values()))
                await asyncio.sleep(0)

    return _runner.run(settled())


def who() -> Principal:
    return ANN


def body(pieces: list[bytes], *, breaks: bool = False) -> RequestBody:
    """A request's body as a server delivers it; one that breaks ends with a disconnect instead of its last piece."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append(
        {"type": "http.disconnect"} if breaks else {"type": "http.request", "body": b"", "more_body": False}
    )

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    return RequestBody(receive)


def stored(session: UploadSession) -> bytes:
    with store(session.store).open(session.store_key) as source:
        return source.read()


def split(content: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def create_upload(**claims: Any) -> Outcome:
    intent = Create(Description(), claims.pop("size", None), **claims)
    result: Outcome = run(offset_uploads.create(intent, ANN, None, dialect="tus"))
    return result


def append(upload_id: uuid.UUID, offset: int, source: RequestBody, dialect: str = "tus", **claims: Any) -> Outcome:
    result: Outcome = run(offset_uploads.append(Append(upload_id, offset, **claims), who, source, dialect=dialect))
    return result


CUTS = st.lists(st.integers(0, 2000), max_size=12)
#: Around the size of a batch, and several of them; no two alike.
CONTENT = st.tuples(st.sampled_from([400, 0, 1, BATCH - 1, BATCH, BATCH + 1, 400]), st.integers(0, 2**32)).map(
    lambda told: random.Random(told[1]).randbytes(told[0])
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.binary(min_size=1, max_size=1000), requests=CUTS, pieces=CUTS, breaks=st.lists(st.booleans(), max_size=6)
)
def test_any_split_of_a_file_gives_the_same_bytes(
    content: bytes, requests: list[int], pieces: list[int], breaks: list[bool]
) -> None:
    """Invariant: where a body is cut, into requests, into pieces, by a connection that breaks, is never seen."""
    upload = create_upload(size=len(content)).state.upload_id
    offset = 0
    for number, part in enumerate(split(content, requests)):
        broken = number < len(breaks) and breaks[number]
        outcome = append(upload, offset, body(split(part, pieces), breaks=broken))
        offset = outcome.state.offset
    session = UploadSession.objects.get(id=upload)
    assert (session.status, session.offset) == (UploadStatus.COMPLETED, len(content))
    assert stored(session) == content
    known = FileAsset.objects.get(upload_id=upload).checksum
    assert known in (None, hashlib.sha256(content).hexdigest())


@dataclass
class Model:
    """What an upload must be. ``gone``: it has ended without becoming a file, or was forgotten."""

    id: uuid.UUID
    dialect: str
    size: int | None
    content: bytes = b""
    partial: bool = False
    parts: list[Model] = field(default_factory=list)
    complete: bool = False
    gone: bool = False

    @property
    def whole(self) -> bool:
        return len(self.content) == self.size


class Receiving(RuleBasedStateMachine):
    """Invariants: an acknowledged byte is never lost nor changed, an upload becomes one file or none, and what ended
    frees its bytes."""

    uploads: Bundle[Model] = Bundle("uploads")
    parts: Bundle[Model] = Bundle("parts")
    finals: Bundle[Model] = Bundle("finals")

    @initialize()
    def nothing(self) -> None:
        self.known: list[Model] = []

    def _remember(self, model: Model) -> Model:
        self.known.append(model)
        return model

    @rule(target=uploads, size=st.sampled_from([900, None, 0, BATCH, 600]), dialect=st.sampled_from(["tus", "ietf"]))
    def create(self, size: int | None, dialect: str) -> Model:
        ends = False if dialect == "ietf" else None
        intent = Create(Description(), size, completes=ends)
        state = run(offset_uploads.create(intent, ANN, None, dialect=dialect)).state
        return self._remember(Model(state.upload_id, dialect, size, complete=size == 0 and ends is None))

    @rule(target=parts, content=CONTENT, whole=st.booleans())
    def create_part(self, content: bytes, whole: bool) -> Model:
        size = len(content) + (0 if whole else 7)
        model = Model(create_upload(size=size, partial=True).state.upload_id, "tus", size, partial=True)
        if content:
            append(model.id, 0, body([content]))
        model.content = content
        return self._remember(model)

    def _append(
        self,
        model: Model,
        content: bytes,
        piece: int,
        slip: int,
        checksum: str | None,
        breaks: bool,
        says_size: bool,
        last: bool,
    ) -> None:
        at = max(0, len(model.content) + slip)
        said = at + len(content) if says_size and model.size is None else None
        ends = last if model.dialect == "ietf" else None
        value = hashlib.sha1(content if checksum == "right" else content + b"!").digest()
        digests = (Checksum("sha1", value),) if checksum else ()
        source = body([content[at : at + piece] for at in range(0, len(content), piece)], breaks=breaks)
        claims = {"size": said, "completes": ends, "body_digests": digests}
        refusal = self._refusal(model, at, content, said, ends, checksum, breaks)
        if refusal is not None:
            with pytest.raises(refusal):
                append(model.id, at, source, model.dialect, **claims)
            return
        outcome = append(model.id, at, source, model.dialect, **claims)
        assert outcome.state.offset == len(model.content)
        assert outcome.state.complete == model.complete

    BODY = {
        "content": CONTENT,
        "piece": st.sampled_from([BATCH + 6, 30, 1000]),
        "slip": st.sampled_from([0, 0, 0, 0, 1, -1]),
        "checksum": st.sampled_from(["wrong", None, "right"]),
        "breaks": st.booleans(),
        "says_size": st.booleans(),
        "last": st.booleans(),
    }

    @rule(model=uploads, **BODY)
    def append(self, model: Model, **told: Any) -> None:
        self._append(model, **told)

    @rule(model=uploads, **BODY)
    def append_more(self, model: Model, **told: Any) -> None:
        """Once more, so that it happens more often."""
        self._append(model, **told)

    @rule(model=parts, **BODY)
    def append_to_a_part(self, model: Model, **told: Any) -> None:
        self._append(model, **told)

    def _refusal(
        self,
        model: Model,
        at: int,
        content: bytes,
        said: int | None,
        ends: bool | None,
        checksum: str | None,
        breaks: bool,
    ) -> type[Exception] | None:
        """Return the refusal that the request must get."""
        if model.gone:
            return Problem
        if model.complete:
            again = at + len(content) == len(model.content) and model.content[at:] == content and not content
            return None if again and ends is not False and checksum != "wrong" and at == len(model.content) else Problem
        if at != len(model.content):
            return OffsetMismatch
        size = said if model.size is None else model.size
        over = size is not None and at + len(content) > size
        if checksum and (breaks or over):
            return None
        if checksum == "wrong":
            return BodyDigestMismatch
        self._take(model, content[: size - at] if over and size is not None else content, said)
        if ends is None:
            model.complete = not model.partial and model.whole
        elif ends and not breaks and not over:
            if model.size is not None and not model.whole:
                return InconsistentLength
            model.complete, model.size = True, len(model.content)
        return None

    def _take(self, model: Model, content: bytes, said: int | None) -> None:
        model.content += content
        model.size = said if model.size is None else model.size

    @rule(model=uploads | parts | finals)
    def ask(self, model: Model) -> None:
        self._concatenate_complete_finals()
        if model.gone:
            with pytest.raises((UploadGone, NotFound)):
                run(offset_uploads.query(model.id, who, dialect=model.dialect))
            return
        state = run(offset_uploads.query(model.id, who, dialect=model.dialect)).state
        assert state.complete == model.complete
        if not model.parts or model.complete:
            assert (state.offset, state.size) == (len(model.content), model.size)

    @rule(model=uploads | parts | finals)
    def append_in_another_dialect(self, model: Model) -> None:
        other = "ietf" if model.dialect == "tus" else "tus"
        with pytest.raises((Conflict, UploadGone, NotFound)):
            append(model.id, len(model.content), body([b"x"]), other, completes=False)

    @rule(model=finals)
    def append_to_a_final(self, model: Model) -> None:
        with pytest.raises((Forbidden, UploadGone, NotFound)):
            append(model.id, 0, body([b"x"]))

    @rule(target=finals, parts=st.lists(parts, min_size=1, max_size=4))
    def concatenate(self, parts: list[Model]) -> Any:
        said = "final;" + " ".join(f"/uploads/{part.id}" for part in parts)
        metadata = f"note {uuid.uuid4().hex}"
        intent = Concatenate(Description(client_metadata=metadata), tuple(part.id for part in parts), said)
        if any(part.gone for part in parts):
            with pytest.raises((NotFound, UploadGone)):
                run(concatenation.concatenate(intent, ANN, dialect="tus"))
            return multiple()
        first = run(concatenation.concatenate(intent, ANN, dialect="tus")).state
        again = run(concatenation.concatenate(intent, ANN, dialect="tus")).state
        assert first.upload_id == again.upload_id
        model = self._remember(Model(first.upload_id, "tus", None, parts=parts))
        self._concatenate_complete_finals()
        assert again.complete == model.complete
        return model

    @rule(model=consumes(uploads) | consumes(parts) | consumes(finals))
    def delete(self, model: Model) -> None:
        self._concatenate_complete_finals()
        if model.gone:
            return
        run(offset_uploads.abort(model.id, who))
        model.gone = True
        self._fail_finals_of(model)

    @rule(model=uploads | parts)
    def expire(self, model: Model) -> None:
        UploadSession.objects.filter(id=model.id).update(expires_at=now() - timedelta(hours=1))
        files.clean_up_uploads()
        if not model.complete and not model.gone:
            model.gone = True
            self._fail_finals_of(model)

    @rule(model=uploads | parts, junk=st.binary(min_size=1, max_size=200))
    def crash(self, model: Model, junk: bytes) -> None:
        """A process wrote further bytes and died with the lease before it committed; no hash is in memory."""
        session = UploadSession.objects.filter(id=model.id, status=UploadStatus.ACTIVE).first()
        if session is not None:
            lease = files.take_lease(session.id, "the dead", 60)
            assert lease is not None
            writer = store(session.store).open_writer(session.store_key, session.store_state)
            writer.write(session.offset, [junk])
            writer.close()
            files.UPLOAD_LEASES.release_all("the dead")
        append_operation.digest_cache._digests.clear()

    def _concatenate_complete_finals(self) -> None:
        for model in self.known:
            if model.parts and not model.gone and not model.complete and all(part.whole for part in model.parts):
                model.content = b"".join(part.content for part in model.parts)
                model.size, model.complete = len(model.content), True

    def _fail_finals_of(self, part: Model) -> None:
        for model in self.known:
            if part in model.parts and not model.complete and not model.gone:
                model.gone = True
                concatenation.continue_abandoned(seconds=5)

    @invariant()
    def acknowledged_bytes_are_stored(self) -> None:
        self._concatenate_complete_finals()
        rows = {row.id: row for row in UploadSession.objects.filter(id__in=[model.id for model in self.known])}
        for model in self.known:
            row = rows.get(model.id)
            made = list(FileAsset.objects.filter(upload_id=model.id))
            assert len(made) == (1 if model.complete else 0), model
            if model.gone and not model.complete:
                assert row is None or row.status not in (UploadStatus.ACTIVE, UploadStatus.COMPLETED), model
                continue
            if row is None:
                assert model.gone, model
                continue
            assert row.lease_holder == "", model
            if model.complete:
                assert stored(row) == model.content, model
                assert made[0].checksum in (None, hashlib.sha256(model.content).hexdigest()), model
            elif not model.parts:
                assert stored(row)[: row.offset] == model.content, model
                assert row.size == model.size, model


Receiving.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReceiving = pytest.mark.slow(Receiving.TestCase)


PARTS = [concatenation.Part("local", "a", 5), concatenation.Part("s3", "b", 0), concatenation.Part("s3", "c", 4)]


@given(offset=st.integers(0, 9), step=st.integers(1, 10))
def test_remaining_pieces_are_exactly_the_missing_bytes(offset: int, step: int) -> None:
    whole = [(part.key, at) for part in PARTS for at in range(part.size)]
    left = [(part.key, start, size) for part, start, size in concatenation.pieces(PARTS, offset, step)]
    assert [(key, start + n) for key, start, size in left for n in range(size)] == whole[offset:]
    assert all(0 < size <= step for _, _, size in left)


def test_small_pieces_are_copied_in_batches() -> None:
    parts = [concatenation.Part("local", "a", 3)] * 2500
    taken = list(concatenation.steps(parts, 4, 1000))
    assert [piece for step in taken for piece in step] == list(concatenation.pieces(parts, 4, 1000))
    assert len(taken) == 8
    assert len(list(concatenation.steps(parts, 0, 10**9))) == 3


@pytest.mark.slow
def test_a_partial_upload_may_be_concatenated_with_itself_thousands_of_times() -> None:
    part = create_upload(size=3, partial=True).state.upload_id
    append(part, 0, body([b"abc"]))
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setenv("MAX_UPLOAD_SIZE", "100000")
        conf.reload()
        said = "final;" + f"/uploads/{part} " * 5000
        intent = Concatenate(Description(), (part,) * 5000, said)
        state = run(concatenation.concatenate(intent, ANN, dialect="tus")).state
    conf.reload()
    session = UploadSession.objects.get(id=state.upload_id)
    assert session.status == UploadStatus.COMPLETED
    assert stored(session) == b"abc" * 5000


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An owner with a quota of 500 bytes."""
    monkeypatch.setenv("QUOTA_BYTES", "500")
    conf.reload()
    yield f"user:{uuid.uuid4()}"
    monkeypatch.undo()
    conf.reload()


def stored_bytes(owner: str) -> int:
    """Return the number of bytes of this owner's uploads in the store."""
    return sum(len(stored(session)) for session in UploadSession.objects.filter(owner=owner))


def counted_bytes(owner: str) -> int:
    found = files.quota_usage(owner).bytes
    return found.used + found.reserved


@pytest.mark.slow
@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("proved", [False, True], ids=["", "with a digest"])
@pytest.mark.parametrize("dialect", ["tus", "ietf"])
def test_stored_bytes_of_uploads_of_unknown_length_stay_within_the_quota(
    limited: str, dialect: str, proved: bool, breaks: bool
) -> None:
    """Invariant: what lies in the store is counted, and never more than is allowed."""
    principal = Principal(limited)
    digests = (Checksum("sha1", b"x" * 20),) if proved else ()
    begun = [
        run(offset_uploads.create(Create(Description(), None), principal, None, dialect=dialect)).state.upload_id
        for _ in range(3)
    ]
    for upload in begun:
        with suppress(Problem):
            intent = Append(upload, 0, body_digests=digests)
            data = body([b"x" * 30] * 20, breaks=breaks)
            run(offset_uploads.append(intent, lambda: principal, data, dialect=dialect))
        assert stored_bytes(limited) <= counted_bytes(limited) <= 500
    offsets = [session.offset for session in UploadSession.objects.filter(owner=limited)]
    assert sum(offsets) == stored_bytes(limited) == counted_bytes(limited)
    assert (sum(offsets) == 0) == proved
    assert proved or sum(offsets) > 400, "what fits is kept"


def test_a_length_beyond_the_quota_is_refused_before_a_byte_is_read(limited: str) -> None:
    principal = Principal(limited)
    upload = run(offset_uploads.create(Create(Description(), None), principal, None, dialect="tus")).state.upload_id
    beyond, wrong = (
        Append(upload, 0, size=600),
        Append(upload, 0, size=400, body_digests=(Checksum("crc32", b"wrong"),)),
    )
    for intent, refusal in ((beyond, QuotaExceeded), (wrong, BodyDigestMismatch)):
        with pytest.raises(refusal):
            run(offset_uploads.append(intent, lambda: principal, body([b"x" * 100]), dialect="tus"))
    assert stored_bytes(limited) == counted_bytes(limited) == 0
    assert UploadSession.objects.get(id=upload).size is None


def test_bytes_written_by_a_dead_process_count_until_they_are_deleted(limited: str) -> None:
    principal = Principal(limited)
    upload = run(offset_uploads.create(Create(Description(), None), principal, None, dialect="tus")).state.upload_id
    lease = files.take_lease(upload, "the dead", 60)
    assert lease is not None
    with transaction.atomic():
        files.reserve_for_lease(lease, 300)
    session = UploadSession.objects.get(id=upload)
    writer = store(session.store).open_writer(session.store_key, session.store_state)
    writer.write(0, [b"x" * 300])
    writer.close()
    files.UPLOAD_LEASES.release_all("the dead")
    assert stored_bytes(limited) == counted_bytes(limited) == 300
    run(offset_uploads.append(Append(upload, 0), lambda: principal, body([b"abc"]), dialect="tus"))
    assert stored_bytes(limited) == counted_bytes(limited) == 3


@pytest.mark.parametrize("pieces", [1, 20])
def test_refused_whole_uploads_of_unknown_length_leave_nothing(limited: str, pieces: int) -> None:
    new = admit(Description(), None, Principal(limited), "raw")
    upload = single.SingleRequestUpload(new)

    async def send() -> None:
        try:
            await upload.receive(body([b"x" * (600 // pieces)] * pieces))
            await upload.finish("", lambda asset: asset.id)
        finally:
            await upload.discard()

    with pytest.raises(QuotaExceeded):
        run(send())
    assert counted_bytes(limited) == 0
    assert not list(store().objects(f"objects/{upload.id.hex[:2]}/{upload.id}"))


def test_a_body_beyond_the_length_is_refused_before_a_byte_is_read() -> None:
    upload = create_upload(size=4).state.upload_id
    with pytest.raises(PastDeclaredLength):
        append(upload, 0, body([b"abcde"]), body_length=5)
    assert run(offset_uploads.query(upload, who, dialect="tus")).state.offset == 0


def test_a_query_reports_what_a_writer_commits_while_the_session_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = create_upload(size=10).state.upload_id
    loaded = asyncio.Event()
    load = offset_uploads.in_database

    async def write() -> None:
        with lease.writers.registered(upload):
            await loaded.wait()
            with suppress(ClientGone):
                await offset_uploads.append(Append(upload, 0), who, body([b"abc"], breaks=True), dialect="tus")

    async def query() -> int:
        writer = asyncio.create_task(write())

        async def load_until_the_writer_has_ended(*arguments: Any) -> Any:
            session = await load(*arguments)
            loaded.set()
            await asyncio.wait([writer])
            return session

        monkeypatch.setattr(offset_uploads, "in_database", load_until_the_writer_has_ended)
        offset: int = (await offset_uploads.query(upload, who, dialect="tus")).state.offset
        return offset

    assert run(query()) == 3


@pytest.mark.parametrize(
    ("ends", "problem"),
    [(lambda upload: None, UploadLocked), (files.forget_upload, UploadGone)],
    ids=["taken", "ended"],
)
def test_a_lease_that_was_lost_before_its_session_is_loaded(
    ends: Callable[[uuid.UUID], None], problem: type[Problem]
) -> None:
    """The holder was stopped in between. The upload has not ended because another request has it."""
    upload = create_upload(size=10).state.upload_id
    lost = files.take_lease(upload, "stopped", seconds=0)
    assert lost is not None
    assert files.take_lease(upload, "other", seconds=10) is not None
    ends(upload)
    with pytest.raises(problem):
        leased_session(lost)


WHOLE = b"the whole file"


def create_small() -> uuid.UUID:
    upload: uuid.UUID = create_upload(size=len(WHOLE)).state.upload_id
    return upload


def append_whole(upload: uuid.UUID, content: bytes = WHOLE) -> Outcome:
    return append(upload, 0, body([content]), body_length=len(content))


def session_of(upload: uuid.UUID) -> UploadSession:
    return UploadSession.objects.get(id=upload)


def write_elsewhere(upload: uuid.UUID, content: bytes = b"") -> None:
    """What another process does that appends ``content``."""
    taken = files.take_lease(upload, "other", seconds=10)
    assert taken is not None
    if content:
        with closing(store().open_writer(taken.store_key, taken.state)) as writer:
            writer.write(0, [content])
            state = writer.sync()
        files.commit_offset(taken, len(content), state, ttl_hours=1, release=True)
    else:
        files.release_lease(taken)


def require_recorded_once(upload: uuid.UUID, *, epoch: int) -> None:
    session = session_of(upload)
    assert (session.status, session.lease_epoch, stored(session)) == (UploadStatus.COMPLETED, epoch, WHOLE)
    assert FileAsset.objects.filter(upload_id=upload).count() == 1


def test_the_first_append_of_a_whole_file_takes_no_lease() -> None:
    upload = create_small()
    append_whole(upload)
    require_recorded_once(upload, epoch=0)
    append_whole(upload)  # the answer was lost
    require_recorded_once(upload, epoch=0)


def test_a_first_append_after_another_process_had_the_lease() -> None:
    upload = create_small()
    write_elsewhere(upload)
    append_whole(upload)
    require_recorded_once(upload, epoch=2)


def test_a_first_append_overwrites_nothing_that_another_process_has_committed() -> None:
    upload = create_small()
    write_elsewhere(upload, b"THE")
    with pytest.raises(OffsetMismatch):
        append_whole(upload)
    assert stored(session_of(upload)) == b"THE"


@pytest.mark.parametrize("delete", [False, True])
def test_a_first_append_to_a_cancelled_upload(*, delete: bool) -> None:
    upload = create_small()
    files.mark_upload_ended(upload, UploadStatus.CANCELLED)
    if delete:
        files.forget_upload(upload)
    with pytest.raises(NotFound if delete else UploadGone):
        append_whole(upload)
    assert not FileAsset.objects.filter(upload_id=upload).exists()


def test_another_process_takes_the_lease_before_the_file_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = create_small()
    write, written = append_operation.append_at_once, []

    def write_and_lose(*arguments: Any, **options: Any) -> Any:
        state = write(*arguments, **options)
        if not written:
            write_elsewhere(upload)
        written.append(upload)
        return state

    monkeypatch.setattr(append_operation, "append_at_once", write_and_lose)
    append_whole(upload)
    assert len(written) == 2
    require_recorded_once(upload, epoch=2)


def test_a_first_append_while_another_process_has_locked_the_object() -> None:
    upload = create_small()
    session = session_of(upload)
    with closing(store().open_writer(session.store_key, session.store_state)), pytest.raises(UploadLocked):
        append_whole(upload)
    append_whole(upload)
    require_recorded_once(upload, epoch=2)


def test_a_first_append_that_breaks_off() -> None:
    upload = create_small()
    append(upload, 0, body([WHOLE[:4]], breaks=True), body_length=len(WHOLE))
    assert (session_of(upload).offset, session_of(upload).lease_epoch) == (4, 1)
    append(upload, 4, body([WHOLE[4:]]), body_length=len(WHOLE) - 4)
    require_recorded_once(upload, epoch=2)
