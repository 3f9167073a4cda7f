"""The examples of the directory ``examples``, each run as its README says, and used in Chromium as a person would."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests import samples
from tests.browser.pages import WAIT, Visit
from tests.markdown_pages import ROOT
from tests.process.conftest import ServerProcess, free_port

EXAMPLES = ROOT / "examples"
SITE = EXAMPLES / "django-site"
MIB = 1024 * 1024
USER, PASSWORD, ADDRESS = "ana", "seven-ells-of-rope", "ana@example.org"


@pytest.fixture(scope="module")
def django_site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("django-site")
    own = {
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": str(SITE),
        "GALLERY_DATA": str(directory),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    server = ServerProcess(directory / "windlass", **own)
    for command in (["migrate", "-v0"], ["createsuperuser", "--noinput", "--username", USER, "--email", ADDRESS]):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=SITE, env=server.environment, check=True, timeout=60
        )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def site(visit: Visit, django_site: ServerProcess) -> Page:
    """The form of a signed-in user."""
    return signed_in(visit.page, django_site)


def signed_in(page: Page, server: ServerProcess) -> Page:
    page.goto(f"{server.url}/add/")
    page.fill("[name=username]", USER)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url(f"{server.url}/add/")
    return page


class Network:
    """The network of a page: slow, and away or not."""

    def __init__(self, page: Page, bytes_per_second: int) -> None:
        self._session = page.context.new_cdp_session(page)
        self._limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
        self.set(offline=False)

    def set(self, *, offline: bool) -> None:
        self._session.send("Network.emulateNetworkConditions", self._limits | {"offline": offline})


def wait_until_sent(page: Page, part: float) -> None:
    """``part``: in the unit of the page's bar."""
    page.wait_for_function("part => document.querySelector('progress').value > part", arg=part)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """As phones write it: something behind the picture, which viewers pass over."""
    path = tmp_path / "sunset ü.jpg"
    path.write_bytes(samples.noisy_jpeg() + os.urandom(12 * MIB))
    return path


def test_django_site_uploads_resumably_and_sends_the_form_afterwards(
    site: Page, visit: Visit, django_site: ServerProcess, picture: Path
) -> None:
    assert visit.violations() == []
    network = Network(site, 6 * MIB)
    site.fill("[name=title]", "Sunset")
    site.set_input_files("[type=file]", picture)
    wait_until_sent(site, 0.2)
    site.click("button:text-is('Add')")
    expect(site.locator(".windlass-upload-message")).to_contain_text("sent when the upload is done")
    network.set(offline=True)
    expect(site.locator(".windlass-upload-message")).to_contain_text("No connection")
    network.set(offline=False)
    site.wait_for_url(f"{django_site.url}/")
    entry = site.locator(".pictures li", has_text="Sunset")
    assert entry.locator("img").evaluate("async shown => (await shown.decode(), shown.naturalWidth)") > 0
    link = entry.locator("a", has_text="Link for others").get_attribute("href")
    body = httpx.get(f"{django_site.url}{link}").content
    assert hashlib.sha256(body).digest() == hashlib.sha256(picture.read_bytes()).digest()


def test_django_site_pauses_and_resumes_by_the_keyboard(site: Page, django_site: ServerProcess, picture: Path) -> None:
    Network(site, 4 * MIB)
    site.set_input_files("[type=file]", picture)
    wait_until_sent(site, 0.1)
    pause = site.locator(".windlass-upload-pause")
    expect(pause).to_have_accessible_name(f"Pause {picture.name}")
    pause.focus()
    site.keyboard.press("Enter")
    expect(site.locator(".windlass-upload-message")).to_have_text("Paused.")
    stood = site.locator("progress").evaluate("bar => bar.value")
    time.sleep(1)
    assert site.locator("progress").evaluate("bar => bar.value") == stood < 1
    expect(pause).to_be_focused()
    expect(pause).to_have_accessible_name(f"Resume {picture.name}")
    site.keyboard.press("Enter")
    expect(site.locator(".windlass-upload-message")).to_have_text(f"{picture.name} is attached.", timeout=WAIT)
    expect(site.locator("[type=file]")).to_be_focused()


