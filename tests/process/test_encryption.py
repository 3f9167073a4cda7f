"""Encryption at rest: no bytes of a file or of its renditions are readable on the disk, and all are served."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    StoredData,
    Wire,
    connect,
    create,
    eventually,
    file_id_of,
    offset_after_restart,
    patch,
    wait_until_processed,
)
from tests.samples import png
from windlass.kernel import secret_keys

KEY = secret_keys.generate()
#: In every content that is sent here.
MARK = secrets.token_bytes(32)


def content(size: int) -> bytes:
    """The mark at least twice in each KiB, and no two contents alike."""
    unique = os.urandom(32)
    line = b"".join(MARK + unique + number.to_bytes(8) for number in range(8))
    return (line * (size // len(line) + 1))[:size]


def readable(home: Path, found: bytes = MARK) -> list[str]:
    """The files that hold these bytes. Not of the database: it holds records, and the index of what they say."""
    places = (Path(folder, name) for folder, _, names in os.walk(home) for name in names)
    return [str(place) for place in places if not place.name.startswith("windlass.sqlite3") and _holds(place, found)]


def _holds(place: Path, found: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return place.is_file() and found in place.read_bytes()  # the broker has pipes, whose reading does not end
    return False


@pytest.fixture(scope="module")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("encrypted") / "home"
    server = ServerProcess(home, ENCRYPTION_KEY=KEY, SENDFILE="x-accel-redirect")
    server.start()
    yield server
    server.kill()


def assert_stored_and_served(http: httpx.Client, home: Path, file: str, data: bytes) -> None:
    record = wait_until_processed(http, file)
    assert (record["status"], record["checksum"]) == ("READY", digest(data)), record
    path = f"/files/{record['id']}/download/"
    assert http.get(path).content == data
    for begin, end in ((0, 0), (15, 17), (len(data) // 2, len(data) // 2 + 100_000), (len(data) - 1, len(data) - 1)):
        part = http.get(path, headers={"Range": f"bytes={begin}-{end}"})
        assert (part.status_code, part.content) == (206, data[begin : end + 1])
    assert readable(home) == []


def test_tus_uploads_are_encrypted_at_every_step(http: httpx.Client, target_server: ServerProcess) -> None:
    data = content(3 * MB + 7)
    path, at = create(http, len(data)), 0
    for step in (1, 14, 2 * MB, 500, len(data)):
        assert patch(http, path, at, data[at : at + step]).status_code == 204
        at = min(at + step, len(data))
        assert readable(target_server.home) == []
    assert_stored_and_served(http, target_server.home, file_id_of(http, path), data)


def test_chunks_in_random_order_are_encrypted(http: httpx.Client, target_server: ServerProcess) -> None:
    data = content(20 * 65_536 + 11)
    upload = ChunkUpload.create(http, data, 65_536)
    order = random.Random(5).sample(range(upload.total), upload.total)
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(upload.put, order)} == {200}
    assert readable(target_server.home) == []
    reply = upload.complete()
    assert reply.status_code == 200, reply.text
    assert_stored_and_served(http, target_server.home, reply.json()["file_id"], data)


def test_forms_and_raw_bodies_are_encrypted(http: httpx.Client, target_server: ServerProcess) -> None:
    for size in (200_000, 5 * MB):
        form, raw = content(size), content(size)
        created = http.post("/files/", files={"file": ("a.bin", form)})
        assert_stored_and_served(http, target_server.home, created.json()["id"], form)
        assert_stored_and_served(
            http, target_server.home, http.post("/files/?filename=a.bin", content=raw).json()["id"], raw
        )


def test_concatenated_uploads_are_encrypted_under_a_new_header(
    http: httpx.Client, target_server: ServerProcess
) -> None:
    parts = [content(MB + 5), content(2 * MB)]
    paths = []
    for part in parts:
        paths.append(create(http, len(part), {"Upload-Concat": "partial"}))
        assert patch(http, paths[-1], 0, part).status_code == 204
    created = http.post("/files/", headers=TUS | {"Upload-Concat": f"final;{' '.join(paths)}"})
    assert created.status_code == 201, created.text
    upload = created.headers["Location"]
    eventually(lambda: http.get(upload, headers={"Accept": "application/json"}).json().get("file_id"))
    assert_stored_and_served(http, target_server.home, file_id_of(http, upload), b"".join(parts))


def test_renditions_are_encrypted(http: httpx.Client, target_server: ServerProcess) -> None:
    line = f"The mark of this text is {secrets.token_hex(16)}.\n"
    text = http.post("/files/", files={"file": ("a.html", f"<html><body><p>{line}</p></body></html>" * 20)}).json()[
        "id"
    ]
    picture = http.post("/files/", files={"file": ("a.png", png(300, 200))}).json()["id"]
    assert wait_until_processed(http, text)["status"] == wait_until_processed(http, picture)["status"] == "READY"
    assert line.strip() in http.get(f"/files/{text}/text/").text
    thumbnail = http.get(f"/files/{picture}/thumbnail/").content
    assert len(thumbnail) > 64
    assert readable(target_server.home, line.strip().encode()) == []
    assert readable(target_server.home, thumbnail[:64]) == []
    assert len(list((target_server.home / "media" / "renditions").rglob("*.enc"))) >= 2


def test_encrypted_downloads_are_not_delegated_to_the_proxy(http: httpx.Client) -> None:
    """SENDFILE is set, and the download is served by Windlass nevertheless."""
    data = content(100_000)
    file = http.post("/files/?filename=a.bin", content=data).json()["id"]
    wait_until_processed(http, file)
    sent = http.get(f"/files/{file}/download/")
    assert "X-Accel-Redirect" not in sent.headers
    assert sent.content == data


def test_an_upload_resumes_under_its_key_after_a_kill_and_a_key_rotation(
    make_server: Callable[..., ServerProcess],
) -> None:
    """The key is rotated meanwhile: an upload created under the old key is completed under it."""
    server = make_server(ENCRYPTION_KEY=KEY, CHECKPOINT_BYTES=str(2 * MB), CHECKPOINT_SECONDS="1")
    data, stored_data = content(24 * MB), StoredData(server)
    with connect(server) as http:
        path = create(http, len(data))
        with Wire(server.port) as wire:
            wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(len(data))})
            wire.send(data[: 13 * MB + 3])
            eventually(lambda: stored_data.session(path)["offset"] > 8 * MB)
            server.kill()
    assert readable(server.home) == []
    server.environment |= {"ENCRYPTION_KEY": secret_keys.generate(), "ENCRYPTION_OLD_KEYS": KEY}
    server.start()
    with connect(server) as http:
        at = offset_after_restart(http, path)
        assert at > 8 * MB
        assert patch(http, path, at, data[at:]).status_code == 204
        assert_stored_and_served(http, server.home, file_id_of(http, path), data)


def test_without_the_key_encrypted_files_are_503_and_return_with_it(make_server: Callable[..., ServerProcess]) -> None:
    """Files stored while there is no key are plain, and stay readable when the key is back."""
    server = make_server(ENCRYPTION_KEY=KEY)
    plain, secret = content(70_000), content(70_000)
    with connect(server) as http:
        hidden = http.post("/files/?filename=a.bin", content=secret).json()["id"]
        wait_until_processed(http, hidden)
    server.kill()
    del server.environment["ENCRYPTION_KEY"]
    wrong = server.command("check")
    assert wrong.returncode == 1
    assert "ENCRYPTION_KEY" in wrong.stdout
    assert KEY not in wrong.stdout + wrong.stderr
    assert server.command("sweep").returncode == 0
    server.start()
    with connect(server) as http:
        assert http.get(f"/files/{hidden}/download/").status_code == 503
        shown = http.post("/files/?filename=a.bin", content=plain).json()["id"]
        wait_until_processed(http, shown)
    server.kill()
    (server.home.parent / "key").write_text(f"{KEY}\n")
    server.environment |= {"ENCRYPTION_KEY_FILE": str(server.home.parent / "key")}
    assert server.command("check").returncode == 0
    server.start()
    with connect(server) as http:
        assert http.get(f"/files/{hidden}/download/").content == secret
        assert http.get(f"/files/{shown}/download/").content == plain


def test_an_invalid_key_is_reported_without_its_value(tmp_path: Path) -> None:
    bad = "c2hvcnQ="
    server = ServerProcess(tmp_path / "home", ENCRYPTION_KEY=bad)
    wrong = server.command("check")
    assert wrong.returncode != 0
    assert "ENCRYPTION_KEY" in (said := wrong.stdout + wrong.stderr)
    assert bad not in said
    result = server.command("encryption-key")
    assert len(secret_keys.parse(result.stdout)) == 32
    server.environment |= {"ENCRYPTION_KEY": KEY, "STORAGE_BACKEND": "s3", "AWS_STORAGE_BUCKET_NAME": "b"}
    in_s3 = server.command("check")
    assert in_s3.returncode != 0
    assert "AWS_S3_SERVER_SIDE_ENCRYPTION" in " ".join((in_s3.stdout + in_s3.stderr).split())
