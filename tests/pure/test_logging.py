"""Log lines: no credential in any, no client's file name above debug, and JSON that a machine can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from windlass.operations.logging import hide_client_names, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connected to redis://user:hush@host:6379/0", "connected to redis://***@host:6379/0"),
        ("Authorization: Bearer hush.hush-hush", "Authorization: Bearer ***"),
        ("made wl_hushhushhush_hush for ann", "made *** for ann"),
        ("GET /files/1/download/?expires=5&signature=hush&x=1", "GET /files/1/download/?expires=5&signature=***&x=1"),
        ("/ws/events?ticket=hush", "/ws/events?ticket=***"),
        ("see https://example.org/a?b=c", "see https://example.org/a?b=c"),
        ("POST /files/?grant=wlg_hushhush HTTP/1.1", "POST /files/?grant=*** HTTP/1.1"),
        ("POST /files/?%67rant=hush&x=1", "POST /files/?%67rant=***&x=1"),
        ("POST /files/?%67%72%61%6E%74=%68ush", "POST /files/?%67%72%61%6E%74=***"),
        ("/files/?GRANT=hush&a=b", "/files/?GRANT=***&a=b"),
        ("/files/?a=b;grant=hush", "/files/?a=b;grant=***"),
        ("POST /s3/params/complete?key=hush/hush HTTP/1.1", "POST /s3/params/complete?key=*** HTTP/1.1"),
        ("/s3/multipart/1?%6b%65%79=hush", "/s3/multipart/1?%6b%65%79=***"),
        ("/d?X-Amz-Signature=hush&X-Amz-Date=1", "/d?X-Amz-Signature=***&X-Amz-Date=1"),
        ("PUT /files/wlg_hushhush-hush HTTP/1.1", "PUT /files/*** HTTP/1.1"),
        ("PUT /files/wl_hushhushhush/x", "PUT /files/***/x"),
        ("PUT /files/%77lg%5Fhushhush HTTP/1.1", "PUT /files/*** HTTP/1.1"),
        ("PUT /files/a%20b.txt HTTP/1.1", "PUT /files/a%20b.txt HTTP/1.1"),
        ("/files/?reference=bowl_of_porridge", "/files/?reference=bowl_of_porridge"),
    ],
)
def test_credentials_are_removed_from_log_lines(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_client_file_names_appear_in_debug_lines_only() -> None:
    line = {"event": "upload.created", "filename": "my illness.pdf", "size": 3}
    assert hide_client_names(None, "info", dict(line)) == {"event": "upload.created", "size": 3}
    assert hide_client_names(None, "debug", dict(line)) == line


PROGRAM = """
import logging, warnings
import structlog
from windlass.operations.logging import configure
configure("web")
structlog.get_logger("a").info("upload.created", filename="secret.pdf", size=3)
structlog.get_logger("a").debug("unheard")
logging.getLogger("some.library").warning("lost %s", "redis://u:hush@h/0")
logging.getLogger("django.request").warning("Not Found: /x")
warnings.warn("old")
try:
    raise ValueError("Bearer hush")
except ValueError:
    structlog.get_logger("a").exception("failed")
"""


def test_every_log_line_is_one_json_object(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"WINDLASS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line["event"].partition(":")[0] for line in lines[:2]] == ["upload.created", "lost redis"]
    assert {line["process"] for line in lines} == {"web"}
    assert lines[0]["size"] == 3
    assert "old" in lines[2]["event"]
    assert "ValueError: Bearer ***" in lines[3]["exception"]
    assert len(lines) == 4
    assert "hush" not in result.stderr
    assert "secret.pdf" not in result.stderr
