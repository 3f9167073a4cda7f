"""Uploads of the page that are paused, cancelled or interrupted, in Chromium: what has arrived is not sent again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Playwright, Route, expect

from tests.browser.holding_proxy import HoldingProxy
from tests.browser.pages import WAIT, Visit
from tests.browser.upload_page import (
    ALLOWANCE,
    COPIES,
    ENOUGH,
    MIB,
    UploadPage,
    head,
    proxy,
    random_file,
    records,
    upload_server,
)
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored, sha256

__all__ = ["proxy", "upload_server"]

SIZE = 16 * MIB + 4321
#: Whether the page would let itself be left without a question.
NOTHING_WOULD_BE_LOST = """() => {
  const leaving = new Event('beforeunload', { cancelable: true })
  dispatchEvent(leaving)
  return !leaving.defaultPrevented
}"""
#: The number of rows as soon as a button has been clicked.
ROWS_AFTER_CLICK = "(button) => { button.click(); return document.querySelectorAll('#upload-list > li').length }"


@pytest.fixture
def uploads(visit: Visit, proxy: HoldingProxy) -> UploadPage:
    return UploadPage(visit.page, proxy.url).open()


@pytest.fixture
def large_file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = random_file(tmp_path / f"{request.node.name}.bin", SIZE)
    yield path
    path.unlink()


def assert_resumed(uploads: UploadPage, server: ServerProcess, path: Path) -> None:
    """The bytes are right, and no request since the last reload began at 0."""
    uploads.expect_uploaded(1)
    assert uploads.offsets, "bytes were sent"
    assert min(uploads.offsets) > 0, "what had arrived was not sent again"
    assert_stored(server.url, f"/files/{records(server, [path.name])[path.name]['id']}/", path)


# ---- Pause, cancel, undo


def test_pause_stops_sending_and_resume_goes_on(
    uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.page.click("#pause-all")
    expect(uploads.note(large_file.name)).to_have_text(re.compile(r"Paused · [\d.]+ MB of 16.0 MB"))
    paused = head(uploads.created[0]).headers["upload-offset"]
    assert int(paused) >= ENOUGH // 2
    proxy.release()
    time.sleep(0.5)  # nothing tells that something does not happen
    assert head(uploads.created[0]).headers["upload-offset"] == paused
    uploads.offsets.clear()
    uploads.page.click("#resume-all")
    assert_resumed(uploads, upload_server, large_file)


def test_cancel_during_a_wait_is_immediate_and_can_be_undone(
    uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.page.route("**/uploads/*", lambda route: route.abort())
    uploads.press(large_file.name, "Pause")
    uploads.press(large_file.name, "Resume")
    expect(uploads.note(large_file.name)).to_have_text(
        re.compile(r"The server does not answer; it is tried again in \d+ s\.")
    )
    cancel = uploads.row(large_file.name).get_by_role("button", name=f"Cancel {large_file.name}")
    assert cancel.evaluate(ROWS_AFTER_CLICK) == 0, "at once, in the event of the click"
    proxy.release()
    uploads.page.unroute("**/uploads/*")
    uploads.offsets.clear()
    uploads.page.get_by_role("button", name="Undo").click()
    assert_resumed(uploads, upload_server, large_file)


def test_a_cancelled_upload_ends_on_the_server_also_after_a_reload(uploads: UploadPage, large_file: Path) -> None:
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.press(large_file.name, "Cancel")
    url = uploads.created[0]
    assert head(url).status_code == 200, "it can still be undone"
    with uploads.page.expect_response(lambda reply: reply.request.method == "DELETE" and reply.url == url):
        uploads.reload()
    expect(uploads.page.locator("#uploads-now")).to_be_hidden()
    assert head(url).status_code in {404, 410}


# ---- Reload and restart


def test_after_a_reload_it_goes_on_by_itself(
    uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    """The browser keeps a copy of small files."""
    dialogs: list[str] = []
    uploads.page.on("dialog", lambda dialog: (dialogs.append(dialog.type), dialog.accept()))
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.page.wait_for_function(NOTHING_WOULD_BE_LOST)
    uploads.page.click("body")  # without a gesture a browser asks nothing
    uploads.reload()
    proxy.release()
    assert dialogs == [], "nothing would be lost, so nothing is asked"
    assert_resumed(uploads, upload_server, large_file)
    uploads.page.wait_for_function(
        """async () => {
          const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('windlass-uploads')
          for await (const name of folder.keys()) return false
          return true
        }"""
    )
    uploads.reload()
    expect(uploads.page.locator("#uploads-now")).to_be_hidden()


def test_without_a_copy_one_question_names_the_file(
    visit: Visit, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    uploads = UploadPage(visit.page, proxy.url)
    uploads.delete_script_api(COPIES)
    uploads.open()
    dialogs: list[str] = []
    uploads.page.on("dialog", lambda dialog: (dialogs.append(dialog.type), dialog.accept()))
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.page.click("body")
    uploads.reload()
    assert dialogs == ["beforeunload"], "the browser asked before it left"
    expect(uploads.note(large_file.name)).to_have_text(
        re.compile(rf"Interrupted at [1-9]\d* %\. Choose “{large_file.name}” again to go on\.")
    )
    assert visit.violations() == []
    proxy.release()
    uploads.choose(large_file)
    assert_resumed(uploads, upload_server, large_file)


def test_after_a_restart_of_the_browser_it_goes_on_by_itself(
    playwright: Playwright, chromium: str, proxy: HoldingProxy, upload_server: ServerProcess, tmp_path: Path
) -> None:
    """A file that was chosen in the browser's picker is read again by its handle. The picker needs a person; here it
    gives a file of the origin's own file system, whose handle is of the same kind."""
    options = {"executable_path": chromium, "args": ["--no-sandbox"], "user_data_dir": tmp_path / "profile"}
    picker = """
      globalThis.showOpenFilePicker = async () => {
        const folder = await navigator.storage.getDirectory()
        return [await folder.getFileHandle('large.bin')]
      }"""
    context = playwright.chromium.launch_persistent_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.add_init_script(picker)
    uploads = UploadPage(page, proxy.url).open()
    page.evaluate(
        """async (size) => {
          const folder = await navigator.storage.getDirectory()
          const writable = await (await folder.getFileHandle('large.bin', { create: true })).createWritable()
          const block = new Uint8Array(65536)
          for (let at = 0; at < size; at += block.length) await writable.write(crypto.getRandomValues(block))
          await writable.close()
        }""",
        SIZE,
    )
    page.click("#choose-files")
    uploads.expect_sent("large.bin", ENOUGH)
    context.close()

    proxy.release()
    context = playwright.chromium.launch_persistent_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    uploads = UploadPage(page, proxy.url).open()
    uploads.expect_uploaded(1)
    assert min(uploads.offsets) > 0
    digest = page.evaluate(
        """async () => {
          const file = await (await (await navigator.storage.getDirectory()).getFileHandle('large.bin')).getFile()
          const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))
          return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
        }"""
    )
    context.close()
    assert records(upload_server, ["large.bin"])["large.bin"]["checksum"] == digest


