"""Pictures and recordings whose bytes a store sends itself, by redirects to its origin, on the server's own pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import rendition_samples as made
from tests import samples
from tests.browser.pages import Visit
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import wait_until_processed
from tests.services import S3Server


@pytest.fixture(scope="module")
def server(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = s3_server.settings(s3_server.new_bucket())
    running = ServerProcess(tmp_path_factory.mktemp("redirected") / "home", **settings, DOWNLOADS="redirect")
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def records(server: ServerProcess) -> Mapping[str, Any]:
    files = {
        "photo.jpg": samples.jpeg(800, 600),
        "report.pdf": samples.pdf(3),
        "clip.webm": made.film(container="webm", codec="libvpx", width=160, height=120, seconds=1),
        "bundle.zip": samples.archive("a.txt", "docs/b.md"),
    }
    found = {}
    for name, content in files.items():
        record = httpx.post(f"{server.url}/files/", files={"file": (name, content)}, timeout=60).json()
        found[name] = wait_until_processed(server.url, record["links"]["self"])
    return found


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def refused(page: Page) -> list[str]:
    """What the browser says of the page's policy."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Content Security Policy" in message.text else None)
    return said


def sent_by(page: Page) -> list[str]:
    urls: list[str] = []
    page.on("response", lambda response: urls.append(response.url))
    return urls


def test_thumbnails_in_the_library_come_from_the_store(
    page: Page, server: ServerProcess, records: Mapping[str, Any], refused: list[str], s3_server: S3Server
) -> None:
    urls = sent_by(page)
    page.goto(f"{server.url}/")
    pictures = page.locator("#library-list img")
    expect(pictures).to_have_count(3)
    for number in range(3):
        assert pictures.nth(number).evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert sum(url.startswith(s3_server.url) for url in urls) == 3
    assert refused == []


@pytest.mark.parametrize("name", ["photo.jpg", "report.pdf"])
def test_previews_come_from_the_store(
    page: Page, server: ServerProcess, records: Mapping[str, Any], refused: list[str], s3_server: S3Server, name: str
) -> None:
    urls = sent_by(page)
    page.goto(f"{server.url}/f/{records[name]['id']}")
    picture = page.locator("#file-preview img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert any(url.startswith(s3_server.url) for url in urls)
    assert refused == []


def test_a_video_is_played_from_the_store(
    page: Page, server: ServerProcess, records: Mapping[str, Any], refused: list[str], s3_server: S3Server
) -> None:
    urls = sent_by(page)
    page.goto(f"{server.url}/f/{records['clip.webm']['id']}")
    player = page.locator("#file-preview video")
    player.evaluate("player => player.readyState >= 1 || new Promise((done) => { player.onloadedmetadata = done; })")
    assert player.evaluate("player => player.videoWidth") == 160
    assert any(url.startswith(s3_server.url) for url in urls)
    assert refused == []


def test_what_scripts_read_is_sent_by_the_server(
    page: Page, server: ServerProcess, records: Mapping[str, Any], refused: list[str]
) -> None:
    page.goto(f"{server.url}/f/{records['bundle.zip']['id']}")
    expect(page.get_by_role("cell", name="docs/b.md")).to_be_visible()
    assert refused == []
