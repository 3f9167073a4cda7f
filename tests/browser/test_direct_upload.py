"""Uppy's S3 plugin, this major and the one before, in a real browser: page, server and store have three origins.

The pages' scripts are the examples of docs/how-to/send-from-the-browser-to-the-bucket.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser.conftest import SPY, Browser, Pages, examples_of
from tests.markdown_pages import DOCS
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored
from tests.process.wire import eventually
from tests.s3_forms import taking_forms
from tests.services import S3Server

MIB = 1024 * 1024
SIZE = 22 * MIB + 12345
THROTTLE = SIZE // 3
EXAMPLES = DOCS / "how-to" / "send-from-the-browser-to-the-bucket.md"
#: Says that a small file was sent, and to nobody but the test.
SILENT = "console.log(`done: ${reply.body.key}`)"
UPPYS = ["uppy-s3", "uppy-s3-v5"]
PROFILES = """
[default]
max_size = 52428800
blocked_mime_types = ["image/svg+xml"]
"""


def new_bucket(s3: S3Server, origin: Pages) -> str:
    """One that lets the pages in."""
    bucket = s3.new_bucket()
    rule = {"AllowedOrigins": [origin.origin], "AllowedMethods": ["PUT", "POST"], "AllowedHeaders": ["*"]}
    rule["ExposeHeaders"] = ["ETag"]
    s3.client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    return bucket


@pytest.fixture(scope="module")
def windlass(origin: Pages, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose store takes forms and lets the pages in."""
    bucket = new_bucket(s3_server, origin)
    place = tmp_path_factory.mktemp("straight")
    (place / "profiles.toml").write_text(PROFILES)
    with taking_forms(s3_server) as address:
        settings = {"AWS_S3_PUBLIC_ENDPOINT_URL": address, "CORS_ALLOWED_ORIGINS": origin.origin}
        settings |= {"WINDLASS_PROFILES": str(place / "profiles.toml"), "DOWNLOADS": "proxy"}
        server = ServerProcess(place / "home", **s3_server.settings(bucket), **settings)
        server.start()
        yield server
        server.kill()


@pytest.fixture(scope="module")
def pages(origin: Pages, windlass: ServerProcess) -> Pages:
    """The examples; and each without the call that says that a small file was sent."""
    scripts = {name: text + SPY for name, text in examples_of(EXAMPLES).items()}
    silent = {
        name.replace("uppy-s3", "silent"): text.replace("console.log(`done: ${await record(reply)}`)", SILENT)
        for name, text in scripts.items()
        if name.startswith("uppy-s3")
    }
    assert silent
    assert all(SILENT in text for text in silent.values())
    origin.write(scripts | silent, windlass.url)
    return origin


def content(place: Path, size: int, name: str = "a file ü.bin") -> Path:
    path = place / name
    path.write_bytes(os.urandom(size))
    return path


def file_of(location: str, windlass: ServerProcess) -> str:
    assert location.startswith(windlass.url), location
    return urlsplit(location).path


@pytest.mark.parametrize("uppy", UPPYS)
def test_uppy_sends_a_large_file_in_parts(
    browser: Browser, pages: Pages, windlass: ServerProcess, tmp_path: Path, uppy: str
) -> None:
    path = content(tmp_path, SIZE)
    uploaded = browser.upload(f"{pages.origin}/{uppy}.html", path, choose="#choose")
    file = file_of(uploaded["file"], windlass)
    assert_stored(windlass.url, file, path)
    assert httpx.get(windlass.url + file).json()["reference"] == "order-17"


