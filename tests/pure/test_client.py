"""The client without a server: what it does after each response and each failure of the connection."""

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
    Client,
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
    api_calls,
)
from windlass.client.download import Download, safe_name
from windlass.client.effects import Call, ConnectionFailure, Effect, Flow, Outcome, Request, Response, Sleep
from windlass.client.models import file_of
from windlass.client.resume_state import KEEP_SECONDS, ResumeFile, ResumeState, state_directory
from windlass.client.retries import RetryBudget, send_with_retries
from windlass.client.server import Server
from windlass.client.upload import Upload, UploadSettings
from windlass.client.upload_source import ObjectSource, PathSource

T = TypeVar("T")

BYTES = bytes(range(256)) * 4
SIZE = len(BYTES)
FILE = "0b9b2f0e-3c5e-4c1b-9d0a-2f6f6a3c1d11"
UPLOAD = "http://windlass.test/uploads/7"
CONNECTION_BROKE = ConnectionFailure("the connection broke", 0.1)


def problem(status: int, slug: str, detail: str = "It is so.", **headers: str) -> Response:
    document = {"type": f"/problems/{slug}", "title": "A title", "status": status, "detail": detail}
    return Response(status, {"content-type": "application/problem+json", **headers}, json.dumps(document).encode())


def appended(offset: int, **headers: str) -> Response:
    return Response(204, {"upload-offset": str(offset), **headers})


def offset_is(offset: int, **headers: str) -> Response:
    return Response(200, {"upload-offset": str(offset), **headers})


CREATED = Response(201, {"location": "/uploads/7"})
COMPLETE = {"windlass-file": f"/files/{FILE}/"}


class Exchange(Generic[T]):
    """Plays the client loop and the server: performs calls and pauses at once, and exposes each request."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.pauses: list[float] = []
        self.result: T | None = None
        self.ended = False
        self.request = self._next(lambda: next(flow))

    def answer(self, outcome: Outcome) -> Request | None:
        """Answer the current request; return the next one."""
        self.request = self._next(lambda: self._flow.send(outcome))
        return self.request

    def _next(self, step: Callable[[], Effect]) -> Any:
        try:
            effect = step()
            while not isinstance(effect, Request):
                if isinstance(effect, Sleep):
                    self.pauses.append(effect.seconds)
                effect = self._flow.send(effect.function() if isinstance(effect, Call) else None)
        except StopIteration as end:
            self.result, self.ended = end.value, True
            return None
        return effect


class StoredUrl(ResumeState):
    """Stores one URL in memory."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url

    def load_url(self) -> str | None:
        return self.url

    def save_url(self, url: str) -> None:
        self.url = url

    def delete(self) -> None:
        self.url = None


def retry_budget(limit: float = 60.0) -> RetryBudget:
    return RetryBudget(limit, first=limit, jitter=lambda _low, high: high)


def upload(
    resume_state: ResumeState | None = None, data: bytes = BYTES, limit: float = 60.0, **options: Any
) -> Exchange[str]:
    source = ObjectSource(io.BytesIO(data))
    exchange = Upload(SERVER, source, UploadSettings(**options), resume_state or StoredUrl(), retry_budget(limit)).run()
    return Exchange(exchange)


SERVER = Server("http://windlass.test", "wl_secret")


def body_of(request: Request) -> bytes:
    """Return what the client would send."""
    if isinstance(request.body, bytes):
        return request.body
    sent = b""
    while len(sent) < request.body.length:
        sent += request.body.read(len(sent))
        request.body.report_sent(len(sent))
    return sent


def send_part(request: Request, count: int) -> None:
    """The connection takes ``count`` bytes and no more."""
    assert not isinstance(request.body, bytes)
    request.body.report_sent(count)


def answer_for_ever(exchange: Exchange[Any], *outcomes: Outcome) -> None:
    for outcome in outcomes * 100:
        if exchange.request.method == "PATCH":
            send_part(exchange.request, 500)
        exchange.answer(outcome)


# Uploading


