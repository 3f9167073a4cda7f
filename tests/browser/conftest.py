"""Pages with other people's upload libraries, served from an origin of their own, and Chromium to open them in.

The pages' scripts are the examples of docs/how-to/upload-from-uppy-filepond-or-dropzone.md.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import playwright, visit, web_browser
from tests.conftest import require
from tests.markdown_pages import DOCS, fences
from tests.process.conftest import ServerProcess

__all__ = ["playwright", "visit", "web_browser"]  # fixtures

HERE = Path(__file__).resolve().parent
EXAMPLES = DOCS / "how-to" / "upload-from-uppy-filepond-or-dropzone.md"
DOCUMENTED = "http://127.0.0.1:8000"

#: Behind the resumable example, so that a test sees how far it is and can stop it.
SPY = """
globalThis.uppy = uppy
globalThis.sent = 0
uppy.on('upload-progress', (_, { bytesUploaded }) => { globalThis.sent = bytesUploaded })
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>{name}</title>
<input id="choose" type="file" multiple><div id="drop" class="dropzone"></div>
<script type="module" src="{name}.bundle.js"></script>
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Pages:
    """A web server of other people's pages."""

    directory: Path
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_origin(self) -> str:
        """The same pages, by another name."""
        return f"http://localhost:{self.port}"

    def make(self, server: str) -> None:
        """Write each example as a page that uploads to this server, and its variants."""
        self.write(variants(examples_of(EXAMPLES)), server)

    def write(self, scripts: dict[str, str], server: str) -> None:
        for name, text in scripts.items():
            (self.directory / name).write_text(text.replace(DOCUMENTED, server))
        run("bundle.mjs", str(self.directory))
        for script in self.directory.glob("*.bundle.js"):
            name = script.name.removesuffix(".bundle.js")
            (self.directory / f"{name}.html").write_text(PAGE.format(name=name))


def examples_of(page: Path) -> dict[str, str]:
    """The scripts of a page of the documentation, by their names."""
    return {fence.options["file"]: fence.text for fence in fences(page) if "file" in fence.options}


def variants(examples: dict[str, str]) -> dict[str, str]:
    """The examples; the resumable one in chunks too; and each as the server refuses it."""
    resumable = examples["uppy-tus.js"] + SPY
    chunked = resumable.replace("endpoint:", "chunkSize: 2 * 1024 * 1024,\n  endpoint:", 1)
    refused = {
        f"{name.removesuffix('.js')}-refused.js": text.replace("/files/", "/files/?profile=nobodys", 1)
        for name, text in examples.items()
    }
    return examples | refused | {"uppy-tus.js": resumable, "uppy-tus-in-chunks.js": chunked}


def run(script: str, argument: str) -> str:
    """Run a script of this directory in Node and return its output."""
    result = subprocess.run(["node", str(HERE / script), argument], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def chromium() -> str:
    require(shutil.which("node") and (HERE / "node_modules").is_dir(), "packages are missing: npm ci in tests/browser")
    return require(shutil.which("chromium"), "chromium is not on PATH")


@pytest.fixture(scope="module")
def origin(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The web server, still without pages."""
    directory = tmp_path_factory.mktemp("pages")
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield Pages(directory, listening.server_address[1])
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def windlass(origin: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all tests of a module, which lets pages of that origin in."""
    settings = {"CORS_ALLOWED_ORIGINS": origin.origin, "TRASH_HOURS": "24"}
    server = ServerProcess(tmp_path_factory.mktemp("browser") / "home", **settings)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def pages(origin: Pages, windlass: ServerProcess) -> Pages:
    origin.make(windlass.url)
    return origin


@dataclass(frozen=True)
class Browser:
    """A new Chromium for each upload."""

    program: str

    def upload(self, page: str, path: Path, scenario: str = "plain", **task: Any) -> dict[str, Any]:
        """Give a page a file (see drive.mjs); what became of it."""
        task = {"chromium": self.program, "page": page, "path": str(path), "scenario": scenario, **task}
        document: dict[str, Any] = json.loads(run("drive.mjs", json.dumps(task)))
        return document

    def visit(self, server: str, visits: list[dict[str, Any]]) -> dict[str, Any]:
        """Open pages of a server one after the other (see drive.mjs); what broke their Content Security Policy."""
        task = {"chromium": self.program, "page": f"{server}/", "scenario": "policies", "visits": visits}
        document: dict[str, Any] = json.loads(run("drive.mjs", json.dumps(task)))
        return document

    def play(self, page: str) -> dict[str, Any]:
        """Open a page with a video (see drive.mjs); what was seen of it."""
        task = {"chromium": self.program, "page": page, "scenario": "play"}
        document: dict[str, Any] = json.loads(run("drive.mjs", json.dumps(task)))
        return document


@pytest.fixture
def browser(chromium: str) -> Browser:
    return Browser(chromium)
