"""tus-js-client, the client that browsers and Uppy use, against a running server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored

INTEROP = Path(__file__).resolve().parent.parent / "interop"
MIB = 1024 * 1024
SIZE = 30 * MIB + 12345


@pytest.fixture(scope="module")
def node() -> str:
    require((INTEROP / "node_modules" / "tus-js-client").is_dir(), "tus-js-client is missing: npm ci in tests/interop")
    return require(shutil.which("node"), "node is not on PATH")


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large file.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def upload(node: str, server: ServerProcess, path: Path, **task: Any) -> dict[str, Any]:
    """Run the script of tests/interop and return its output."""
    task = {"endpoint": f"{server.url}/files/", "path": str(path), **task}
    command = [node, str(INTEROP / "tus_js_upload.mjs"), json.dumps(task)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def test_tus_js_uploads_in_chunks(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    uploaded = upload(node, shared_server, large_file, chunkSize=5 * MIB)
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_uploads_in_one_patch(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    uploaded = upload(node, shared_server, large_file)
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_uploads_with_data_in_the_creation(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    options = {"uploadDataDuringCreation": True}
    uploaded = upload(node, shared_server, large_file, chunkSize=7 * MIB, options=options)
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_uploads_in_parallel(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    uploaded = upload(node, shared_server, large_file, chunkSize=5 * MIB, options={"parallelUploads": 4})
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_resumes_parallel_uploads_after_an_abort(
    node: str, shared_server: ServerProcess, large_file: Path
) -> None:
    """What was begun and given up by one Upload is no obstacle to the next."""
    options = {"parallelUploads": 3}
    uploaded = upload(node, shared_server, large_file, chunkSize=4 * MIB, abortAfter=8 * MIB, options=options)
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_uploads_a_stream_of_unknown_length(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    options = {"uploadLengthDeferred": True}
    uploaded = upload(node, shared_server, large_file, chunkSize=5 * MIB, source="stream", options=options)
    assert_stored(shared_server.url, uploaded["file"], large_file)


@pytest.mark.parametrize("chunk", [None, 5 * MIB])
def test_tus_js_uploads_in_the_ietf_protocol(
    node: str, shared_server: ServerProcess, large_file: Path, chunk: int | None
) -> None:
    # Of a file, the client never says which of its chunks is the last.
    options = {"protocol": "ietf-draft-05"}
    uploaded = upload(node, shared_server, large_file, chunkSize=chunk, source="buffer", options=options)
    assert_stored(shared_server.url, uploaded["file"], large_file)
    status = httpx.get(uploaded["url"], headers={"Accept": "application/json"}).json()
    assert (status["protocol"], status["status"]) == ("ietf", "completed")


def test_tus_js_resumes_in_the_ietf_protocol(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    task = {"chunkSize": 5 * MIB, "abortAfter": 12 * MIB, "source": "buffer"}
    uploaded = upload(node, shared_server, large_file, options={"protocol": "ietf-draft-05"}, **task)
    assert 10 * MIB <= uploaded["resumedAt"][-1] <= 15 * MIB
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_resumes_after_an_abort(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    uploaded = upload(node, shared_server, large_file, chunkSize=5 * MIB, abortAfter=12 * MIB)
    assert 10 * MIB <= uploaded["resumedAt"][-1] <= 15 * MIB, "two chunks were acknowledged, a third was under way"
    assert_stored(shared_server.url, uploaded["file"], large_file)


def test_tus_js_terminates_an_upload(node: str, shared_server: ServerProcess, large_file: Path) -> None:
    uploaded = upload(node, shared_server, large_file, abortAfter=12 * MIB, terminate=True)
    assert httpx.head(uploaded["url"], headers={"Tus-Resumable": "1.0.0"}).status_code in {404, 410}


def test_tus_js_resumes_after_the_web_process_was_killed(node: str, server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "larger.bin"
    # The client tells of its progress every 100 ms only: the file has to be longer than what can go by meanwhile.
    path.write_bytes(os.urandom(MIB) * 480)
    uploaded = upload(node, server, path, kill={"pid": server.web_pid(), "after": 100 * MIB})
    # At most a checkpoint (64 MiB) is lost, and what was on its way in buffers.
    assert uploaded["killedAt"] - 80 * MIB <= uploaded["resumedAt"][-1] < path.stat().st_size
    assert_stored(server.url, uploaded["file"], path)
