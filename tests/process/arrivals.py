"""What became of an upload, asked of a running server as any client would."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import httpx

UNDER_WAY = {"PENDING", "PROCESSING"}
PROCESSING_SECONDS = 90


def wait_for_end(url: str, file: str) -> dict[str, Any]:
    """The record of a file (its path as `Windlass-File` gives it) once nothing more is done with it."""
    deadline = time.monotonic() + PROCESSING_SECONDS
    while True:
        record: dict[str, Any] = httpx.get(f"{url}{file}").raise_for_status().json()
        if record["status"] not in UNDER_WAY:
            return record
        assert time.monotonic() < deadline, record
        time.sleep(0.1)


def assert_arrived(url: str, file: str, sent: Path) -> None:
    """The file is READY, under the name it was sent by, and gives back the bytes that were sent."""
    record = wait_for_end(url, file)
    digest = sha256(sent.read_bytes())
    assert (record["status"], record["original_filename"], record["size"], record["checksum"]) == (
        "READY",
        sent.name,
        sent.stat().st_size,
        digest,
    )
    assert sha256(httpx.get(f"{url}{record['links']['download']}", timeout=60).content) == digest


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