def test_django_site_takes_several_files_and_refuses_one_in_its_row(
    site: Page, visit: Visit, django_site: ServerProcess, picture: Path, tmp_path: Path
) -> None:
    site.goto(f"{django_site.url}/add-several/")
    assert visit.violations() == []
    small = [tmp_path / f"small-{number}.jpg" for number in range(4)]
    for path in small:
        path.write_bytes(samples.noisy_jpeg())
    text = tmp_path / "text.png"
    text.write_text("This is no picture.")
    network = Network(site, 6 * MIB)
    site.set_input_files("[type=file]", [picture, *small, text])
    rows = site.locator(".windlass-upload-row")
    expect(rows).to_have_count(6)
    assert visit.violations() == []
    refused = rows.filter(has_text="text.png")
    expect(refused.locator(".windlass-upload-error")).to_contain_text("text/plain")
    refused.get_by_role("button", name="Remove text.png").click()
    expect(rows).to_have_count(5)
    expect(site.locator("[type=file]")).to_be_focused()
    rows.filter(has_text="small-3.jpg").get_by_role("button", name="Remove").click()
    expect(rows.filter(has_text="small-0.jpg")).to_contain_text("Attached.")
    network.set(offline=False)
    site.click("button:text-is('Add')")
    site.wait_for_url(f"{django_site.url}/")
    shown = site.locator(".pictures strong").all_inner_texts()
    assert {picture.name, *(path.name for path in small[:3])} <= set(shown)
    assert not {"text.png", "small-3.jpg"} & set(shown)


def test_django_site_goes_on_after_a_reload(site: Page, django_site: ServerProcess, picture: Path) -> None:
    offsets: list[int] = []

    def note(response: object) -> None:
        if response.request.method == "HEAD":  # type: ignore[attr-defined]
            offsets.append(int(response.headers.get("upload-offset", "-1")))  # type: ignore[attr-defined]

    Network(site, 6 * MIB)
    site.set_input_files("[type=file]", picture)
    wait_until_sent(site, 0.3)
    site.on("dialog", lambda dialog: dialog.accept())  # whether to leave the page
    site.reload()
    site.on("response", note)
    site.set_input_files("[type=file]", picture)
    expect(site.locator(".windlass-upload-message")).to_have_text(f"{picture.name} is attached.", timeout=WAIT)
    assert offsets[0] > 0, "what had arrived was not sent again"