@pytest.mark.parametrize("uppy", UPPYS)
def test_uppy_resumes_after_a_reload(
    browser: Browser, pages: Pages, windlass: ServerProcess, tmp_path: Path, uppy: str
) -> None:
    path = content(tmp_path, SIZE)
    task = {"choose": "#choose", "throttle": THROTTLE, "at": SIZE // 2}
    uploaded = browser.upload(f"{pages.origin}/{uppy}.html", path, "reloaded", **task)
    before, after = uploaded["parts"]
    assert after, "something was left to be sent"
    assert not set(before) & set(after), "what was there was not sent again"
    assert_stored(windlass.url, file_of(uploaded["file"], windlass), path)


@pytest.mark.parametrize("uppy", UPPYS)
@pytest.mark.parametrize("size", [0, MIB + 1])
def test_uppy_sends_a_small_file_in_a_form(
    browser: Browser, pages: Pages, windlass: ServerProcess, tmp_path: Path, uppy: str, size: int
) -> None:
    path = content(tmp_path, size)
    uploaded = browser.upload(f"{pages.origin}/{uppy}.html", path, choose="#choose")
    assert_stored(windlass.url, file_of(uploaded["file"], windlass), path)


@pytest.mark.parametrize("page", ["silent", "silent-v5"])
def test_a_small_file_is_recorded_without_a_completion_call(
    browser: Browser, pages: Pages, windlass: ServerProcess, tmp_path: Path, page: str
) -> None:
    path = content(tmp_path, MIB + 2)
    key = browser.upload(f"{pages.origin}/{page}.html", path, choose="#choose")["file"]
    upload = key.rpartition("/")[2].partition(".")[0]

    def found() -> str | None:
        answer = httpx.get(f"{windlass.url}/uploads/{upload}", headers={"Accept": "application/json"})
        file: str | None = answer.json().get("file_id")
        return file

    assert_stored(windlass.url, f"/files/{eventually(found)}/", path)


@pytest.mark.parametrize(
    ("uppy", "said"), [("uppy-s3", "Companion request failed"), ("uppy-s3-v5", "at most 52428800 bytes")]
)
def test_uppy_shows_that_a_file_is_too_large(
    browser: Browser, pages: Pages, tmp_path: Path, uppy: str, said: str
) -> None:
    path = content(tmp_path, 51 * MIB)
    refused = browser.upload(f"{pages.origin}/{uppy}.html", path, "refused", choose="#choose")
    assert said in refused["error"]


@pytest.mark.parametrize(
    ("uppy", "said"), [("uppy-s3", "Unsupported Media Type"), ("uppy-s3-v5", "image/svg+xml are refused")]
)
def test_uppy_shows_that_a_type_is_refused(
    browser: Browser, pages: Pages, tmp_path: Path, uppy: str, said: str
) -> None:
    path = content(tmp_path, 1000, "drawing.svg")
    refused = browser.upload(f"{pages.origin}/{uppy}.html", path, "refused", choose="#choose")
    assert said in refused["error"]


@pytest.fixture(scope="module")
def closed(origin: Pages, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks for credentials, over a store that takes no forms."""
    settings = s3_server.settings(new_bucket(s3_server, origin)) | {"AUTH_MODE": "required", "AWS_S3_FORMS": "false"}
    server = ServerProcess(tmp_path_factory.mktemp("closed") / "home", CORS_ALLOWED_ORIGINS=origin.origin, **settings)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("uppy", UPPYS)
def test_uppy_uploads_with_credentials_to_a_store_without_forms(
    browser: Browser, origin: Pages, closed: ServerProcess, tmp_path: Path, uppy: str
) -> None:
    token = closed.command("token", "create", "--user", uppy).stdout.strip()
    examples = examples_of(EXAMPLES)
    signed_in = "import { withToken } from './with-token.js'\n" + examples[f"{uppy}.js"]
    signed_in += f"withToken('{closed.url}', '{token}')\n"
    page = uppy.replace("uppy-s3", "signed-in")
    origin.write({f"{page}.js": signed_in, "with-token.js": examples["with-token.js"]}, closed.url)
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        for size in (1000, 12 * MIB):
            path = content(tmp_path, size)
            uploaded = browser.upload(f"{origin.origin}/{page}.html", path, choose="#choose")
            download = f"{closed.url}{file_of(uploaded['file'], closed)}download/"
            assert eventually(partial(served, client, download)) == path.read_bytes()


def served(client: httpx.Client, url: str) -> bytes | None:
    """The file, as soon as it may be fetched."""
    answer = client.get(url)
    return answer.content if answer.is_success else None
