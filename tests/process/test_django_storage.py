"""Files in a Django storage, end to end: over SFTP, and over a storage that kills the process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.files.storage import FileSystemStorage

from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    connect,
    create,
    eventually,
    file_id_of,
    offset,
    offset_after_restart,
    patch,
    wait_until_processed,
)
from tests.samples import png
from tests.services import Sftp

ROOT = Path(__file__).parents[2]


class DiesAfterSaving(FileSystemStorage):
    """Kills the process that has just saved an upload, once, if the file DIE exists."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)
        wanted = Path(self.location, "DIE")
        if name.startswith("objects/") and wanted.exists():
            wanted.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return saved


def settings(storage: str, **options: Any) -> dict[str, str]:
    named = {"STORAGE_BACKEND": "django", "DJANGO_STORAGE": storage, "DJANGO_STORAGE_OPTIONS": json.dumps(options)}
    return named | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory at the other end."""
    return tmp_path_factory.mktemp("sftp") / "files"


@pytest.fixture(scope="module")
def target_server(sftp_server: Sftp, remote: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("django") / "home"
    named = settings("storages.backends.sftpstorage.SFTPStorage", **sftp_server.options(remote))
    server = ServerProcess(home, **named, BREAKER_FAILURE_THRESHOLD="100")
    server.start()
    yield server
    server.kill()


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def staged(server: ServerProcess) -> list[str]:
    """What is staged of uploads; not what the check of the store writes and removes (``.put-…``)."""
    return [name for name in files(server.home / "staging") if name != "STAGING" and not name.startswith(".put-")]


def assert_stored_and_served(
    http: httpx.Client, server: ServerProcess, remote: Path, file: str, data: bytes
) -> dict[str, Any]:
    record = wait_until_processed(http, file)
    assert (record["status"], record["checksum"]) == ("READY", digest(data)), record
    path = f"/files/{record['id']}/download/"
    assert http.get(path).content == data
    begin = len(data) // 3
    part = http.get(path, headers={"Range": f"bytes={begin}-{begin + 9}"})
    assert (part.status_code, part.content) == (206, data[begin : begin + 10])
    assert list(files(remote).values()).count(data) == 1
    assert staged(server) == []
    return record


def test_tus_uploads_are_staged_and_then_saved(http: httpx.Client, target_server: ServerProcess, remote: Path) -> None:
    data = os.urandom(3 * MB + 1)
    path = create(http, len(data))
    assert patch(http, path, 0, data[:MB]).status_code == 204
    assert len(staged(target_server)) == 1
    assert patch(http, path, MB, data[MB:]).status_code == 204
    assert_stored_and_served(http, target_server, remote, file_id_of(http, path), data)


def test_chunks_in_random_order_are_saved(http: httpx.Client, target_server: ServerProcess, remote: Path) -> None:
    data = os.urandom(12 * 65_536 + 1)
    upload = ChunkUpload.create(http, data, 65_536)
    for index in random.Random(3).sample(range(upload.total), upload.total):
        assert upload.put(index).status_code == 200
    reply = upload.complete()
    assert reply.status_code == 200, reply.text
    assert_stored_and_served(http, target_server, remote, reply.json()["file_id"], data)


def test_forms_and_thumbnails_are_saved_and_deleted(
    http: httpx.Client, target_server: ServerProcess, remote: Path
) -> None:
    data = png(300, 200)
    document = http.post("/files/", files={"file": ("a.png", data)}).json()
    assert document["checksum"] == digest(data), "hashed while it came"
    record = assert_stored_and_served(http, target_server, remote, document["id"], data)
    assert http.get(record["thumbnail_url"]).headers["content-type"].startswith("image/")
    assert http.delete(f"/files/{document['id']}/").status_code == 204
    assert not [name for name in files(remote) if document["id"] in name]


def test_a_failing_storage_loses_no_acknowledged_bytes(
    http: httpx.Client, target_server: ServerProcess, remote: Path
) -> None:
    data = os.urandom(2 * MB)
    path = create(http, len(data))
    assert patch(http, path, 0, data[:MB]).status_code == 204
    aside = remote.rename(remote.with_name("aside"))
    remote.write_text("where a directory was")
    refused = patch(http, path, MB, data[MB:])
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert offset(http, path) == MB
    remote.unlink()
    aside.rename(remote)
    assert patch(http, path, MB, data[MB:]).status_code == 204
    assert_stored_and_served(http, target_server, remote, file_id_of(http, path), data)


def test_an_upload_resumes_after_a_kill_between_saving_and_recording(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    place = tmp_path / "files"
    place.mkdir()
    server = make_server(**settings(f"{__name__}.DiesAfterSaving", location=str(place)))
    data = os.urandom(3 * MB)
    with connect(server) as http:
        path = create(http, len(data))
        assert patch(http, path, 0, data[:MB]).status_code == 204
        (place / "DIE").touch()
        with contextlib.suppress(httpx.TransportError):
            patch(http, path, MB, data[MB:])
        eventually(lambda: not (place / "DIE").exists())
        assert data in files(place).values(), "it was saved before its record"
        at = offset_after_restart(http, path)
        assert at == MB
        assert patch(http, path, at, data[at:]).status_code == 204
        assert_stored_and_served(http, server, place, file_id_of(http, path), data)


def test_windlass_check_names_the_wrong_setting(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "home", **settings("no.such.Storage"))
    wrong = server.command("check")
    assert wrong.returncode == 1
    assert "DJANGO_STORAGE is 'no.such.Storage'" in " ".join(wrong.stdout.split())
    server.environment |= {"DJANGO_STORAGE_OPTIONS": '["hunter2"]'}
    wrong = server.command("check")
    assert "DJANGO_STORAGE_OPTIONS must be a JSON object" in (said := " ".join((wrong.stdout + wrong.stderr).split()))
    assert "hunter2" not in said
