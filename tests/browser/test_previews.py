"""The preview of a video that browsers do not play, played in one: from a server, by ranges, to its end."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests import rendition_samples as made
from tests.browser.conftest import Browser, Pages
from tests.process.conftest import ServerProcess
from tests.process.wire import eventually

PAGE = (
    '<!doctype html><meta charset="utf-8"><title>Player</title><video muted preload="metadata" src="{url}"></video>\n'
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    home = tmp_path_factory.mktemp("previews")
    (home / "profiles.toml").write_text("[default]\nvideo_preview = true\naudio_preview = true\npreview_height = 480\n")
    running = ServerProcess(home / "home", WINDLASS_PROFILES=str(home / "profiles.toml"))
    running.start()
    yield running
    running.kill()


def preview(server: ServerProcess, data: bytes, name: str) -> str:
    """The URL of the file's preview, once it is made."""
    uploaded = httpx.post(f"{server.url}/files/", params={"filename": name}, content=data).json()
    path = server.url + uploaded["links"]["self"]
    eventually(lambda: httpx.get(path).json()["status"] == "READY", within=90)
    renditions = {found["name"]: found["url"] for found in httpx.get(path).json()["renditions"]}
    return server.url + renditions["preview"]


def play(browser: Browser, origin: Pages, url: str) -> dict[str, object]:
    (origin.directory / "player.html").write_text(PAGE.format(url=url))
    return browser.play(f"{origin.origin}/player.html")


def test_a_cameras_video_plays_and_can_be_seeked(browser: Browser, origin: Pages, server: ServerProcess) -> None:
    """MPEG-4 part 2 in AVI, which no browser plays; twenty seconds, so that its end is not in the first answer."""
    film = made.film(container="avi", codec="mpeg4", width=960, height=720, seconds=20)
    played = play(browser, origin, preview(server, film, "camera.avi"))
    assert (played["width"], played["height"], played["error"]) == (640, 480, None)
    assert played["duration"] == pytest.approx(20, abs=0.3)
    assert played["from"] == pytest.approx(15, abs=0.5), "it jumped"
    assert played["reached"] > played["from"], "it plays from there"  # type: ignore[operator]
    assert played["decoded"] > 3, "pictures were shown"  # type: ignore[operator]
    assert 206 in played["statuses"], "by ranges"  # type: ignore[operator]
    left, right = played["colours"]  # type: ignore[misc]
    assert left[0] > 130 > 90 > left[2]
    assert right[2] > 130 > 90 > right[0]


def test_an_audio_preview_plays(browser: Browser, origin: Pages, server: ServerProcess) -> None:
    played = play(browser, origin, preview(server, made.tone("aiff", "pcm_s16be", seconds=8), "tone.aiff"))
    assert (played["width"], played["error"]) == (0, None)
    assert played["duration"] == pytest.approx(8, abs=0.3)
    assert played["reached"] > played["from"] > 5  # type: ignore[operator]