def test_a_file_is_created_and_sent_in_one_request() -> None:
    progress: list[tuple[int, int]] = []
    resume_state = StoredUrl()
    exchange = upload(resume_state, on_progress=lambda sent, total: progress.append((sent, total)), filename="käse.bin")
    assert (exchange.request.method, exchange.request.url) == ("POST", "http://windlass.test/files/")
    assert exchange.request.headers["Upload-Length"] == str(SIZE)
    assert exchange.request.headers["Tus-Resumable"] == "1.0.0"
    assert exchange.request.headers["Authorization"] == "Bearer wl_secret"

    patch = exchange.answer(CREATED)
    assert resume_state.url == UPLOAD, "the URL is stored before bytes are sent"
    assert patch is not None
    assert (patch.method, patch.url, patch.headers["Upload-Offset"]) == ("PATCH", UPLOAD, "0")
    assert patch.headers["Content-Type"] == "application/offset+octet-stream"
    assert body_of(patch) == BYTES

    exchange.answer(appended(SIZE, **COMPLETE))
    assert exchange.result == FILE
    assert resume_state.url is None, "a complete upload is not resumed"
    assert progress[-1] == (SIZE, SIZE)


def test_upload_options_are_sent_as_tus_metadata() -> None:
    exchange = upload(
        filename="a.pdf", profile="media", reference="r 1", metadata={"page": 3, "who": "Zoë"}, sha256=True
    )
    pairs = dict(pair.split(" ") for pair in exchange.request.headers["Upload-Metadata"].split(","))
    values = {key: base64.b64decode(value).decode() for key, value in pairs.items()}
    assert values == {
        "filename": "a.pdf",
        "filetype": "application/pdf",
        "profile": "media",
        "reference": "r 1",
        "sha256": hashlib.sha256(BYTES).hexdigest(),
        "page": "3",
        "who": "Zoë",
    }


@pytest.mark.parametrize("key", ["", "two words", "a,b", "größe", "filename", "sha256"])
def test_an_invalid_metadata_key_is_refused_before_any_request(key: str) -> None:
    with pytest.raises(ValueError, match="metadata"):
        UploadSettings(metadata={key: "value"})


def test_chunks_are_sent_one_after_another() -> None:
    exchange = upload(chunk_size=600)
    first = exchange.answer(CREATED)
    assert first is not None
    assert body_of(first) == BYTES[:600]
    second = exchange.answer(appended(600))
    assert second is not None
    assert second.headers["Upload-Offset"] == "600"
    assert body_of(second) == BYTES[600:]
    exchange.answer(appended(SIZE, **COMPLETE))
    assert exchange.result == FILE


def test_an_empty_file_is_complete_when_it_is_created() -> None:
    exchange = upload(data=b"")
    exchange.answer(Response(201, {"location": "/uploads/7", **COMPLETE}))
    assert exchange.result == FILE


def test_an_upload_of_an_earlier_run_resumes_at_the_servers_offset() -> None:
    progress: list[int] = []
    exchange = upload(StoredUrl(UPLOAD), on_progress=lambda sent, _: progress.append(sent))
    assert (exchange.request.method, exchange.request.url) == ("HEAD", UPLOAD)
    patch = exchange.answer(offset_is(1000))
    assert patch is not None
    assert patch.headers["Upload-Offset"] == "1000"
    assert body_of(patch) == BYTES[1000:]
    assert progress[0] == 1000


def test_a_complete_upload_of_an_earlier_run_is_not_sent_again() -> None:
    exchange = upload(StoredUrl(UPLOAD))
    exchange.answer(offset_is(SIZE, **COMPLETE))
    assert exchange.result == FILE


def test_without_resume_no_url_is_loaded_or_saved() -> None:
    resume_state = StoredUrl(UPLOAD)
    exchange = upload(resume_state, resume=False)
    assert exchange.request.method == "POST"
    exchange.answer(Response(201, {"location": "/uploads/8"}))
    assert resume_state.url == UPLOAD


@pytest.mark.parametrize(
    "outcome",
    [
        CONNECTION_BROKE,
        problem(408, "receive-timeout"),
        problem(409, "offset-mismatch"),
        Response(409),
        problem(423, "upload-locked"),
        problem(429, "too-many-requests"),
        problem(500, "internal-error"),
        Response(502),
        problem(503, "unavailable"),
        problem(507, "storage-full"),
    ],
    ids=lambda outcome: str(getattr(outcome, "status", "interrupted")),
)
def test_after_a_transient_failure_the_offset_is_requested(outcome: Outcome) -> None:
    resume_state = StoredUrl()
    exchange = upload(resume_state)
    patch = exchange.answer(CREATED)
    assert patch is not None
    send_part(patch, 800)
    head = exchange.answer(outcome)
    assert head is not None
    assert (head.method, head.url) == ("HEAD", UPLOAD)
    assert len(exchange.pauses) == 1
    assert resume_state.url == UPLOAD
    again = exchange.answer(offset_is(512))
    assert again is not None
    assert body_of(again) == BYTES[512:]
    exchange.answer(appended(SIZE, **COMPLETE))
    assert exchange.result == FILE


