"""The client's conversations, without a server: what it does after each thing that a server, or a network, can say."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from windlass.client import (
    BadAnswer,
    ChecksumMismatch,
    GaveUp,
    Gone,
    Invalid,
    NotFound,
    Refused,
    ServerFailed,
    SourceChanged,
    TooLarge,
    Unauthenticated,
    WaitTimeout,
)
from windlass.client import records as questions
from windlass.client.commands import Answer, Call, Command, Flow, Interrupted, Outcome, Pause, Request
from windlass.client.downloading import Download, safe_name
from windlass.client.memory import KEEP_SECONDS, FileSlot, Slot, state_directory
from windlass.client.models import file_of
from windlass.client.options import Wanted
from windlass.client.patience import Patience
from windlass.client.server import Server
from windlass.client.source import ObjectSource, PathSource
from windlass.client.uploading import Upload

T = TypeVar("T")

BYTES = bytes(range(256)) * 4
SIZE = len(BYTES)
FILE = "0b9b2f0e-3c5e-4c1b-9d0a-2f6f6a3c1d11"
UPLOAD = "http://windlass.test/uploads/7"
BROKEN = Interrupted("the connection broke", 0.1)


def problem(status: int, slug: str, detail: str = "It is so.", **headers: str) -> Answer:
    document = {"type": f"/problems/{slug}", "title": "A title", "status": status, "detail": detail}
    return Answer(status, {"content-type": "application/problem+json", **headers}, json.dumps(document).encode())


def took(offset: int, **headers: str) -> Answer:
    return Answer(204, {"upload-offset": str(offset), **headers})


def stands_at(offset: int, **headers: str) -> Answer:
    return Answer(200, {"upload-offset": str(offset), **headers})


CREATED = Answer(201, {"location": "/uploads/7"})
WHOLE = {"windlass-file": f"/files/{FILE}/"}


class Talk(Generic[T]):
    """Plays the shell and the server: runs calls and pauses at once, and hands out each request."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.paused: list[float] = []
        self.result: T | None = None
        self.ended = False
        self.request = self._next(lambda: next(flow))

    def hear(self, outcome: Outcome) -> Request | None:
        """The request that follows this outcome of the last one."""
        self.request = self._next(lambda: self._flow.send(outcome))
        return self.request

    def _next(self, step: Callable[[], Command]) -> Any:
        try:
            command = step()
            while not isinstance(command, Request):
                if isinstance(command, Pause):
                    self.paused.append(command.seconds)
                command = self._flow.send(command.function() if isinstance(command, Call) else None)
        except StopIteration as end:
            self.result, self.ended = end.value, True
            return None
        return command


