"""What the client reads: streams that are read once, parts that outlive their file, the digest; and Retry-After."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pure.client_exchange import (
    BYTES,
    COMPLETE,
    CONNECTION_BROKE,
    FILE,
    RECORD,
    SIZE,
    Exchange,
    appended,
    body_of,
    client_upload,
    json_response,
    offset_is,
    problem,
    upload,
)
from windlass.client import ChecksumMismatch, File, SourceChanged
from windlass.client.calls import Calls
from windlass.client.effects import Response
from windlass.client.upload_source import (
    ObjectSource,
    PathSource,
    Source,
    SourceDigest,
    StreamSource,
    open_source,
)

CREATED = Response(201, {"location": "/uploads/7"})


class Pipe(io.RawIOBase):
    """Bytes that come in small blocks and once."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._data.read(min(len(buffer), 100))
        buffer[: len(block)] = block
        return len(block)


STATUS: dict[str, Any] = {"progress": 100, "stage": "", "message": "", "steps": [], "owed": []}


def stream(data: bytes = BYTES) -> Source:
    source = open_source(Pipe(data))
    assert isinstance(source, StreamSource)
    return source


def test_a_stream_is_sent_in_chunks_and_the_last_one_declares_the_length() -> None:
    progress: list[tuple[int, int]] = []
    exchange = upload(source=stream(), chunk_size=600, on_progress=lambda sent, total: progress.append((sent, total)))
    assert exchange.request.headers["Upload-Defer-Length"] == "1"
    first = exchange.answer(CREATED)
    assert first is not None
    assert body_of(first) == BYTES[:600]
    assert "Upload-Length" not in first.headers
    last = exchange.answer(appended(600))
    assert last is not None
    assert body_of(last) == BYTES[600:]
    assert last.headers["Upload-Length"] == str(SIZE)
    exchange.answer(appended(SIZE, **COMPLETE))
    assert exchange.result == FILE
    assert progress[0] == (600, 0)
    assert progress[-1] == (SIZE, SIZE)


