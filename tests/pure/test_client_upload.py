"""Uploads of the client without a server: what it does after each response and each failure of the connection."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path

import pytest

from tests.pure.client_exchange import (
    BYTES,
    COMPLETE,
    CONNECTION_BROKE,
    CREATED,
    FILE,
    SIZE,
    UPLOAD,
    StoredUrl,
    answer_for_ever,
    appended,
    body_of,
    client_upload,
    offset_is,
    problem,
    send_part,
    upload,
)
from windlass.client import (
    BadAnswer,
    GaveUp,
    Gone,
    Invalid,
    NotFound,
    Refused,
    ServerFailed,
    SourceChanged,
    TooLarge,
    Unauthenticated,
)
from windlass.client.effects import ConnectionFailure, Outcome, Response
from windlass.client.upload_settings import UploadSettings
from windlass.client.upload_source import ObjectSource, PathSource, open_source


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


def test_upload_options_are_sent_as_tus_metadata(tmp_path: Path) -> None:
    exchange = client_upload(
        tmp_path, filename="a.pdf", profile="media", reference="r 1", metadata={"page": 3, "who": "Zoë"}, sha256=True
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


@pytest.mark.parametrize("outcome", [CONNECTION_BROKE, Response(503), problem(409, "request-in-progress")])
def test_a_creation_is_repeated_with_the_same_key(outcome: Outcome) -> None:
    exchange = upload()
    key = exchange.request.headers["Idempotency-Key"]
    again = exchange.answer(outcome)
    assert again is not None
    assert (again.method, again.headers["Idempotency-Key"]) == ("POST", key)
    assert upload().request.headers["Idempotency-Key"] != key


def test_a_creation_that_was_answered_before_is_continued_at_its_offset() -> None:
    exchange = upload()
    exchange.answer(CONNECTION_BROKE)
    head = exchange.answer(Response(201, {"location": "/uploads/7", "idempotency-replayed": "true"}))
    assert head is not None
    assert (head.method, head.url) == ("HEAD", UPLOAD)
    patch = exchange.answer(offset_is(600))
    assert patch is not None
    assert patch.headers["Upload-Offset"] == "600"


def test_the_callers_own_key() -> None:
    exchange = upload(idempotency_key='order 17 "b"')
    assert exchange.request.headers["Idempotency-Key"] == '"order 17 \\"b\\""'
    exchange.answer(Response(201, {"location": "/uploads/7", "idempotency-replayed": "true", **COMPLETE}))
    assert exchange.result == FILE
    with pytest.raises(ValueError, match="idempotency_key"):
        UploadSettings(idempotency_key="größe")


def test_an_upload_that_starts_again_has_another_key() -> None:
    exchange = upload()
    key = exchange.request.headers["Idempotency-Key"]
    exchange.answer(CREATED)
    again = exchange.answer(Response(410))
    assert again is not None
    assert again.method == "POST"
    assert again.headers["Idempotency-Key"] != key


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


def test_a_used_up_retry_budget_raises_and_keeps_the_stored_upload() -> None:
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


def test_a_server_that_stores_no_accepted_byte_uses_up_the_retry_budget() -> None:
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
    exchange = upload(source=PathSource(path), chunk_size=600)
    exchange.answer(CREATED)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        exchange.answer(appended(600))


def test_a_file_object_is_sent_from_its_current_position(tmp_path: Path) -> None:
    file = io.BytesIO(b"skip" + BYTES)
    file.seek(4)
    exchange = upload(source=ObjectSource(file))
    patch = exchange.answer(CREATED)
    assert patch is not None
    assert body_of(patch) == BYTES


def test_only_regular_files_and_binary_objects_can_be_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="regular"):
        PathSource(tmp_path / "pipe")
    with (tmp_path / "text").open("w+") as text, pytest.raises(TypeError, match="binary"):
        open_source(text)  # type: ignore[arg-type]
