"""Upload libraries of pages in a real browser against a running server.

The pages come from another origin than the server's, which CORS_ALLOWED_ORIGINS names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import Browser, Pages
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored

MIB = 1024 * 1024
SIZE = 30 * MIB + 12345
#: Of what the browser sends: an upload of this size takes two seconds.
THROTTLE = SIZE // 2
#: Each library's page, and the input there that takes files.
LIBRARIES = [
    ("uppy-tus", "#choose"),
    ("uppy-xhr", "#choose"),
    ("filepond", ".filepond--browser"),
    ("dropzone", ".dz-hidden-input"),
]


@pytest.fixture
def large_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "large file ü.bin"
    path.write_bytes(os.urandom(SIZE))
    yield path
    path.unlink()


def test_uppy_tus_uploads(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    uploaded = browser.upload(f"{pages.origin}/uppy-tus.html", large_file, choose="#choose")
    assert_stored(windlass.url, uploaded["file"], large_file)
    record = httpx.get(f"{windlass.url}{uploaded['file']}").json()
    assert (record["reference"], record["metadata"]) == ("order-17", {})


def test_uppy_tus_paused_and_resumed(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    task = {"choose": "#choose", "throttle": THROTTLE, "at": 8 * MIB}
    uploaded = browser.upload(f"{pages.origin}/uppy-tus-in-chunks.html", large_file, "paused", **task)
    before, after = uploaded["paused"]
    assert 8 * MIB <= before == after < SIZE, "it stood still"
    assert uploaded["resumedAt"], "it asked where to go on"
    assert 0 < uploaded["resumedAt"][-1] < SIZE
    assert_stored(windlass.url, uploaded["file"], large_file)


def test_uppy_tus_resumes_after_being_offline(
    browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path
) -> None:
    task = {"choose": "#choose", "throttle": THROTTLE, "at": 8 * MIB}
    uploaded = browser.upload(f"{pages.origin}/uppy-tus-in-chunks.html", large_file, "offline", **task)
    assert 8 * MIB <= uploaded["lost"] < SIZE
    assert 0 < uploaded["resumedAt"][-1] < SIZE, "what had arrived was not sent again"
    assert_stored(windlass.url, uploaded["file"], large_file)


def test_uppy_xhr_uploads(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    uploaded = browser.upload(f"{pages.origin}/uppy-xhr.html", large_file, choose="#choose")
    assert_stored(windlass.url, uploaded["file"], large_file)
    record = httpx.get(f"{windlass.url}{uploaded['file']}").json()
    assert (record["reference"], record["metadata"]) == ("order-17", {})


def test_filepond_uploads(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    uploaded = browser.upload(f"{pages.origin}/filepond.html", large_file, choose=".filepond--browser")
    assert_stored(windlass.url, uploaded["file"], large_file)


def test_filepond_reverts_an_upload(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    uploaded = browser.upload(f"{pages.origin}/filepond.html", large_file, "reverted", choose=".filepond--browser")
    assert httpx.get(f"{windlass.url}{uploaded['file']}").status_code == 404


def test_dropzone_uploads(browser: Browser, pages: Pages, windlass: ServerProcess, large_file: Path) -> None:
    uploaded = browser.upload(f"{pages.origin}/dropzone.html", large_file, choose=".dz-hidden-input")
    assert_stored(windlass.url, uploaded["file"], large_file)


@pytest.mark.parametrize(("page", "choose"), LIBRARIES)
def test_a_page_shows_the_detail_of_a_refusal(
    browser: Browser, pages: Pages, large_file: Path, page: str, choose: str
) -> None:
    """It comes long before the body ends, and the page learns it, not that a connection broke."""
    refused = browser.upload(f"{pages.origin}/{page}-refused.html", large_file, "refused", choose=choose)
    assert refused["error"] == "There is no profile 'nobodys'. Profiles here: default, media."


@pytest.mark.parametrize(("page", "choose"), LIBRARIES[1:])
def test_a_page_of_another_origin_cannot_upload(
    browser: Browser, pages: Pages, windlass: ServerProcess, tmp_path: Path, page: str, choose: str
) -> None:
    path = tmp_path / f"foreign by {page}.bin"
    path.write_bytes(os.urandom(MIB))
    refused = browser.upload(f"{pages.other_origin}/{page}.html", path, "refused", choose=choose)
    assert refused["error"]
    assert httpx.get(f"{windlass.url}/files/", params={"q": "foreign"}).json()["results"] == []
