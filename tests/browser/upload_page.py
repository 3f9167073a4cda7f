"""The page of files as a person uses it to upload: what is chosen, what the rows say, and which requests are made."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Locator, Page, Request, Response, expect

from tests.browser.holding_proxy import HoldingProxy
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import PROCESSING_SECONDS
from windlass.client import Client

MIB = 1024 * 1024
#: Bytes of a file of the profile "slow" that take two seconds.
SLOW_RATE = 4 * MIB
PROFILES = f"""
[slow]
description = "Received at {SLOW_RATE // MIB} MiB a second."
max_bytes_per_second = {SLOW_RATE}

[preview]
description = "Makes a preview of videos, which takes some seconds."
video_preview = true

[strict]
max_size = 1_000_000
min_size = 10
allowed_extensions = ["txt", "png"]
allowed_mime_types = ["text/*", "image/png"]
"""


@pytest.fixture(scope="module")
def upload_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all tests of a module, with profiles that are slow and strict."""
    directory = tmp_path_factory.mktemp("uploads")
    profiles = directory / "profiles.toml"
    profiles.write_text(PROFILES)
    server = ServerProcess(directory / "home", WINDLASS_PROFILES=str(profiles))
    server.start()
    with Client(server.url) as client:
        first = client.upload(io.BytesIO(b"A file for the worker.\n"), filename="first.txt").id
        client.wait(first, PROCESSING_SECONDS)  # the worker of a new server is not there as soon as its pages are
        client.delete(first)
    yield server
    server.kill()


#: Bytes that arrive before the proxy holds uploads: with bodies of 1, 2 and 4 MiB, or of 1 MiB, ENOUGH are confirmed.
ALLOWANCE = 8 * MIB
ENOUGH = 5 * MIB


@pytest.fixture
def proxy(upload_server: ServerProcess) -> Iterator[HoldingProxy]:
    """Holds uploads on their way until a test releases them."""
    holding = HoldingProxy(upload_server.port, ALLOWANCE)
    yield holding
    holding.close()


@dataclass
class UploadPage:
    """The page in one tab. ``offsets`` are those at which its PATCH requests began, since it was opened or reloaded;
    ``created`` are the URLs of the uploads that it created."""

    page: Page
    url: str
    offsets: list[int] = field(default_factory=list)
    created: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)

    def _note_request(self, request: Request) -> None:
        if request.method == "PATCH":
            self.offsets.append(int(request.headers["upload-offset"]))

    def _note_response(self, response: Response) -> None:
        if "location" in response.headers:
            self.created.append(f"{self.url}{urlsplit(response.headers['location']).path}")

    def open(self) -> UploadPage:
        self.page.goto(self.url)
        return self.ready()

    def reload(self) -> UploadPage:
        self.offsets.clear()
        self.page.reload()
        return self.ready()

    def ready(self) -> UploadPage:
        self.page.wait_for_selector("html[data-uploads=ready]", state="attached")
        return self

    def choose(self, *paths: Path, profile: str = "default") -> None:
        self.page.select_option("#upload-profile", profile)
        self.page.set_input_files("#file-input", list(paths))

    def drop(self, *paths: Path, x: int = 600, y: int = 700, release: bool = True) -> None:
        """Drag files and folders of this machine to a place on the page, as a file manager does."""
        devtools = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop")[: 3 if release else 2]:
            devtools.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})

    def row(self, name: str) -> Locator:
        return self.page.locator(".upload").filter(has=self.page.get_by_text(name, exact=True))

    def note(self, name: str) -> Locator:
        return self.row(name).locator(".upload-note")

    def press(self, name: str, button: str) -> None:
        self.row(name).get_by_role("button", name=f"{button} {name}").click()

    def expect_uploaded(self, number: int) -> None:
        expect(self.page.locator("#uploads-done-count")).to_have_text(f"{number} uploaded")

    def expect_sent(self, name: str, at_least: int) -> None:
        """Wait until the row says that so many MiB have been sent."""
        figure = re.compile(r"([\d.]+) MB of")
        self.page.wait_for_function(
            """([name, least]) => [...document.querySelectorAll('.upload')].some((row) =>
                 row.querySelector('.upload-name').textContent === name
                 && Number(row.querySelector('.upload-note').textContent.match(/([\\d.]+) MB of/)?.[1]) >= least)""",
            arg=[name, at_least / MIB],
        )
        assert figure.search(self.note(name).inner_text())

    def toast(self, text: str | re.Pattern[str]) -> Locator:
        return self.page.locator(".toast", has_text=text)

    def delete_script_api(self, *names: str) -> None:
        """Be a browser without these interfaces, from the next time that the page is opened on."""
        self.page.add_init_script("".join(f"delete {name};" for name in names))


#: Interfaces by which files are read again after a reload.
COPIES = "StorageManager.prototype.getDirectory"
PICKERS = ("Window.prototype.showOpenFilePicker", "window.showOpenFilePicker", "window.showDirectoryPicker")


def head(url: str) -> httpx.Response:
    """What the server has of an upload."""
    return httpx.head(url, headers={"Tus-Resumable": "1.0.0"})


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def records(server: ServerProcess, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The records of files by their names; each is there once."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        listed = httpx.get(f"{server.url}/files/", params={"q": name}).raise_for_status().json()["results"]
        matching = [each for each in listed if each["original_filename"] == name]
        assert len(matching) == 1, f"{name}: {len(matching)} records"
        found[name] = matching[0]
    return found