def test_progress_falls_only_to_the_servers_offset_and_a_notice_says_so() -> None:
    progress: list[int] = []
    notices: list[str] = []
    exchange = upload(on_progress=lambda sent, _: progress.append(sent), on_notice=notices.append)
    patch = exchange.answer(CREATED)
    assert patch is not None
    send_part(patch, 900)
    exchange.answer(CONNECTION_BROKE)
    exchange.answer(offset_is(700))
    assert progress == [900, 700]
    assert any("700 of the 900 bytes" in notice for notice in notices)


def test_retry_after_is_respected() -> None:
    exchange = upload()
    exchange.answer(problem(429, "too-many-requests", **{"retry-after": "17"}))
    assert exchange.pauses == [17.0]
    assert exchange.request.method == "POST"


@pytest.mark.parametrize("outcome", [CONNECTION_BROKE, Response(503), Response(500), problem(423, "upload-locked")])
def test_the_request_for_the_offset_is_repeated(outcome: Outcome) -> None:
    exchange = upload(StoredUrl(UPLOAD))
    for _ in range(3):
        request = exchange.answer(outcome)
        assert request is not None
        assert request.method == "HEAD"
    assert exchange.pauses == sorted(exchange.pauses), "the pauses grow"
    assert len(set(exchange.pauses)) == 3


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_unknown_to_the_server_restarts_once(status: int) -> None:
    resume_state = StoredUrl(UPLOAD)
    exchange = upload(resume_state)
    create = exchange.answer(Response(status))
    assert create is not None
    assert create.method == "POST"
    assert resume_state.url is None
    exchange.answer(Response(201, {"location": "/uploads/8"}))
    with pytest.raises(Gone if status == 410 else NotFound):
        exchange.answer(problem(status, "upload-gone"))
    assert resume_state.url is None


def test_an_upload_that_ends_between_two_chunks_restarts_at_zero() -> None:
    exchange = upload(chunk_size=600)
    exchange.answer(CREATED)
    exchange.answer(appended(600))
    exchange.answer(problem(410, "upload-gone"))
    assert exchange.request.method == "POST"
    patch = exchange.answer(Response(201, {"location": "/uploads/8"}))
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
        (Response(404, {"content-type": "text/html"}, b"<p>no"), NotFound),
    ],
)
def test_a_refused_creation_is_not_repeated(answer: Response, error: type[Refused]) -> None:
    exchange = upload()
    with pytest.raises(error) as raised:
        exchange.answer(answer)
    assert raised.value.status == answer.status
    assert exchange.pauses == []


def test_an_error_has_the_problem_document() -> None:
    exchange = upload()
    with pytest.raises(TooLarge, match="at most 5 bytes") as raised:
        exchange.answer(problem(413, "file-too-large", "The file may have at most 5 bytes."))
    assert raised.value.slug == "file-too-large"
    assert raised.value.problem["title"] == "A title"


def test_a_checksum_mismatch_ends_the_upload() -> None:
    resume_state = StoredUrl()
    exchange = upload(resume_state, sha256="0" * 64)
    exchange.answer(CREATED)
    with pytest.raises(Invalid):
        exchange.answer(problem(422, "checksum-mismatch"))
    assert resume_state.url is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_credential_keeps_the_stored_upload(status: int) -> None:
    resume_state = StoredUrl(UPLOAD)
    exchange = upload(resume_state)
    with pytest.raises(Refused):
        exchange.answer(Response(status))
    assert resume_state.url == UPLOAD


def test_a_conflict_that_is_not_about_the_offset_is_final() -> None:
    exchange = upload()
    exchange.answer(CREATED)
    with pytest.raises(Refused, match="another dialect"):
        exchange.answer(problem(409, "conflict", "It was begun in another dialect."))


def test_it_gives_up_when_the_retry_budget_is_used_up_and_keeps_the_stored_upload() -> None:
    resume_state = StoredUrl(UPLOAD)
    exchange = upload(resume_state, limit=10.0)
    with pytest.raises(GaveUp, match="to resume it"):
        answer_for_ever(exchange, CONNECTION_BROKE)
    assert 9.0 < sum(exchange.pauses) < 40.0
    assert resume_state.url == UPLOAD


def test_the_last_error_of_the_server_is_raised() -> None:
    exchange = upload(limit=5.0)
    with pytest.raises(ServerFailed, match="No room"):
        answer_for_ever(exchange, problem(503, "unavailable", "No room."))


