"""Previews by a real server: progress is reported, ranges are served, and deleting the file ends the transcoding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import rendition_samples as made
from tests.process.conftest import ServerProcess
from tests.process.wire import eventually

PROFILE = "[clips]\nvideo_preview = true\nthumbnail_widths = [320, 96]\n"


@pytest.fixture(scope="module")
def clips_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("clips")
    (home / "profiles.toml").write_text(PROFILE)
    server = ServerProcess(home / "home", WINDLASS_PROFILES=str(home / "profiles.toml"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def target_server(clips_server: ServerProcess) -> ServerProcess:
    return clips_server


def upload(http: httpx.Client, data: bytes) -> str:
    """The path of the file's record."""
    reply = http.post("/files/", params={"profile": "clips", "filename": "film.mp4"}, content=data)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["links"]["self"])


def film() -> bytes:
    """Takes some seconds to convert."""
    return made.film(seconds=40, width=640, height=360)


def events(http: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """The events of a file, as they come."""
    with http.stream("GET", f"{path}events/", timeout=90) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_a_preview_reports_progress_and_is_served_in_ranges(http: httpx.Client) -> None:
    path, seen = upload(http, film()), []
    for event in events(http, path):
        seen.append(event)
        if event["type"] in ("file.ready", "file.failed"):
            break
    making = [event["data"]["progress"] for event in seen if event["data"].get("message") == "Making the preview"]
    assert making == sorted(making)
    assert len(set(making)) >= 3, "it rose in steps"
    record = http.get(path).json()
    assert (record["status"], record["thumbnail_url"]) == ("READY", f"{path}thumbnail/")
    found = {rendition["name"]: rendition for rendition in record["renditions"]}
    assert set(found) == {"preview", "thumbnail", "thumbnail-96"}
    preview = found["preview"]
    assert (preview["kind"], preview["mime_type"], preview["width"], preview["height"]) == (
        "video",
        "video/mp4",
        640,
        360,
    )
    whole = http.get(preview["url"])
    assert (whole.headers["content-type"], len(whole.content)) == ("video/mp4", preview["size"])
    assert whole.headers["content-disposition"].startswith("inline")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox"
    part = http.get(preview["url"], headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    small = http.get(found["thumbnail-96"]["url"])
    assert (small.headers["content-type"], small.content[8:12]) == ("image/webp", b"WEBP")


def test_deleting_a_file_ends_its_transcoding_and_deletes_everything(
    http: httpx.Client, clips_server: ServerProcess
) -> None:
    path = upload(http, film())
    eventually(lambda: is_transcoding(http, path), within=90)
    below = {process.pid for process in clips_server.processes()}
    assert http.delete(path).status_code == 204
    assert http.get(path).status_code == 404
    eventually(lambda: len(below - alive(below)) >= 1, within=90)
    name = path.strip("/").rpartition("/")[2]
    renditions = clips_server.home / "media" / "renditions" / name
    eventually(lambda: not files_in(renditions), within=90)
    eventually(lambda: not files_in(clips_server.home / "scratch"), within=90)
    assert http.get(f"{path}renditions/preview/").status_code == 404
    another = upload(http, made.film(seconds=1))
    eventually(lambda: http.get(another).json()["status"] == "READY", within=90)


def is_transcoding(http: httpx.Client, path: str) -> bool:
    steps = http.get(f"{path}status/").json()["steps"]
    return any(step["name"] == "video_preview" and step["state"] == "running" and step["progress"] for step in steps)


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE}


def files_in(directory: Path) -> list[Path]:
    return [found for found in directory.rglob("*") if found.is_file()] if directory.exists() else []