# ---- The network and the server


def test_it_goes_on_after_the_network_was_away(
    visit: Visit, uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    visit.context.set_offline(True)
    expect(uploads.note(large_file.name)).to_have_text(
        "This device is offline. The upload goes on when the network is back."
    )
    uploads.offsets.clear()
    proxy.release()
    visit.context.set_offline(False)
    assert_resumed(uploads, upload_server, large_file)


def test_it_goes_on_after_the_web_process_was_killed(
    uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    import psutil

    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.offsets.clear()
    psutil.Process(upload_server.web_pid()).kill()
    proxy.release()
    assert_resumed(uploads, upload_server, large_file)


def test_it_goes_on_after_signing_in_again(visit: Visit, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery")
    server = ServerProcess(tmp_path / "home", AUTH_MODE="required")
    server.start()
    try:
        added = server.command("user", "add", "ann", "--password-file", str(password))
        assert added.returncode == 0, added.stderr
        with closing(HoldingProxy(server.port, ALLOWANCE)) as proxy:
            _sign_in_twice(UploadPage(visit.page, proxy.url), proxy, random_file(tmp_path / "signed in.bin", SIZE))
    finally:
        server.kill()


def _sign_in_twice(uploads: UploadPage, proxy: HoldingProxy, path: Path) -> None:
    """The session ends while a file is sent."""
    page = uploads.page
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(uploads.url)
    _sign_in(uploads)
    uploads.choose(path)
    uploads.expect_sent(path.name, ENOUGH)
    page.wait_for_function(NOTHING_WOULD_BE_LOST)
    page.context.clear_cookies()
    proxy.release()
    expect(page).to_have_url(re.compile(r"/sign-in/\?next=%2F$"))
    uploads.offsets.clear()
    _sign_in(uploads)
    # Where the request that was held carried the last bytes, the file is complete, and nothing is left to send.
    expect(page).to_have_url(f"{uploads.url}/")
    deadline = time.monotonic() + WAIT / 1000
    while not (checksums := _listed_checksums(page)) and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert all(offset > 0 for offset in uploads.offsets), "what had arrived was not sent again"
    assert checksums == [sha256(path.read_bytes())]


def _listed_checksums(page: Page) -> list[str]:
    """The checksums of the files that have one."""
    listed = page.evaluate("async () => (await (await fetch('/files/')).json()).results")
    return [record["checksum"] for record in listed if record["checksum"]]


def _sign_in(uploads: UploadPage) -> None:
    uploads.page.fill("#username", "ann")
    uploads.page.fill("#password", "correct horse battery")
    uploads.page.keyboard.press("Enter")
    uploads.ready()


def test_an_upload_that_the_server_no_longer_has_starts_anew_and_says_so(
    uploads: UploadPage, proxy: HoldingProxy, upload_server: ServerProcess, large_file: Path
) -> None:
    uploads.choose(large_file)
    uploads.expect_sent(large_file.name, ENOUGH)
    uploads.press(large_file.name, "Pause")
    httpx.delete(uploads.created[0], headers={"Tus-Resumable": "1.0.0"}).raise_for_status()
    proxy.release()
    uploads.press(large_file.name, "Resume")
    expect(uploads.note(large_file.name)).to_contain_text("The server no longer had the beginning")
    uploads.expect_uploaded(1)
    assert_stored(
        upload_server.url, f"/files/{records(upload_server, [large_file.name])[large_file.name]['id']}/", large_file
    )


def test_a_limited_creation_waits_as_long_as_the_server_says(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    path = random_file(tmp_path / "limited.bin", 1000)
    moments: list[float] = []

    def limit(route: Route) -> None:
        moments.append(time.monotonic())
        if len(moments) > 1:
            return route.continue_()
        problem = {"title": "Too many requests", "status": 429, "detail": "Too many."}
        headers = {"Retry-After": "3", "Content-Type": "application/problem+json"}
        return route.fulfill(status=429, headers=headers, body=json.dumps(problem))

    uploads.page.route("**/files/", limit)
    uploads.choose(path)
    expect(uploads.note(path.name)).to_have_text(re.compile("The server limits how many uploads begin in a minute; .*"))
    uploads.expect_uploaded(1)
    assert moments[1] - moments[0] >= 3


def test_failed_uploads_are_retried_together(uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path) -> None:
    paths = [random_file(tmp_path / f"retried {n}.bin", 1000) for n in range(2)]
    problem = {"title": "No space", "status": 507, "detail": "There is no space left for this file."}
    headers = {"Content-Type": "application/problem+json"}
    uploads.page.route("**/files/", lambda route: route.fulfill(status=507, headers=headers, body=json.dumps(problem)))
    uploads.choose(*paths)
    for path in paths:
        expect(uploads.note(path.name)).to_have_text("There is no space left for this file.")
    expect(uploads.toast("2 files not uploaded.")).to_be_visible()
    uploads.page.unroute("**/files/")
    uploads.press(paths[0].name, "Retry")
    uploads.expect_uploaded(1)
    uploads.page.click("#retry-all")
    uploads.expect_uploaded(2)
    records(upload_server, [path.name for path in paths])


# ---- Parts


REMEMBER_CONNECTIONS = """(connections) => {
  localStorage.setItem('windlass-upload-connections', JSON.stringify({ connections, at: Date.now() }))
}"""
#: What is found where these are the rates of all connections together, measured one after the other.
PLAYED_RATES = """async (rates) => {
  const { findConnections } = await import('/static/windlass/js/uploads/connections.js')
  const [dropped, connections] = [[], [1]]
  const connect = (drop) => {
    const number = connections.push(connections.length + 1)
    drop.signal.addEventListener('abort', () => dropped.push(number))
    return true
  }
  const measure = async () => rates.shift() ?? null
  return { number: await findConnections({ measure, connect }), tried: connections.length, dropped }
}"""


def test_a_connection_is_added_where_the_whole_becomes_faster(uploads: UploadPage) -> None:
    for rates, found in (
        ([10, 10.5], {"number": 1, "tried": 2, "dropped": [2]}),
        ([10, 20, 22], {"number": 2, "tried": 3, "dropped": [3]}),
        ([10, 12, 14, 17, 20], {"number": 4, "tried": 4, "dropped": []}),
        ([10, 20], {"number": None, "tried": 3, "dropped": []}),  # the file ended
        ([], {"number": None, "tried": 1, "dropped": []}),
    ):
        assert uploads.page.evaluate(PLAYED_RATES, rates) == found


def test_a_large_file_is_sent_in_parts_over_the_connections_that_were_fastest_and_resumes(
    visit: Visit, upload_server: ServerProcess, tmp_path: Path
) -> None:
    proxy = HoldingProxy(upload_server.port, 12 * MIB)
    path = random_file(tmp_path / "in parts.bin", 64 * MIB + 77)
    uploads = UploadPage(visit.page, proxy.url)
    uploads.delete_script_api(COPIES)
    uploads.open()
    uploads.page.on("dialog", lambda dialog: dialog.accept())
    uploads.page.evaluate(REMEMBER_CONNECTIONS, 3)
    under_way: set[object] = set()
    uploads.page.on("request", lambda request: request.method == "PATCH" and under_way.add(request))
    for event in ("requestfinished", "requestfailed"):
        uploads.page.on(event, lambda request: under_way.discard(request))
    uploads.choose(path)
    for _ in range(WAIT // 100):
        uploads.page.wait_for_timeout(100)  # handles the events of requests
        if len(under_way) == 3 and any(uploads.offsets):
            break
    assert len(under_way) == 3, "each connection has a request, and the proxy holds them"
    uploads.reload()
    proxy.release()
    with uploads.page.expect_request(lambda request: "final;" in request.headers.get("upload-concat", "")):
        uploads.choose(path)
    uploads.expect_uploaded(1)
    assert uploads.offsets.count(0) < 5, "parts went on where they were"
    assert_stored(upload_server.url, f"/files/{records(upload_server, [path.name])[path.name]['id']}/", path)
    proxy.close()
    path.unlink()


def test_a_large_file_begins_anew_in_parts_where_one_connection_is_slow(
    uploads: UploadPage, proxy: HoldingProxy, tmp_path: Path
) -> None:
    proxy.release()
    path = tmp_path / "slow.bin"
    with path.open("wb") as sparse:
        sparse.truncate(72 * MIB)  # 18 seconds at the most that the profile allows
    partial: list[str] = []
    uploads.page.on("request", lambda request: partial.extend(request.headers.get("upload-concat", "").split()))
    uploads.choose(path, profile="slow")
    for _ in range(WAIT // 100):
        uploads.page.wait_for_timeout(100)  # handles the events of requests
        if len(partial) == 2:
            break
    assert partial == ["partial", "partial"], "one part, and then another connection as a trial"
    uploads.page.click("#cancel-all")