def test_progress_restores_the_retry_budget() -> None:
    exchange = upload(limit=4.0, chunk_size=10)
    exchange.answer(CREATED)
    for offset in range(10, 210, 10):
        send_part(exchange.request, 5)
        exchange.answer(ConnectionFailure("the connection broke", 100.0))
        exchange.answer(offset_is(offset - 10))
        exchange.answer(appended(offset))
    assert sum(exchange.pauses) > 4.0


def test_it_gives_up_on_a_server_that_accepts_bytes_and_stores_none() -> None:
    exchange = upload(limit=10.0)
    exchange.answer(CREATED)
    with pytest.raises(GaveUp):
        answer_for_ever(exchange, CONNECTION_BROKE, offset_is(0))


@pytest.mark.parametrize("offset", ["", "-1", "1.5", str(SIZE + 1)])
def test_an_invalid_offset_ends_the_upload(offset: str) -> None:
    exchange = upload(StoredUrl(UPLOAD))
    with pytest.raises(BadAnswer):
        exchange.answer(Response(200, {"upload-offset": offset}))


def test_a_tus_server_that_is_not_windlass_is_recognized() -> None:
    exchange = upload()
    exchange.answer(CREATED)
    exchange.answer(appended(SIZE))
    with pytest.raises(BadAnswer, match="Windlass"):
        exchange.answer(appended(SIZE))


def test_the_token_is_sent_to_its_server_only() -> None:
    exchange = upload()
    patch = exchange.answer(Response(201, {"location": "http://elsewhere.test/uploads/7"}))
    assert patch is not None
    assert "Authorization" not in patch.headers


def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    path.write_bytes(BYTES)
    exchange = Exchange(
        Upload(SERVER, PathSource(path), UploadSettings(chunk_size=600), StoredUrl(), retry_budget()).run()
    )
    exchange.answer(CREATED)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        exchange.answer(appended(600))


def test_a_file_object_is_sent_from_its_current_position(tmp_path: Path) -> None:
    file = io.BytesIO(b"skip" + BYTES)
    file.seek(4)
    exchange = Exchange(Upload(SERVER, ObjectSource(file), UploadSettings(), StoredUrl(), retry_budget()).run())
    patch = exchange.answer(CREATED)
    assert patch is not None
    assert body_of(patch) == BYTES


def test_only_regular_files_and_binary_objects_can_be_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="regular"):
        PathSource(tmp_path / "pipe")
    with (tmp_path / "text").open("w+") as text, pytest.raises(TypeError, match="binary"):
        ObjectSource(text)  # type: ignore[arg-type]


# Stored state of unfinished uploads


def resume_file(directory: Path, **more: Any) -> ResumeFile:
    return ResumeFile(directory, {"server": "http://a", "path": "/x", "size": 1, "modified_ns": 2, **more})


