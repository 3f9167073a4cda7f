"""The same way in, with PostgreSQL for the records and Redis for the bells: settings, and nothing else, differ."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable

from tests import samples
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, PATCH, TUS, Wire, connect, create, ended, eventually, offset, patch, resumed


def test_an_upload_becomes_ready(make_server: Callable[..., ServerProcess], postgres: str, redis: str) -> None:
    server = make_server(DATABASE_URL=postgres, CELERY_BROKER_URL=redis)
    assert not (server.home / "windlass.sqlite3").exists()
    content = os.urandom(3 * MB)
    with connect(server) as http:
        picture = http.post("/files/", files={"file": ("a.jpg", samples.jpeg(320, 200))}).json()
        raw = http.put("/files/a.bin", content=content).json()
        path = create(http, len(content))
        assert patch(http, path, 0, content[:MB]).status_code == 204
        os.kill(server.web_pid(), signal.SIGKILL)
        assert resumed(http, path) == MB
        with Wire(server.port) as silent:
            silent.head(
                "PATCH", path, PATCH | {"Upload-Offset": str(MB), "Content-Length": str(2 * MB)}, content[MB : 2 * MB]
            )
            eventually(lambda: (server.home / "media" / "objects" / path[9:11] / path[9:]).stat().st_size >= 2 * MB)
            assert offset(http, path) == 2 * MB
        assert patch(http, path, 2 * MB, content[2 * MB :]).status_code == 204
        assert patch(http, path, 2 * MB, content[2 * MB :]).status_code == 204
        last = http.head(path, headers=TUS).headers["Windlass-File"]
        for file in (raw["id"], last):
            record = ended(http, file)
            assert (record["status"], record["checksum"]) == ("READY", hashlib.sha256(content).hexdigest())
        record = ended(http, picture["id"])
        assert (record["status"], record["width"], record["height"]) == ("READY", 320, 200)
        assert http.get(record["thumbnail_url"]).status_code == 200
        assert len(http.get("/files/").json()["results"]) == 3
