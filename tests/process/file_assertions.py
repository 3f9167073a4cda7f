"""Wait for and check an uploaded file, through the HTTP API of a running server."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import httpx

UNDER_WAY = {"PENDING", "PROCESSING"}
PROCESSING_SECONDS = 90


def wait_until_processed(url: str, file: str) -> dict[str, Any]:
    """Return the record of a file (``file``: its path in `Windlass-File`) once its processing has ended."""
    deadline = time.monotonic() + PROCESSING_SECONDS
    while True:
        record: dict[str, Any] = httpx.get(f"{url}{file}").raise_for_status().json()
        if record["status"] not in UNDER_WAY:
            return record
        assert time.monotonic() < deadline, record
        time.sleep(0.1)


def assert_stored(url: str, file: str, sent: Path) -> None:
    """Check that the file is READY, has the name of ``sent``, and that its download has the same bytes."""
    record = wait_until_processed(url, file)
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