class Kept(Slot):
    """A memory of one upload."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url

    def recall(self) -> str | None:
        return self.url

    def remember(self, url: str) -> None:
        self.url = url

    def forget(self) -> None:
        self.url = None


def patience(limit: float = 60.0) -> Patience:
    return Patience(limit, first=limit, jitter=lambda _low, high: high)


def upload(slot: Slot | None = None, data: bytes = BYTES, limit: float = 60.0, **options: Any) -> Talk[str]:
    source = ObjectSource(io.BytesIO(data))
    talk = Upload(SERVER, source, Wanted(**options), slot or Kept(), patience(limit)).run()
    return Talk(talk)


SERVER = Server("http://windlass.test", "wl_secret")


def body_of(request: Request) -> bytes:
    """What would go out, as a shell sends it."""
    if isinstance(request.body, bytes):
        return request.body
    sent = b""
    while len(sent) < request.body.length:
        sent += request.body.read(len(sent))
        request.body.sent(len(sent))
    return sent


def send_part(request: Request, count: int) -> None:
    """The connection takes so many bytes and no more."""
    assert not isinstance(request.body, bytes)
    request.body.sent(count)


def hear_for_ever(talk: Talk[Any], *outcomes: Outcome) -> None:
    for outcome in outcomes * 100:
        if talk.request.method == "PATCH":
            send_part(talk.request, 500)
        talk.hear(outcome)


# Uploading


def test_a_file_is_created_and_sent_in_one_request() -> None:
    progress: list[tuple[int, int]] = []
    slot = Kept()
    talk = upload(slot, on_progress=lambda sent, total: progress.append((sent, total)), filename="käse.bin")
    assert (talk.request.method, talk.request.url) == ("POST", "http://windlass.test/files/")
    assert talk.request.headers["Upload-Length"] == str(SIZE)
    assert talk.request.headers["Tus-Resumable"] == "1.0.0"
    assert talk.request.headers["Authorization"] == "Bearer wl_secret"

    patch = talk.hear(CREATED)
    assert slot.url == UPLOAD, "a crash from here on loses nothing"
    assert patch is not None
    assert (patch.method, patch.url, patch.headers["Upload-Offset"]) == ("PATCH", UPLOAD, "0")
    assert patch.headers["Content-Type"] == "application/offset+octet-stream"
    assert body_of(patch) == BYTES

    talk.hear(took(SIZE, **WHOLE))
    assert talk.result == FILE
    assert slot.url is None, "what is whole is not resumed"
    assert progress[-1] == (SIZE, SIZE)


def test_what_is_said_of_the_file_travels_as_tus_metadata() -> None:
    talk = upload(filename="a.pdf", profile="media", reference="r 1", metadata={"page": 3, "who": "Zoë"}, sha256=True)
    pairs = dict(pair.split(" ") for pair in talk.request.headers["Upload-Metadata"].split(","))
    said = {key: base64.b64decode(value).decode() for key, value in pairs.items()}
    assert said == {
        "filename": "a.pdf",
        "filetype": "application/pdf",
        "profile": "media",
        "reference": "r 1",
        "sha256": hashlib.sha256(BYTES).hexdigest(),
        "page": "3",
        "who": "Zoë",
    }


@pytest.mark.parametrize("key", ["", "two words", "a,b", "größe", "filename", "sha256"])
def test_a_key_that_tus_cannot_carry_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(ValueError, match="metadata"):
        Wanted(metadata={key: "value"})


def test_chunks_follow_each_other() -> None:
    talk = upload(chunk_size=600)
    first = talk.hear(CREATED)
    assert first is not None
    assert body_of(first) == BYTES[:600]
    second = talk.hear(took(600))
    assert second is not None
    assert second.headers["Upload-Offset"] == "600"
    assert body_of(second) == BYTES[600:]
    talk.hear(took(SIZE, **WHOLE))
    assert talk.result == FILE


def test_an_empty_file_is_whole_when_it_is_created() -> None:
    talk = upload(data=b"")
    talk.hear(Answer(201, {"location": "/uploads/7", **WHOLE}))
    assert talk.result == FILE


def test_an_upload_of_an_earlier_run_goes_on_where_the_server_stands() -> None:
    progress: list[int] = []
    talk = upload(Kept(UPLOAD), on_progress=lambda sent, _: progress.append(sent))
    assert (talk.request.method, talk.request.url) == ("HEAD", UPLOAD)
    patch = talk.hear(stands_at(1000))
    assert patch is not None
    assert patch.headers["Upload-Offset"] == "1000"
    assert body_of(patch) == BYTES[1000:]
    assert progress[0] == 1000


def test_an_upload_of_an_earlier_run_that_had_become_whole_is_not_sent_again() -> None:
    talk = upload(Kept(UPLOAD))
    talk.hear(stands_at(SIZE, **WHOLE))
    assert talk.result == FILE


def test_without_resume_nothing_is_recalled_or_kept() -> None:
    slot = Kept(UPLOAD)
    talk = upload(slot, resume=False)
    assert talk.request.method == "POST"
    talk.hear(Answer(201, {"location": "/uploads/8"}))
    assert slot.url == UPLOAD


@pytest.mark.parametrize(
    "outcome",
    [
        BROKEN,
        problem(408, "receive-timeout"),
        problem(409, "offset-mismatch"),
        Answer(409),
        problem(423, "upload-locked"),
        problem(429, "too-many-requests"),
        problem(500, "internal-error"),
        Answer(502),
        problem(503, "unavailable"),
        problem(507, "storage-full"),
    ],
    ids=lambda outcome: str(getattr(outcome, "status", "interrupted")),
)
def test_after_a_passing_failure_the_server_is_asked_where_it_stands(outcome: Outcome) -> None:
    slot = Kept()
    talk = upload(slot)
    patch = talk.hear(CREATED)
    assert patch is not None
    send_part(patch, 800)
    head = talk.hear(outcome)
    assert head is not None
    assert (head.method, head.url) == ("HEAD", UPLOAD)
    assert len(talk.paused) == 1
    assert slot.url == UPLOAD
    again = talk.hear(stands_at(512))
    assert again is not None
    assert body_of(again) == BYTES[512:]
    talk.hear(took(SIZE, **WHOLE))
    assert talk.result == FILE


def test_progress_falls_only_where_the_server_has_less_and_then_it_is_said() -> None:
    progress: list[int] = []
    notices: list[str] = []
    talk = upload(on_progress=lambda sent, _: progress.append(sent), on_notice=notices.append)
    patch = talk.hear(CREATED)
    assert patch is not None
    send_part(patch, 900)
    talk.hear(BROKEN)
    talk.hear(stands_at(700))
    assert progress == [900, 700]
    assert any("700 of the 900 bytes" in notice for notice in notices)


def test_a_server_that_names_a_time_is_given_it() -> None:
    talk = upload()
    talk.hear(problem(429, "too-many-requests", **{"retry-after": "17"}))
    assert talk.paused == [17.0]
    assert talk.request.method == "POST"


@pytest.mark.parametrize("outcome", [BROKEN, Answer(503), Answer(500), problem(423, "upload-locked")])
def test_asking_where_it_stands_is_repeated(outcome: Outcome) -> None:
    talk = upload(Kept(UPLOAD))
    for _ in range(3):
        request = talk.hear(outcome)
        assert request is not None
        assert request.method == "HEAD"
    assert talk.paused == sorted(talk.paused), "the pauses grow"
    assert len(set(talk.paused)) == 3


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_the_server_has_forgotten_begins_anew_once(status: int) -> None:
    slot = Kept(UPLOAD)
    talk = upload(slot)
    create = talk.hear(Answer(status))
    assert create is not None
    assert create.method == "POST"
    assert slot.url is None
    talk.hear(Answer(201, {"location": "/uploads/8"}))
    with pytest.raises(Gone if status == 410 else NotFound):
        talk.hear(problem(status, "upload-gone"))
    assert slot.url is None


def test_an_upload_that_ends_between_two_chunks_begins_anew_from_zero() -> None:
    talk = upload(chunk_size=600)
    talk.hear(CREATED)
    talk.hear(took(600))
    talk.hear(problem(410, "upload-gone"))
    assert talk.request.method == "POST"
    patch = talk.hear(Answer(201, {"location": "/uploads/8"}))
    assert patch is not None
    assert patch.headers["Upload-Offset"] == "0"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "unauthenticated"), Unauthenticated),
        (problem(413, "file-too-large"), TooLarge),
        (problem(415, "unsupported-media-type"), Refused),
        (problem(422, "invalid-field"), Invalid),
        (problem(507, "storage-full"), ServerFailed),
        (Answer(404, {"content-type": "text/html"}, b"<p>no"), NotFound),
    ],
)
def test_a_refused_creation_is_not_repeated(answer: Answer, error: type[Refused]) -> None:
    talk = upload()
    with pytest.raises(error) as raised:
        talk.hear(answer)
    assert raised.value.status == answer.status
    assert talk.paused == []


def test_a_refusal_carries_the_problem() -> None:
    talk = upload()
    with pytest.raises(TooLarge, match="at most 5 bytes") as raised:
        talk.hear(problem(413, "file-too-large", "The file may have at most 5 bytes."))
    assert raised.value.slug == "file-too-large"
    assert raised.value.problem["title"] == "A title"


def test_bytes_that_prove_wrong_end_the_upload() -> None:
    slot = Kept()
    talk = upload(slot, sha256="0" * 64)
    talk.hear(CREATED)
    with pytest.raises(Invalid):
        talk.hear(problem(422, "checksum-mismatch"))
    assert slot.url is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_credential_leaves_the_upload_to_be_resumed(status: int) -> None:
    slot = Kept(UPLOAD)
    talk = upload(slot)
    with pytest.raises(Refused):
        talk.hear(Answer(status))
    assert slot.url == UPLOAD


def test_a_conflict_that_is_not_about_the_offset_is_final() -> None:
    talk = upload()
    talk.hear(CREATED)
    with pytest.raises(Refused, match="another dialect"):
        talk.hear(problem(409, "conflict", "It was begun in another dialect."))


def test_it_gives_up_after_its_patience_and_keeps_the_upload() -> None:
    slot = Kept(UPLOAD)
    talk = upload(slot, limit=10.0)
    with pytest.raises(GaveUp, match="goes on from where it stopped"):
        hear_for_ever(talk, BROKEN)
    assert 9.0 < sum(talk.paused) < 40.0
    assert slot.url == UPLOAD


def test_a_server_that_fails_to_the_end_is_quoted() -> None:
    talk = upload(limit=5.0)
    with pytest.raises(ServerFailed, match="No room"):
        hear_for_ever(talk, problem(503, "unavailable", "No room."))


def test_every_step_forward_renews_patience() -> None:
    talk = upload(limit=4.0, chunk_size=10)
    talk.hear(CREATED)
    for offset in range(10, 210, 10):
        send_part(talk.request, 5)
        talk.hear(Interrupted("the connection broke", 100.0))
        talk.hear(stands_at(offset - 10))
        talk.hear(took(offset))
    assert sum(talk.paused) > 4.0


def test_a_server_that_takes_bytes_and_never_keeps_them_is_given_up() -> None:
    talk = upload(limit=10.0)
    talk.hear(CREATED)
    with pytest.raises(GaveUp):
        hear_for_ever(talk, BROKEN, stands_at(0))


@pytest.mark.parametrize("offset", ["", "-1", "1.5", str(SIZE + 1)])
def test_an_offset_that_makes_no_sense_ends_it(offset: str) -> None:
    talk = upload(Kept(UPLOAD))
    with pytest.raises(BadAnswer):
        talk.hear(Answer(200, {"upload-offset": offset}))


def test_a_tus_server_that_is_not_windlass_is_told_apart() -> None:
    talk = upload()
    talk.hear(CREATED)
    talk.hear(took(SIZE))
    with pytest.raises(BadAnswer, match="Windlass"):
        talk.hear(took(SIZE))


def test_the_token_is_told_to_its_server_only() -> None:
    talk = upload()
    patch = talk.hear(Answer(201, {"location": "http://elsewhere.test/uploads/7"}))
    assert patch is not None
    assert "Authorization" not in patch.headers


def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    path.write_bytes(BYTES)
    talk = Talk(Upload(SERVER, PathSource(path), Wanted(chunk_size=600), Kept(), patience()).run())
    talk.hear(CREATED)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        talk.hear(took(600))


def test_a_file_object_is_sent_from_where_it_stands(tmp_path: Path) -> None:
    file = io.BytesIO(b"skip" + BYTES)
    file.seek(4)
    talk = Talk(Upload(SERVER, ObjectSource(file), Wanted(), Kept(), patience()).run())
    patch = talk.hear(CREATED)
    assert patch is not None
    assert body_of(patch) == BYTES


def test_only_regular_files_and_binary_objects_can_be_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="regular"):
        PathSource(tmp_path / "pipe")
    with (tmp_path / "text").open("w+") as text, pytest.raises(TypeError, match="binary"):
        ObjectSource(text)  # type: ignore[arg-type]


# Memory of unfinished uploads


def slot_of(directory: Path, **more: Any) -> FileSlot:
    return FileSlot(directory, {"server": "http://a", "path": "/x", "size": 1, "modified_ns": 2, **more})


def test_a_slot_is_found_again_by_another_process_and_by_nobody_else(tmp_path: Path) -> None:
    slot_of(tmp_path).remember(UPLOAD)
    assert slot_of(tmp_path).recall() == UPLOAD
    assert slot_of(tmp_path, size=2).recall() is None
    assert slot_of(tmp_path, profile="media").recall() is None
    (entry,) = (tmp_path / "uploads").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    slot_of(tmp_path).forget()
    assert slot_of(tmp_path).recall() is None


def test_a_damaged_slot_or_an_unwritable_place_is_no_reason_to_fail(tmp_path: Path) -> None:
    slot_of(tmp_path).remember(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    entry.write_text("{")
    assert slot_of(tmp_path).recall() is None
    (tmp_path / "file").write_text("")
    slot_of(tmp_path / "file").remember(UPLOAD)
    slot_of(tmp_path / "file").forget()


def test_old_entries_die(tmp_path: Path) -> None:
    slot_of(tmp_path).remember(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    old = entry.stat().st_mtime - KEEP_SECONDS - 60
    os.utime(entry, (old, old))
    slot_of(tmp_path, size=2).remember(UPLOAD)
    assert slot_of(tmp_path).recall() is None
    assert slot_of(tmp_path, size=2).recall() == UPLOAD


def test_the_state_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert state_directory() == Path("/somewhere/state/windlass")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_directory() == Path.home() / ".local" / "state" / "windlass"


# Patience


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    steady = Patience(1e9, first=1e9, shortest=0.5, longest=30.0, jitter=lambda _low, high: high)
    assert [steady.after_failure() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    spread = Patience(1e9, first=1e9)
    delays = [spread.after_failure() or 0.0 for _ in range(50)]
    assert all(15.0 <= delay <= 30.0 for delay in delays[10:])
    assert len(set(delays[10:])) > 10


def test_a_server_that_never_answered_is_given_less_time() -> None:
    waiting = Patience(300.0, first=15.0)
    total = 0.0
    while (delay := waiting.after_failure(spent=1.0)) is not None:
        total += delay + 1.0
    assert total < 40.0
    waiting = Patience(300.0, first=15.0)
    waiting.answered()
    assert all(waiting.after_failure(spent=1.0) is not None for _ in range(10))


# Records


RECORD: dict[str, Any] = {
    "id": FILE,
    "original_filename": "report.pdf",
    "size": SIZE,
    "status": "READY",
    "mime_type": "application/pdf",
    "declared_mime_type": None,
    "checksum": hashlib.sha256(BYTES).hexdigest(),
    "checksum_algorithm": "sha256",
    "width": None,
    "height": None,
    "duration": None,
    "page_count": 3,
    "extra_attributes": {},
    "metadata": {"a": "b"},
    "profile": "default",
    "reference": None,
    "duplicate_of": None,
    "thumbnail_url": None,
    "renditions": [
        {
            "name": "thumbnail",
            "kind": "image",
            "mime_type": "image/webp",
            "size": 9,
            "width": 1,
            "height": 2,
            "url": "/u",
        }
    ],
    "checks": [{"name": "size", "state": "passed", "detail": "5 bytes"}],
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05.678Z",
    "expires_at": None,
    "rejection": None,
    "links": {"self": f"/files/{FILE}/"},
}


def says(document: Any) -> Answer:
    return Answer(200, {"content-type": "application/json"}, json.dumps(document).encode())


def test_a_record_is_typed_and_survives_a_newer_server() -> None:
    file = file_of(RECORD | {"invented_later": 1})
    assert (file.page_count, file.renditions[0].width, file.checks[0].state) == (3, 1, "passed")
    assert file.created_at.utcoffset() is not None
    assert file.raw["invented_later"] == 1
    rejected = file_of(RECORD | {"rejection": {"rule": "type", "detail": "No.", "limit": None, "actual": "x"}})
    assert rejected.rejection is not None
    assert rejected.rejection.rule == "type"


@pytest.mark.parametrize("answer", [Answer(200, {}, b"<html>"), says([]), says({"id": FILE})])
def test_an_answer_that_is_no_record_is_said_to_be_none(answer: Answer) -> None:
    talk = Talk(questions.file(SERVER, FILE, patience()))
    with pytest.raises(BadAnswer):
        talk.hear(answer)


@pytest.mark.parametrize("outcome", [BROKEN, Answer(429, {"retry-after": "2"}), Answer(502), Answer(503)])
def test_a_question_is_asked_again(outcome: Outcome) -> None:
    talk = Talk(questions.file(SERVER, FILE, patience()))
    again = talk.hear(outcome)
    assert again is not None
    assert again.method == "GET"
    talk.hear(says(RECORD))
    assert talk.result == file_of(RECORD)


def test_a_change_that_may_have_happened_is_not_asked_for_again() -> None:
    talk = Talk(questions.reprocess(SERVER, FILE, patience()))
    with pytest.raises(GaveUp):
        talk.hear(BROKEN)
    talk = Talk(questions.reprocess(SERVER, FILE, patience()))
    again = talk.hear(problem(503, "unavailable", **{"retry-after": "1"}))
    assert again is not None
    assert again.method == "POST"


def test_a_list_goes_on_at_the_link_of_its_page() -> None:
    url = questions.first_page(SERVER, {"status": "READY", "mime_type": "image/*", "q": None})
    assert url == "http://windlass.test/files/?status=READY&mime_type=image%2F%2A"
    talk = Talk(questions.page(SERVER, url, patience()))
    talk.hear(says({"results": [RECORD], "next": "/files/?cursor=x"}))
    assert talk.result is not None
    assert talk.result.next == "http://windlass.test/files/?cursor=x"


def test_a_server_may_live_below_a_path() -> None:
    server = Server("https://host.test/windlass/")
    assert server.url("files", "a/b") == "https://host.test/windlass/files/a%2Fb/"


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Server(url)


def status(state: str, progress: int = 0) -> Answer:
    return says(
        {"id": FILE, "status": state, "progress": progress, "stage": "intake", "message": "", "steps": [], "owed": []}
    )


def test_waiting_tells_each_change_once_and_asks_less_often_while_nothing_changes() -> None:
    seen: list[tuple[str, int]] = []
    talk = Talk(questions.wait(SERVER, FILE, patience(), on_status=lambda now: seen.append((now.status, now.progress))))
    for _ in range(5):
        talk.hear(status("PENDING"))
    assert talk.paused == sorted(talk.paused)
    assert talk.paused[-1] > talk.paused[0]
    talk.hear(status("PROCESSING", 50))
    assert talk.paused[-1] == talk.paused[0]
    talk.hear(BROKEN)
    record = talk.hear(status("READY", 100))
    assert record is not None
    assert record.url.endswith(f"/files/{FILE}/")
    talk.hear(says(RECORD))
    assert talk.result == file_of(RECORD)
    assert seen == [("PENDING", 0), ("PROCESSING", 50), ("READY", 100)]


def test_waiting_ends_when_its_time_is_over() -> None:
    moments = iter([0.0, 4.0, 10.5])
    talk = Talk(questions.wait(SERVER, FILE, patience(), timeout=10.0, clock=lambda: next(moments)))
    talk.hear(status("PROCESSING"))
    with pytest.raises(WaitTimeout, match="PROCESSING"):
        talk.hear(status("PROCESSING"))


# Downloading


def download(target: Path, record: dict[str, Any] = RECORD) -> Talk[Path]:
    talk = Talk(Download(SERVER, FILE, target, patience()).run())
    talk.hear(says(record))
    return talk


def deliver(talk: Talk[Path], answer: Answer, data: bytes, outcome: Outcome | None = None) -> None:
    """The server sends ``data``, and then the answer is whole or ``outcome`` happened."""
    sink = talk.request.sink
    assert sink is not None
    assert sink.begin(answer)
    sink.write(data)
    sink.received()
    talk.hear(outcome or answer)


def part(offset: int) -> Answer:
    return Answer(206, {"content-range": f"bytes {offset}-{SIZE - 1}/{SIZE}"})


def test_a_download_gets_its_name_when_it_is_whole_and_right(tmp_path: Path) -> None:
    talk = download(tmp_path)
    assert "Range" not in talk.request.headers
    deliver(talk, Answer(200), BYTES)
    assert talk.result == tmp_path / "report.pdf"
    assert (tmp_path / "report.pdf").read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["report.pdf"]


def test_a_download_goes_on_after_an_interruption_and_in_a_later_run(tmp_path: Path) -> None:
    talk = download(tmp_path / "out")
    deliver(talk, Answer(200), BYTES[:300], BROKEN)
    assert talk.request.headers["Range"] == "bytes=300-"
    assert talk.request.headers["If-Range"] == f'"{RECORD["checksum"]}"'
    deliver(talk, part(300), BYTES[300:500], BROKEN)
    talk._flow.close()
    assert not (tmp_path / "out").exists()

    talk = download(tmp_path / "out")
    assert talk.request.headers["Range"] == "bytes=500-"
    deliver(talk, part(500), BYTES[500:])
    assert (tmp_path / "out").read_bytes() == BYTES


def test_a_server_that_sends_everything_again_is_taken_at_its_word(tmp_path: Path) -> None:
    talk = download(tmp_path / "out")
    deliver(talk, Answer(200), BYTES[:300], BROKEN)
    deliver(talk, Answer(200), BYTES)
    assert (tmp_path / "out").read_bytes() == BYTES


def test_bytes_that_are_not_those_of_the_record_are_thrown_away(tmp_path: Path) -> None:
    talk = download(tmp_path / "out")
    with pytest.raises(ChecksumMismatch):
        deliver(talk, Answer(200), BYTES[:-1] + b"?")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_served_yet_is_waited_for(tmp_path: Path) -> None:
    talk = download(tmp_path / "out")
    again = talk.hear(problem(409, "not-ready", **{"retry-after": "1"}))
    assert again is not None
    assert talk.paused == [1.0]
    with pytest.raises(Gone):
        talk.hear(problem(410, "file-released"))


def test_a_redirect_to_a_store_is_followed_without_the_token(tmp_path: Path) -> None:
    talk = download(tmp_path / "out")
    there = talk.hear(Answer(302, {"location": "https://store.test/key?signature=1"}))
    assert there is not None
    assert there.url == "https://store.test/key?signature=1"
    assert "Authorization" not in there.headers
    deliver(talk, Answer(200), BYTES[:300], BROKEN)
    assert talk.request.url == f"http://windlass.test/files/{FILE}/download/", "the signature may have run out"
    talk._flow.close()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("", "download"),
        ("..", "download"),
        ("a\x1b[2Jb", "a[2Jb"),
    ],
)
def test_a_name_from_elsewhere_stays_in_its_directory(name: str, kept: str) -> None:
    assert safe_name(name) == kept
