"""Uploads with PostgreSQL for the records and Redis for the notifications: only settings differ."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from tests import samples
from tests.integration.websocket_client import opened
from tests.process.conftest import ServerProcess
from tests.process.consistency import violations
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    Wire,
    connect,
    create,
    eventually,
    offset,
    offset_after_restart,
    patch,
    wait_until_processed,
)


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
        assert offset_after_restart(http, path) == MB
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
            record = wait_until_processed(http, file)
            assert (record["status"], record["checksum"]) == ("READY", hashlib.sha256(content).hexdigest())
        record = wait_until_processed(http, picture["id"])
        assert (record["status"], record["width"], record["height"]) == ("READY", 320, 200)
        assert http.get(record["thumbnail_url"]).status_code == 200
        assert len(http.get("/files/").json()["results"]) == 3
        assert violations(server) == [], "the rules for databases of killed servers are SQL of PostgreSQL too"
        _text_that_it_cannot_hold(http, picture["id"])
        _readers_are_notified_by_the_database(http, postgres)
        _webhooks_created_at_once(http)


def _readers_are_notified_by_the_database(http: httpx.Client, database: str) -> None:
    """The web process waits for the channel while somebody follows events, and each transaction with events notifies
    it."""
    with opened(str(http.base_url).rstrip("/"), "/ws/events"), psycopg.connect(database, autocommit=True) as own:
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN windlass_journal' AND pid != pg_backend_pid()"
        )
        eventually(lambda: own.execute(waits).fetchone() == (1,))
        own.execute("LISTEN windlass_journal")
        http.put("/files/notified.txt", content=b"notified")
        assert list(own.notifies(timeout=30, stop_after=1))


def _webhooks_created_at_once(http: httpx.Client) -> None:
    """PostgreSQL lets transactions count at the same time: together they stay within WEBHOOK_MAX_ENDPOINTS."""
    wanted = {"url": "https://93.184.215.14/hook", "types": ["file.ready"]}
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: http.post("/api/v1/webhooks/", json=wanted).status_code, range(24)))
    assert sorted(answers) == [201] * 10 + [409] * 14
    assert len(http.get("/api/v1/webhooks/").json()["results"]) == 10


def _text_that_it_cannot_hold(http: httpx.Client, file_id: str) -> None:
    """PostgreSQL has no NUL, and no encoding of half a surrogate pair: no call ends as 500, wherever they stand."""
    form = {"file": ("a\0.txt", b"x", "text/\0plain")}
    tus = TUS | {"Upload-Length": "1"}
    encoded = base64.b64encode(b"a\0b").decode()
    surrogates = b'{"filename": "\\ud800", "total_size": 1, "mime_type": "a/b", "reference": "\\udfff"}'
    answers = [
        http.get("/files/zip/?reference=%00"),
        http.get("/api/v1/quota?owner=%00"),
        *(http.get(f"/files/?{name}=a%00") for name in ("q", "reference", "mime_type", "status", "cursor", "limit")),
        http.post("/api/v1/media/posts/%00/published", json={"success": True}),
        http.get("/files/%00/"),
        http.get(f"/files/{file_id}/renditions/%00"),
        http.get("/problems/%00"),
        http.post("/api/v1/upload/init", content=surrogates),
        http.post("/uploads/grants/", content=surrogates),
        http.post("/api/v1/media/upload/init", content=b'{"file_name": "\\u0000", "file_size": 1, "content_type": ""}'),
        http.post("/files/zip/", content=b'{"reference": "\\ud800"}'),
        http.post("/files/?reference=%00", content=b"x"),
        http.post("/files/", files=form, data={"reference": "a\0", "metadata": '{"a": "\\u0000"}', "profile": "\0"}),
        http.post(
            "/files/", headers={"Content-Disposition": "attachment; filename*=UTF-8''%00%ED%A0%80"}, content=b"x"
        ),
        *(
            http.post("/files/", headers=tus | {"Upload-Metadata": f"{name} {encoded}"})
            for name in ("filename", "filetype", "reference", "profile", "other")
        ),
        http.get("/files/", headers={"Cookie": 'sessionid="\\000aaaaaaaa"; csrftoken="\\000"'}),
        http.get("/files/", headers={"Authorization": "Bearer wl_\x7f"}),
        http.get("/files/?grant=%00%ED%A0%80"),
        http.put("/files/%00", content=b"x"),
    ]
    assert [answer.url for answer in answers if answer.status_code >= 500] == []