def test_django_site_tells_why_a_file_is_refused_on_the_page_and_by_mail(
    site: Page, django_site: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "text.png"
    path.write_text("This is no picture.")
    site.set_input_files("[type=file]", path)
    expect(site.locator(".windlass-upload-message")).to_contain_text("text/plain")
    assert site.locator("input[type=hidden][name=file]").input_value() == ""
    site.fill("[name=title]", "Nothing")
    site.click("button:text-is('Add')")
    assert site.url == f"{django_site.url}/add/", "the browser asks for the required file"
    mail = wait_for_mail(django_site.home.parent / "mail")
    assert "Subject: text.png was refused" in mail
    assert f"To: {ADDRESS}" in mail


def wait_for_mail(directory: Path) -> str:
    deadline = time.monotonic() + 20
    while not list(directory.glob("*.log")):
        assert time.monotonic() < deadline, "the signal was not sent"
        time.sleep(0.1)
    return next(directory.glob("*.log")).read_text()


def test_django_site_works_without_a_script(web_browser: Browser, django_site: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "plain.jpg"
    path.write_bytes(samples.jpeg())
    context = web_browser.new_context(java_script_enabled=False)
    page = signed_in(context.new_page(), django_site)
    page.fill("[name=title]", "Without a script")
    page.set_input_files("[type=file]", path)
    page.click("button:text-is('Add')")
    for _ in range(100):
        if page.url == f"{django_site.url}/":
            break
        # The same form again, which has the file's id now.
        expect(page.locator(".errorlist")).to_contain_text("still being checked")
        assert page.locator(".windlass-upload-current").inner_text().startswith("plain.jpg")
        time.sleep(0.1)
        page.click("button:text-is('Add')")
    assert page.locator(".pictures li", has_text="Without a script").count() == 1
    context.close()


def test_django_site_has_the_widget_in_its_admin(site: Page, django_site: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "admin.jpg"
    path.write_bytes(samples.jpeg())
    site.goto(f"{django_site.url}/admin/gallery/picture/add/")
    site.fill("[name=title]", "By the admin")
    site.select_option("[name=author]", label=USER)
    site.set_input_files("[type=file]", path)
    expect(site.locator(".windlass-upload-message")).to_have_text("admin.jpg is attached.")
    site.click("[name=_save]")
    expect(site.locator(".messagelist")).to_contain_text("was added successfully")


@pytest.fixture(scope="module")
def open_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """As the README starts it for the pages and for FastAPI; and slow, so that something can happen on the way."""
    directory = tmp_path_factory.mktemp("open")
    profiles = directory / "profiles.toml"
    profiles.write_text(f"[default]\nmax_bytes_per_second = {2 * MIB}\n")
    settings = {"CORS_ALLOWED_ORIGINS": "null", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1", "CHECKPOINT_SECONDS": "0.2"}
    server = ServerProcess(directory / "home", WINDLASS_PROFILES=str(profiles), **settings)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def token(open_server: ServerProcess) -> str:
    return open_server.command("token", "create", "--user", "app").stdout.strip()


def test_upload_test_page_shows_one_and_several_uploads_over_one_websocket(
    visit: Visit, open_server: ServerProcess, token: str, tmp_path: Path
) -> None:
    page, frames, sockets, offsets = visit.page, [], [], []

    def follow(socket: WebSocket) -> None:
        sockets.append(socket.url)
        socket.on("framereceived", lambda frame: frames.append(json.loads(frame)))

    page.on("websocket", follow)
    page.on("request", lambda request: offsets.append(int(request.headers.get("upload-offset", "0"))))
    paths = [tmp_path / name for name in ("large.bin", "b.txt", "ü.txt")]
    for path, size in zip(paths, (8 * MIB, 1000, 0), strict=True):
        path.write_bytes(os.urandom(size))
    page.goto((EXAMPLES / "upload_test.html").as_uri())
    assert visit.violations() == []
    page.fill("#server", open_server.url)
    page.fill("#token", token)
    web = open_server.web_pid()
    page.set_input_files("#single", paths[0])
    large = page.locator("li", has_text="large.bin")
    wait_until_sent(page, 5)
    os.kill(web, signal.SIGKILL)
    expect(large).to_have_attribute("data-state", "ready", timeout=2 * WAIT)
    expect(page.locator("#connection")).to_have_text("Connected.")
    assert max(offsets) > 0, "what had arrived was not sent again"
    page.set_input_files("#several", paths[1:])
    for path in paths:
        row = page.locator("li", has_text=path.name)
        expect(row).to_have_attribute("data-state", "ready")
        address = row.locator("a").get_attribute("href")
        stored = httpx.get(str(address), headers={"Authorization": f"Bearer {token}"})
        assert hashlib.sha256(stored.content).digest() == hashlib.sha256(path.read_bytes()).digest()
    progress = [frame["data"]["progress"] for frame in frames if frame.get("type") == "upload.progress"]
    assert [part for part in progress if 0 < part < 100], "the server told it"
    steps = {frame["file_id"] for frame in frames if frame.get("type") == "file.step"}
    assert len(steps) == len(paths)
    assert {url.partition("?")[0] for url in sockets} == {open_server.url.replace("http", "ws") + "/ws/events"}


def test_plain_form_uploads_without_a_script(web_browser: Browser, open_server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader")
    form = tmp_path / "plain_form.html"
    form.write_text((EXAMPLES / "plain_form.html").read_text().replace("http://127.0.0.1:8000", open_server.url))
    context = web_browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(form.as_uri())
    page.set_input_files("[type=file]", path)
    with page.expect_response("**/files/") as replied:
        page.click("button")
    assert replied.value.status == 201
    stored = httpx.get(f"{open_server.url}/files/", params={"reference": "order-17"}).json()["results"]
    assert [file["original_filename"] for file in stored] == ["letter.txt"]
    context.close()


@pytest.fixture
def fastapi_app(open_server: ServerProcess, token: str) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    own = {"WINDLASS_SERVER": open_server.url, "WINDLASS_TOKEN": token, "APP_ADDRESS": address}
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(port), "fastapi_app:app"]
    with subprocess.Popen(command, env=os.environ | own) as running:
        yield address
        running.terminate()


def test_fastapi_app_hands_out_an_upload_and_hears_when_it_is_ready(fastapi_app: str) -> None:
    transport = httpx.HTTPTransport(retries=8)  # while it starts
    with httpx.Client(base_url=fastapi_app, transport=transport, timeout=30) as client:
        order = client.post("/orders").raise_for_status().json()
        assert client.get(f"/orders/{order['order']}").json() == {"status": "waiting for its file"}
        httpx.post(order["upload_url"], files={"file": ("letter.txt", b"Dear reader")}).raise_for_status()
        assert httpx.post(order["upload_url"], content=b"a second file").is_error, "it takes one"
        deadline = time.monotonic() + 30
        while (seen := client.get(f"/orders/{order['order']}").json())["status"] != "ready":
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
        assert seen["name"] == "letter.txt"
        assert client.post("/webhook", content=b"{}", headers={"webhook-id": "forged"}).status_code == 400