def test_a_stored_url_is_found_for_the_same_upload_only(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    assert resume_file(tmp_path).load_url() == UPLOAD
    assert resume_file(tmp_path, size=2).load_url() is None
    assert resume_file(tmp_path, profile="media").load_url() is None
    (entry,) = (tmp_path / "uploads").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    resume_file(tmp_path).delete()
    assert resume_file(tmp_path).load_url() is None


def test_a_damaged_state_file_or_an_unwritable_directory_raises_nothing(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    entry.write_text("{")
    assert resume_file(tmp_path).load_url() is None
    (tmp_path / "file").write_text("")
    resume_file(tmp_path / "file").save_url(UPLOAD)
    resume_file(tmp_path / "file").delete()


def test_old_state_files_are_deleted(tmp_path: Path) -> None:
    resume_file(tmp_path).save_url(UPLOAD)
    (entry,) = (tmp_path / "uploads").iterdir()
    old = entry.stat().st_mtime - KEEP_SECONDS - 60
    os.utime(entry, (old, old))
    resume_file(tmp_path, size=2).save_url(UPLOAD)
    assert resume_file(tmp_path).load_url() is None
    assert resume_file(tmp_path, size=2).load_url() == UPLOAD


def test_the_state_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert state_directory() == Path("/somewhere/state/windlass")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_directory() == Path.home() / ".local" / "state" / "windlass"


# RetryBudget


def test_delays_double_up_to_a_limit_and_have_jitter() -> None:
    steady = RetryBudget(1e9, first=1e9, shortest=0.5, longest=30.0, jitter=lambda _low, high: high)
    assert [steady.delay_after_failure() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    spread = RetryBudget(1e9, first=1e9)
    delays = [spread.delay_after_failure() or 0.0 for _ in range(50)]
    assert all(15.0 <= delay <= 30.0 for delay in delays[10:])
    assert len(set(delays[10:])) > 10


def test_the_budget_before_the_first_response_is_smaller() -> None:
    waiting = RetryBudget(300.0, first=15.0)
    total = 0.0
    while (delay := waiting.delay_after_failure(spent=1.0)) is not None:
        total += delay + 1.0
    assert total < 40.0
    waiting = RetryBudget(300.0, first=15.0)
    waiting.note_response()
    assert all(waiting.delay_after_failure(spent=1.0) is not None for _ in range(10))


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


def json_response(document: Any) -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps(document).encode())


def test_a_record_is_typed_and_unknown_members_are_kept() -> None:
    file = file_of(RECORD | {"invented_later": 1})
    assert (file.page_count, file.renditions[0].width, file.checks[0].state) == (3, 1, "passed")
    assert file.created_at.utcoffset() is not None
    assert file.raw["invented_later"] == 1
    rejected = file_of(RECORD | {"rejection": {"rule": "type", "detail": "No.", "limit": None, "actual": "x"}})
    assert rejected.rejection is not None
    assert rejected.rejection.rule == "type"


@pytest.mark.parametrize("answer", [Response(200, {}, b"<html>"), json_response([]), json_response({"id": FILE})])
def test_a_response_that_is_no_record_is_an_error(answer: Response) -> None:
    exchange = Exchange(api_calls.get_file(SERVER, FILE, retry_budget()))
    with pytest.raises(BadAnswer):
        exchange.answer(answer)


@pytest.mark.parametrize(
    "outcome", [CONNECTION_BROKE, Response(429, {"retry-after": "2"}), Response(502), Response(503)]
)
def test_a_get_request_is_repeated(outcome: Outcome) -> None:
    exchange = Exchange(api_calls.get_file(SERVER, FILE, retry_budget()))
    again = exchange.answer(outcome)
    assert again is not None
    assert again.method == "GET"
    exchange.answer(json_response(RECORD))
    assert exchange.result == file_of(RECORD)


def test_a_change_that_the_server_may_have_made_is_not_repeated() -> None:
    exchange = Exchange(send_with_retries(SERVER, "POST", SERVER.url("files", FILE, "reprocess"), retry_budget()))
    with pytest.raises(GaveUp):
        exchange.answer(CONNECTION_BROKE)
    exchange = Exchange(send_with_retries(SERVER, "POST", SERVER.url("files", FILE, "reprocess"), retry_budget()))
    again = exchange.answer(problem(503, "unavailable", **{"retry-after": "1"}))
    assert again is not None
    assert again.method == "POST"


def test_a_list_continues_at_the_next_link() -> None:
    url = api_calls.list_url(SERVER, {"status": "READY", "mime_type": "image/*", "q": None})
    assert url == "http://windlass.test/files/?status=READY&mime_type=image%2F%2A"
    exchange = Exchange(api_calls.get_page(SERVER, url, retry_budget()))
    exchange.answer(json_response({"results": [RECORD], "next": "/files/?cursor=x"}))
    assert exchange.result is not None
    assert exchange.result.next == "http://windlass.test/files/?cursor=x"


def test_the_base_url_may_have_a_path() -> None:
    server = Server("https://host.test/windlass/")
    assert server.url("files", "a/b") == "https://host.test/windlass/files/a%2Fb/"


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "http://"])
def test_an_invalid_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Server(url)


def status(state: str, progress: int = 0) -> Response:
    return json_response(
        {"id": FILE, "status": state, "progress": progress, "stage": "intake", "message": "", "steps": [], "owed": []}
    )


def test_waiting_reports_each_change_once_and_polls_less_often_without_changes() -> None:
    seen: list[tuple[str, int]] = []
    exchange = Exchange(
        api_calls.wait_until_ended(
            SERVER, FILE, retry_budget(), on_status=lambda now: seen.append((now.status, now.progress))
        )
    )
    for _ in range(5):
        exchange.answer(status("PENDING"))
    assert exchange.pauses == sorted(exchange.pauses)
    assert exchange.pauses[-1] > exchange.pauses[0]
    exchange.answer(status("PROCESSING", 50))
    assert exchange.pauses[-1] == exchange.pauses[0]
    exchange.answer(CONNECTION_BROKE)
    record = exchange.answer(status("READY", 100))
    assert record is not None
    assert record.url.endswith(f"/files/{FILE}/")
    exchange.answer(json_response(RECORD))
    assert exchange.result == file_of(RECORD)
    assert seen == [("PENDING", 0), ("PROCESSING", 50), ("READY", 100)]


