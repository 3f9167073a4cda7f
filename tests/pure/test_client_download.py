"""Downloads of the client without a server: interrupted, resumed, verified, redirected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pure.client_exchange import (
    BYTES,
    CONNECTION_BROKE,
    FILE,
    RECORD,
    SERVER,
    SIZE,
    Exchange,
    json_response,
    problem,
    retry_budget,
)
from windlass.client import (
    ChecksumMismatch,
    Gone,
)
from windlass.client.download import Download, safe_name
from windlass.client.effects import Outcome, Response


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
