"""tuspy, the tus client for Python, against a running server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from tusclient.client import TusClient

from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored

MIB = 1024 * 1024
SIZE = 30 * MIB + 12345
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def content(large_file: Path) -> Iterator[IO[bytes]]:
    """tuspy never closes a file that it opened itself, so it is given an open one."""
    with large_file.open("rb") as file:
        yield file


def uploader_options(path: Path, content: IO[bytes]) -> dict[str, Any]:
    return {"file_stream": content, "chunk_size": 5 * MIB, "metadata": {"filename": path.name}}


def file_of(upload_url: str) -> str:
    """Where the finished file is, as the upload itself says."""
    return httpx.head(upload_url, headers=TUS).headers["Windlass-File"]


def test_tuspy_uploads_in_chunks(shared_server: ServerProcess, large_file: Path, content: IO[bytes]) -> None:
    uploader = TusClient(f"{shared_server.url}/files/").uploader(**uploader_options(large_file, content))
    uploader.upload()
    assert_stored(shared_server.url, file_of(uploader.url), large_file)


def test_tuspy_uploads_with_checksums(shared_server: ServerProcess, large_file: Path, content: IO[bytes]) -> None:
    options = {**uploader_options(large_file, content), "upload_checksum": True}
    uploader = TusClient(f"{shared_server.url}/files/").uploader(**options)
    uploader.upload()
    assert_stored(shared_server.url, file_of(uploader.url), large_file)


def test_tuspys_async_uploader_uploads(shared_server: ServerProcess, large_file: Path, content: IO[bytes]) -> None:
    client = TusClient(f"{shared_server.url}/files/")

    async def upload() -> str:
        # aiohttp warns of larger pieces in one go.
        options = {**uploader_options(large_file, content), "chunk_size": MIB}
        uploader = client.async_uploader(**options)
        await uploader.upload()
        return uploader.url

    assert_stored(shared_server.url, file_of(asyncio.run(upload())), large_file)


def test_a_new_uploader_resumes_after_the_server_was_killed(
    server: ServerProcess, large_file: Path, content: IO[bytes]
) -> None:
    client = TusClient(f"{server.url}/files/")
    first = client.uploader(**uploader_options(large_file, content))
    first.upload(stop_at=12 * MIB)
    server.kill()
    server.start()
    second = client.uploader(url=first.url, **uploader_options(large_file, content))
    assert second.offset == 12 * MIB, "an acknowledged byte was lost"
    second.upload()
    assert_stored(server.url, file_of(second.url), large_file)