def test_waiting_ends_at_its_timeout() -> None:
    moments = iter([0.0, 4.0, 10.5])
    exchange = Exchange(
        api_calls.wait_until_ended(SERVER, FILE, retry_budget(), timeout=10.0, clock=lambda: next(moments))
    )
    exchange.answer(status("PROCESSING"))
    with pytest.raises(WaitTimeout, match="PROCESSING"):
        exchange.answer(status("PROCESSING"))


# Downloading


def download(target: Path, record: dict[str, Any] = RECORD) -> Exchange[Path]:
    exchange = Exchange(Download(SERVER, FILE, target, retry_budget()).run())
    exchange.answer(json_response(record))
    return exchange


def deliver(exchange: Exchange[Path], answer: Response, data: bytes, outcome: Outcome | None = None) -> None:
    """The server sends ``data``; then the response is complete, or ``outcome`` happens."""
    sink = exchange.request.sink
    assert sink is not None
    assert sink.start(answer)
    sink.write(data)
    sink.report_received()
    exchange.answer(outcome or answer)


def part(offset: int) -> Response:
    return Response(206, {"content-range": f"bytes {offset}-{SIZE - 1}/{SIZE}"})


def test_a_download_is_renamed_once_it_is_complete_and_verified(tmp_path: Path) -> None:
    exchange = download(tmp_path)
    assert "Range" not in exchange.request.headers
    deliver(exchange, Response(200), BYTES)
    assert exchange.result == tmp_path / "report.pdf"
    assert (tmp_path / "report.pdf").read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["report.pdf"]


def test_a_download_resumes_after_an_interruption_and_in_a_later_run(tmp_path: Path) -> None:
    exchange = download(tmp_path / "out")
    deliver(exchange, Response(200), BYTES[:300], CONNECTION_BROKE)
    assert exchange.request.headers["Range"] == "bytes=300-"
    assert exchange.request.headers["If-Range"] == f'"{RECORD["checksum"]}"'
    deliver(exchange, part(300), BYTES[300:500], CONNECTION_BROKE)
    exchange._flow.close()
    assert not (tmp_path / "out").exists()

    exchange = download(tmp_path / "out")
    assert exchange.request.headers["Range"] == "bytes=500-"
    deliver(exchange, part(500), BYTES[500:])
    assert (tmp_path / "out").read_bytes() == BYTES


def test_a_server_that_ignores_the_range_restarts_the_download(tmp_path: Path) -> None:
    exchange = download(tmp_path / "out")
    deliver(exchange, Response(200), BYTES[:300], CONNECTION_BROKE)
    deliver(exchange, Response(200), BYTES)
    assert (tmp_path / "out").read_bytes() == BYTES


def test_bytes_with_a_wrong_digest_are_deleted(tmp_path: Path) -> None:
    exchange = download(tmp_path / "out")
    with pytest.raises(ChecksumMismatch):
        deliver(exchange, Response(200), BYTES[:-1] + b"?")
    assert list(tmp_path.iterdir()) == []


def test_a_download_waits_for_a_file_that_is_not_ready(tmp_path: Path) -> None:
    exchange = download(tmp_path / "out")
    again = exchange.answer(problem(409, "not-ready", **{"retry-after": "1"}))
    assert again is not None
    assert exchange.pauses == [1.0]
    with pytest.raises(Gone):
        exchange.answer(problem(410, "file-released"))


def test_a_redirect_to_a_store_is_followed_without_the_token(tmp_path: Path) -> None:
    exchange = download(tmp_path / "out")
    there = exchange.answer(Response(302, {"location": "https://store.test/key?signature=1"}))
    assert there is not None
    assert there.url == "https://store.test/key?signature=1"
    assert "Authorization" not in there.headers
    deliver(exchange, Response(200), BYTES[:300], CONNECTION_BROKE)
    assert exchange.request.url == f"http://windlass.test/files/{FILE}/download/", "the signature may have run out"
    exchange._flow.close()


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
def test_a_name_from_the_server_stays_in_its_directory(name: str, kept: str) -> None:
    assert safe_name(name) == kept


def test_patience_is_a_deprecated_alias_of_retry_seconds() -> None:
    with pytest.warns(DeprecationWarning, match="retry_seconds"), Client(patience=0.0):
        pass