def test_a_stream_that_ends_with_a_chunk_has_no_empty_request() -> None:
    exchange = upload(source=stream(), chunk_size=SIZE // 2)
    exchange.answer(CREATED)
    last = exchange.answer(appended(SIZE // 2))
    assert last is not None
    assert last.headers["Upload-Length"] == str(SIZE)


@pytest.mark.parametrize("data", [b"", BYTES])
def test_a_stream_that_fits_in_one_chunk_is_created_with_its_length(data: bytes) -> None:
    assert upload(source=stream(data)).request.headers["Upload-Length"] == str(len(data))


def test_a_chunk_of_a_stream_is_sent_again_after_an_interruption() -> None:
    exchange = upload(source=stream(), chunk_size=600)
    first = exchange.answer(CREATED)
    assert first is not None
    body_of(first)
    exchange.answer(CONNECTION_BROKE)
    again = exchange.answer(offset_is(250))
    assert again is not None
    assert body_of(again) == BYTES[250:850]


def test_a_stream_that_does_not_block_is_refused() -> None:
    class Empty(Pipe):
        def readinto(self, buffer: Any) -> None:  # type: ignore[override]  # what a non-blocking pipe returns
            return None

    with pytest.raises(ValueError, match="non-blocking"):
        upload(source=StreamSource(Empty(b"")))


def test_a_stream_cannot_start_again() -> None:
    exchange = upload(source=stream(), chunk_size=600)
    exchange.answer(CREATED)
    exchange.answer(appended(600))
    exchange.answer(problem(410, "upload-gone"))
    with pytest.raises(SourceChanged, match="from a file"):
        exchange.answer(CREATED)


def open_path(path: Path) -> Source:
    return PathSource(path)


def open_object(path: Path) -> Source:
    return ObjectSource(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("opened", [open_path, open_object])
def test_a_part_has_its_bytes_only(opened: Callable[[Path], Source], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BYTES)
    part = opened(path).open_part(100, 400)
    assert part.size == 300
    assert part.read(0, 5000) == BYTES[100:400]
    assert part.read(250, 5000) == BYTES[350:400]
    assert part.prepare(20, 50) == 70
    part.verify()
    part.close()


def test_a_part_stays_readable_when_its_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BYTES)
    whole = PathSource(path)
    part = whole.open_part(0, 10)
    whole.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        whole.read(0, 1)
    assert part.read(0, 10) == BYTES[:10]
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        part.verify()
    part.close()


def test_the_digest_counts_each_byte_once_whatever_is_sent_again() -> None:
    digest = SourceDigest(ObjectSource(io.BytesIO(BYTES)))
    for start, end in [(0, 300), (200, 400), (100, 150), (700, 900)]:
        digest.feed(start, BYTES[start:end])
    assert digest.complete() == hashlib.sha256(BYTES).hexdigest()


def sent_with(calls: Calls, record: dict[str, Any]) -> Exchange[File]:
    exchange = Exchange(calls.upload(io.BytesIO(BYTES)))
    patch = exchange.answer(CREATED)
    assert patch is not None
    body_of(patch)
    exchange.answer(appended(SIZE, **COMPLETE))
    exchange.answer(json_response(record))
    return exchange


def test_another_digest_of_the_server_is_an_error_of_the_upload_or_of_waiting(tmp_path: Path) -> None:
    calls = Calls("http://windlass.test", None, 60.0, None, tmp_path)
    with pytest.raises(ChecksumMismatch, match=FILE):
        sent_with(calls, RECORD | {"checksum": "0" * 64})

    assert sent_with(calls, RECORD | {"checksum": None, "status": "PENDING"}).ended, "nothing waits for the workers"
    waiting = Exchange(calls.wait(FILE))
    waiting.answer(json_response({"id": FILE, "status": "READY"} | STATUS))
    with pytest.raises(ChecksumMismatch, match=FILE):
        waiting.answer(json_response(RECORD | {"checksum": "0" * 64}))

    assert sent_with(calls, RECORD | {"checksum": None, "status": "PENDING"}).ended
    waiting = Exchange(calls.wait(FILE))
    waiting.answer(json_response({"id": FILE, "status": "READY"} | STATUS))
    waiting.answer(json_response(RECORD))
    assert waiting.ended


def test_the_same_digest_or_none_from_a_file_that_has_ended_is_no_error(tmp_path: Path) -> None:
    for record in (RECORD, RECORD | {"checksum": None, "status": "REJECTED"}):
        exchange = client_upload(tmp_path)
        exchange.answer(CREATED)
        exchange.answer(appended(SIZE, **COMPLETE))
        exchange.answer(json_response(record))
        assert exchange.result is not None
        assert exchange.result.id == FILE


def test_a_digest_that_the_server_checks_is_not_compared_again(tmp_path: Path) -> None:
    for options in ({"sha256": True}, {"verify": False}):
        exchange = client_upload(tmp_path, **options)
        exchange.answer(CREATED)
        exchange.answer(appended(SIZE, **COMPLETE))
        exchange.answer(json_response(RECORD | {"checksum": "0" * 64}))
        assert exchange.ended


def test_the_digest_of_a_stream_is_not_computed_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stream"):
        client_upload(tmp_path, source=Pipe(BYTES), sha256=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Sat, 31 Jan 2026 12:00:20 GMT", "date": "Sat, 31 Jan 2026 12:00:00 GMT"}, 20.0),
        ({"retry-after": "Sat, 31 Jan 2026 12:00:00 GMT", "date": "Sat, 31 Jan 2026 12:00:20 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert Response(503, headers).retry_after == seconds


@pytest.mark.parametrize("source", [b"bytes", 7, None, ["a.txt"]], ids=["bytes", "number", "none", "list"])
def test_what_is_no_source_is_named(source: Any) -> None:
    with pytest.raises(TypeError, match=rf"io\.BytesIO\(data\), not {type(source).__name__}\."):
        open_source(source)
    with pytest.raises(TypeError, match="binary mode"):
        open_source(io.StringIO("text"))  # type: ignore[arg-type]
