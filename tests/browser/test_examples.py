"""The examples of the directory ``examples``, each run as its README says, and used in Chromium as a person would."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import samples
from tests.browser.pages import WAIT, Visit
from tests.markdown_pages import ROOT
from tests.process.conftest import ServerProcess

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
