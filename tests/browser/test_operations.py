"""The operations page, the sign-in page and the first run, in Chromium, against servers whose parts really fail."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import PHONE, Visit, illustrate
from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.wire import connect, eventually, wait_until_processed

PASSWORD = "seven-ells-of-rope"


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file whose existence lets the stubborn step succeed."""
    return tmp_path_factory.mktemp("mended") / "mended"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mended: Path) -> Iterator[ServerProcess]:
    """A server in open mode with three dead letters, a delivery that failed for good, and the open breaker of its
    receiver."""
    directory = tmp_path_factory.mktemp("operations")
    settings = {
        "JOB_MAX_ATTEMPTS": "1",
        "SWEEP_SECONDS": "0.5",
        "HAWSER_MENDED": str(mended),
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_RETRY_SECONDS": "0.1",
        "BREAKER_WEBHOOK_FAILURE_THRESHOLD": "2",
        "BREAKER_WEBHOOK_RECOVERY_SECONDS": "3600",
        "QUOTA_BYTES": "1000",
        **step_package.install(directory / "plugins", step_package.STUBBORN),
    }
    running = ServerProcess(directory / "home", **settings)
    running.start()
    try:
        break_things(running)
        yield running
    finally:
        running.kill()


def break_things(server: ServerProcess) -> None:
    with connect(server) as http:
        names = ["Minutes.txt", "Readings of May.csv", "Letter to the harbour.txt"]
        sent = [http.post(f"/files/?filename={name}", content=f"STUBBORN {name}".encode()) for name in names]
        assert {wait_until_processed(http, reply.json()["id"])["status"] for reply in sent} == {"FAILED"}
        hook = {"url": f"http://127.0.0.1:{unused_port()}/hook", "types": ["file.ready"]}
        webhook = http.post("/api/v1/webhooks/", json=hook).json()["id"]
        http.post(f"/api/v1/webhooks/{webhook}/test")
        eventually(lambda: http.get("/error-handling/failed-deliveries").json()["total"] == 1)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": "filename YmlnLmlzbw=="}
        http.post("/files/", headers=headers)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A fresh server that asks for credentials."""
    running = ServerProcess(tmp_path_factory.mktemp("closed") / "home", AUTH_MODE="required")
    running.start()
    yield running
    running.kill()


def open_operations(visit: Visit, server: ServerProcess) -> Page:
    page = visit.page
    page.goto(f"{server.url}/operations/")
    expect(page.locator("#owners table")).to_be_visible()
    expect(page.locator("#throughput svg")).to_have_count(5)
    return page


DESK = {"width": 1200, "height": 1150}
VIEWS = [{"viewport": DESK}, {"viewport": PHONE}, {"color_scheme": "dark"}]


@pytest.mark.parametrize("visit", VIEWS, indirect=True, ids=["desktop", "phone", "dark"])
def test_the_page_says_what_needs_attention_first(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    attention = page.locator("#attention")
    expect(attention.get_by_role("link").first).to_have_text("3 dead letters")
    expect(attention).to_contain_text("1 delivery to webhooks failed")
    expect(attention).to_contain_text("1 circuit breaker not closed: webhook.127.0.0.1")
    expect(page.locator("#dead-letters li .message").first).to_contain_text("TransientError: Not mended yet.")
    expect(page.locator("#deliveries")).to_contain_text("webhook.test")
    expect(page.locator("#uploads")).to_contain_text("big.iso")
    expect(page.locator("#owners")).to_contain_text("of 1000 B")
    expect(page.locator("#components")).to_contain_text("database")
    uploads = page.locator("#throughput figure", has_text="Uploads")
    expect(uploads.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"Uploads: 3 in all"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
    if page.viewport_size == DESK:
        illustrate(page, "operations")
    assert visit.violations() == []


def test_the_page_weighs_little(visit: Visit, server: ServerProcess) -> None:
    sizes: list[int] = []
    visit.page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    open_operations(visit, server)
    assert sum(sizes) < 100 * 1024


def test_dead_letters_are_looked_into_retried_and_deleted(visit: Visit, server: ServerProcess, mended: Path) -> None:
    page = open_operations(visit, server)
    letters = page.locator("#dead-letters .letters > li")
    expect(letters).to_have_count(3)
    link = letters.first.get_by_role("link")
    task = httpx.get(f"{server.url}/error-handling/failed-tasks").json()["results"][0]
    expect(link).to_have_text(task["filename"])
    expect(letters.first).to_contain_text(task["owner"])
    href = link.get_attribute("href")
    assert href is not None
    assert httpx.get(f"{server.url}{href}").status_code == 200, "it used to be 404"
    letters.first.get_by_text("1 attempt").click()
    expect(letters.first.locator(".attempts")).to_contain_text("failed")

    # One is deleted, after a question that can be answered by the keyboard.
    letters.nth(2).get_by_role("button", name="Delete").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("stubborn")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(letters).to_have_count(3)
    letters.nth(2).get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(letters).to_have_count(2)

    # While the cause lasts, a retried one comes back by itself: the page follows the events.
    letters.first.get_by_role("checkbox").check()
    expect(page.locator("#choice")).to_have_text("1 chosen")
    page.get_by_role("button", name="Retry the chosen").click()
    expect(page.locator("#toasts")).to_contain_text("1 task queued again.")
    expect(page.locator("#dead-letters")).to_contain_text("2 attempts")

    mended.touch()
    page.get_by_role("button", name="Retry all").click()
    expect(page.locator("#dead-letters")).to_contain_text("None: no processing was given up.")
    expect(page.locator("#attention")).not_to_contain_text("dead letter")
    with connect(server) as http:
        eventually(lambda: http.get("/files/?status=READY").json()["results"])


def test_a_circuit_breaker_is_reset(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    row = page.locator("#breakers tr", has_text="webhook.127.0.0.1")
    expect(row).to_contain_text("Open")
    row.get_by_role("button", name="Reset").click()
    expect(page.locator("#toasts")).to_contain_text(re.compile(r"webhook\.127\.0\.0\.1:\d+ is closed"))
    expect(page.locator("#attention")).not_to_contain_text("circuit breaker")


def test_a_failed_delivery_is_sent_again(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    page.locator("#deliveries").get_by_role("button", name="Send again").first.click()
    expect(page.locator("#toasts")).to_contain_text("It is sent again.")


def test_the_service_level_is_pinned_and_let_go(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    level = page.locator("#level")
    expect(level).to_contain_text("Follows the components")
    level.get_by_text("Pin a level").click()
    level.get_by_label("Level", exact=True).select_option("maintenance")
    level.get_by_label("Reason").fill("The disk is replaced.")
    level.get_by_role("button", name="Pin", exact=True).click()
    expect(level).to_contain_text("Pinned")
    expect(level).to_contain_text("The disk is replaced.")
    expect(page.locator("#attention")).to_contain_text("Service level: maintenance")
    refused = httpx.post(f"{server.url}/files/?filename=a.txt", content=b"abc")
    assert refused.status_code == 503
    level.get_by_role("button", name="Follow the components again").click()
    expect(level).to_contain_text("Follows the components")


def test_the_plots_show_an_hour_or_a_day(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    bars = page.locator("#throughput figure").first.locator("rect")
    expect(bars).to_have_count(60)
    page.get_by_role("button", name="Last day").click()
    expect(bars).to_have_count(96)
    page.locator("#throughput svg").first.hover()
    expect(page.locator("#throughput .axis").first).to_contain_text(re.compile(r"\d\d:\d\d.*: \d"))


def test_the_page_says_that_the_server_is_away_and_goes_on(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    visit.context.set_offline(True)
    expect(page.locator("#unreachable")).to_be_visible()
    visit.context.set_offline(False)
    expect(page.locator("#unreachable")).to_be_hidden()


def test_in_open_mode_the_page_says_so_and_how_to_change_it(visit: Visit, server: ServerProcess) -> None:
    page = open_operations(visit, server)
    page.get_by_role("link", name="Open to this machine").click()
    expect(page.locator("#sign-in")).to_contain_text("anybody on this machine may use it")
    expect(page.locator("#sign-in")).to_contain_text("AUTH_MODE=required")
    assert visit.violations() == []


def first_run_link(server: ServerProcess) -> str:
    return re.findall(r"http://\S+/first-run/\?key=\S+", server.log.read_text())[-1]


def test_the_first_account_is_made_by_the_link_that_serve_printed(visit: Visit, closed: ServerProcess) -> None:
    page = visit.page
    page.goto(f"{closed.url}/operations/")
    expect(page).to_have_url(f"{closed.url}/sign-in/?next=%2Foperations%2F")
    expect(page.locator("#first-run")).to_contain_text("windlass user add")
    assert visit.violations() == []
    page.goto(first_run_link(closed))
    page.get_by_label("User name").fill("ada")
    for label in ("Password", "The same password again"):
        page.get_by_label(label, exact=True).fill("short")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("alert")).to_contain_text("at least 8 characters")
    assert visit.violations() == []
    for label in ("Password", "The same password again"):
        page.get_by_label(label, exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page).to_have_url(f"{closed.url}/")
    expect(page.locator("#account")).to_contain_text("ada")
    page.get_by_role("link", name="Operations").click()
    expect(page.locator("#attention")).to_contain_text("Everything works")

    page.goto(first_run_link(closed))
    expect(page.get_by_role("heading", level=1)).to_have_text("There is an account already")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in/"))
    expect(page.locator("#first-run")).to_have_count(0)


@pytest.fixture(scope="module")
def people(closed: ServerProcess) -> dict[str, str]:
    """Somebody with a password, and a token of theirs that may only read."""
    with (closed.home.parent / "password").open("w") as file:
        file.write(PASSWORD)
    assert closed.command("user", "add", "ben", "--staff", "--password-file", file.name).returncode == 0
    token = closed.command("token", "create", "--user", "ben", "--scope", "read").stdout.strip()
    return {"ben": PASSWORD, "token": token}


@pytest.mark.parametrize("visit", [{}, {"viewport": PHONE}], indirect=True, ids=["desktop", "phone"])
def test_signing_in_with_a_password_leads_back_and_signing_out_ends_it(
    visit: Visit, closed: ServerProcess, people: dict[str, str]
) -> None:
    page = visit.page
    page.goto(f"{closed.url}/operations/?a=1")
    page.get_by_label("User name").fill("ben")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    assert visit.violations() == []
    page.keyboard.type(people["ben"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{closed.url}/operations/?a=1")
    expect(page.locator("#attention")).to_contain_text("Everything works")
    page.goto(f"{closed.url}/sign-in/")
    expect(page.locator("#signed-in")).to_contain_text("You are signed in as ben.")
    page.locator("#account").get_by_role("button", name="Sign out").click()
    expect(page.locator("#account")).to_contain_text("Sign in")
    assert page.request.get(f"{closed.url}/files/").status == 401


def test_signing_in_with_a_token_gives_what_the_token_may_do(
    visit: Visit, closed: ServerProcess, people: dict[str, str]
) -> None:
    page = visit.page
    page.goto(f"{closed.url}/sign-in/")
    page.get_by_role("button", name="Use an API token instead").click()
    page.get_by_label("API token").fill("wl_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#by-token .error")).to_contain_text("This token is unknown")
    page.get_by_label("API token").fill(people["token"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{closed.url}/")
    expect(page.locator("#account")).to_contain_text("ben")
    expect(page.get_by_role("link", name="Operations")).to_be_hidden()
    assert page.request.get(f"{closed.url}/files/").status == 200
    csrf = next(cookie["value"] for cookie in visit.context.cookies() if cookie["name"] == "csrftoken")
    refused = page.request.post(f"{closed.url}/files/?filename=a", data=b"abc", headers={"X-CSRFToken": csrf})
    assert refused.json()["type"] == "/problems/insufficient-scope"


@pytest.mark.parametrize(
    "hostile", ["https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example/", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(
    visit: Visit, closed: ServerProcess, people: dict[str, str], hostile: str
) -> None:
    page = visit.page
    page.goto(f"{closed.url}/sign-in/?next={quote(hostile, safe='')}")
    page.get_by_label("User name").fill("ben")
    page.get_by_label("Password").fill(people["ben"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{closed.url}/")
