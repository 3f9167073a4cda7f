"""Every operation of the OpenAPI document with generated requests, against a real server (Schemathesis).

No reply is 5xx; status, media type, headers and body of each are as the document says. ``make fuzz`` runs more examples
(FUZZ_EXAMPLES) with another seed (FUZZ_SEED).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import TUS, connect, create

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SEED = os.environ.get("FUZZ_SEED", "1")
CONFIGURATION = Path(__file__).with_name("fuzzing.toml")
#: The part of the requests that is about things which exist.
KNOWN = 0.7


def known_ids(http: httpx.Client) -> dict[str, list[str]]:
    """Path parameter -> ids of things that exist. The requests delete some of them."""
    files, uploads = [], []
    for number in range(4):
        content = b"the content of a file\n" * (number + 1)
        files.append(http.post(f"/files/?filename={number}.txt&reference=order", content=content).json()["id"])
        uploads.append(create(http, 10).rpartition("/")[2])
        begun = {"filename": "a.bin", "total_size": 10, "mime_type": "text/plain"}
        uploads.append(http.post("/api/v1/upload/init", json=begun).json()["upload_id"])
    uploads.append(create(http, 0, TUS).rpartition("/")[2])
    hook = {"url": "https://example.org/hook", "types": ["file.ready"]}
    hooks = [http.post("/api/v1/webhooks/", json=hook).json().get("id") for _ in range(2)]
    return {
        "file_id": files,
        "media_id": files,
        "upload_id": uploads,
        "webhook_id": [each for each in hooks if each] or ["none"],
        "name": ["thumbnail", "database"],
        "index": ["0", "1"],
        "slug": ["not-found"],
    }


def configuration(known: dict[str, list[str]]) -> str:
    """The configuration with the ids in it."""
    lines = [CONFIGURATION.read_text()]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines += ["[parameters]"]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = {KNOWN} }}' for name in known]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(0 if EXAMPLES > 50 else 600)
@pytest.mark.parametrize(("mode", "phases"), [("open", "coverage,fuzzing"), ("required", "fuzzing")])
def test_replies_are_as_the_document_says(
    make_server: Callable[..., ServerProcess], tmp_path: Path, mode: str, phases: str
) -> None:
    server = make_server(AUTH_MODE=mode, MEDIA_WAIT_SECONDS="1")
    headers = {}
    if mode == "required":
        token = server.command("token", "create", "--user", "somebody", "--staff").stdout.split()[-1]
        headers = {"Authorization": f"Bearer {token}"}
    with connect(server, headers=headers) as http:
        (tmp_path / "schemathesis.toml").write_text(configuration(known_ids(http)))
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", "schemathesis.toml", "run"]
    command += [
        f"{server.url}/api/openapi.json",
        "--url",
        server.url,
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        SEED,
        "--phases",
        phases,
    ]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.process.fuzzing_hooks",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"Tested: (\d+)", done.stdout)[1]) > 70, done.stdout  # type: ignore[index]
