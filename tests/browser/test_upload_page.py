"""The upload half of the page of files in Chromium: choosing, the list, refusals, and how it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests import samples
from tests.browser.holding_proxy import HoldingProxy
from tests.browser.pages import PHONE, WAIT, Visit
from tests.browser.upload_page import (
    COPIES,
    ENOUGH,
    MIB,
    PICKERS,
    UploadPage,
    proxy,
    random_file,
    records,
    upload_server,
)
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import assert_stored, sha256, wait_until_processed

__all__ = ["proxy", "upload_server"]


@pytest.fixture
def uploads(visit: Visit, upload_server: ServerProcess) -> UploadPage:
    return UploadPage(visit.page, upload_server.url).open()


@pytest.fixture
def held_uploads(visit: Visit, proxy: HoldingProxy) -> UploadPage:
    """A page whose uploads stand still on their way."""
    return UploadPage(visit.page, proxy.url).open()


def test_twenty_files_have_twenty_rows_and_are_stored(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    paths = [random_file(tmp_path / f"twenty {n:02}.bin", 1000 + n) for n in range(19)]
    paths.append(random_file(tmp_path / "twenty big ü.bin", 3 * MIB + 17))
    uploads.page.evaluate(
        """() => { globalThis.mostRows = 0; globalThis.titles = new Set(); globalThis.toasts = new Set()
        new MutationObserver(() => {
          document.querySelectorAll('.toast').forEach((toast) => globalThis.toasts.add(toast.textContent))
          const rows = document.querySelectorAll('#upload-list .upload, #uploads-done .upload') // some are soon below
          globalThis.mostRows = Math.max(globalThis.mostRows, rows.length)
          globalThis.titles.add(document.title)
        }).observe(document, { subtree: true, childList: true }) }"""
    )
    uploads.choose(*paths)
    uploads.expect_uploaded(20)
    uploads.page.wait_for_function("[...toasts].some((text) => text.includes('20 files uploaded.'))")  # it goes away
    assert uploads.page.evaluate("mostRows") == 20
    assert any(re.match(r"\d+ % · \d+ of 20 · Files", title) for title in uploads.page.evaluate("[...titles]"))
    assert uploads.page.title().startswith("Files ")
    found = records(upload_server, [path.name for path in paths])
    assert {name: record["checksum"] for name, record in found.items()} == {
        path.name: sha256(path.read_bytes()) for path in paths
    }
    uploads.page.click("#uploads-done summary")
    file_id = found[paths[0].name]["id"]
    expect(uploads.row(paths[0].name).get_by_role("link")).to_have_attribute("href", f"/f/{file_id}")
    expect(uploads.page.get_by_role("link", name="Show in the library")).to_have_attribute("href", "#library")


def test_a_file_that_is_chosen_before_the_modules_are_there_is_uploaded(
    visit: Visit, upload_server: ServerProcess, tmp_path: Path
) -> None:
    held: list[Route] = []
    is_holding = True

    def hold(route: Route) -> None:
        if is_holding:
            held.append(route)
        else:
            route.continue_()

    visit.page.route("**/js/uploads/main.js", hold)
    visit.page.goto(upload_server.url, wait_until="domcontentloaded")
    visit.page.locator("#file-input").set_input_files(random_file(tmp_path / "early.bin", 1000))
    visit.page.wait_for_timeout(100)
    is_holding = False
    for route in held:
        route.continue_()
    UploadPage(visit.page, upload_server.url).expect_uploaded(1)


def test_a_folder_dropped_anywhere_keeps_its_paths(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    (folder / "empty").mkdir()
    first = random_file(folder / "dropped first.bin", 2000)
    second = random_file(folder / "day 2" / "dropped second.bin", 3000)
    (folder / ".DS_Store").write_bytes(b"1")
    single = random_file(tmp_path / "dropped alone.bin", 1000)
    uploads.drop(folder, single, x=900, y=650, release=False)
    expect(uploads.page.locator("#drop-overlay")).to_be_visible()
    uploads.drop(folder, single, x=900, y=650)
    uploads.expect_uploaded(3)
    expect(uploads.page.locator("#drop-overlay")).to_be_hidden()
    assert uploads.page.url == f"{upload_server.url}/", "the browser did not open what was dropped"
    found = records(upload_server, [path.name for path in (first, second, single)])
    assert {name: record["metadata"] for name, record in found.items()} == {
        "dropped first.bin": {"relativePath": "holiday/dropped first.bin"},
        "dropped second.bin": {"relativePath": "holiday/day 2/dropped second.bin"},
        "dropped alone.bin": {},
    }


def test_an_empty_folder_is_told(uploads: UploadPage, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    uploads.drop(tmp_path / "nothing")
    expect(uploads.toast("What was dropped has no files.")).to_be_visible()


def test_a_chosen_folder_is_uploaded(uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    folder.mkdir()
    random_file(folder / "of a folder.bin", 2000)
    uploads.page.set_input_files("#folder-input", folder)
    uploads.expect_uploaded(1)
    record = records(upload_server, ["of a folder.bin"])["of a folder.bin"]
    assert record["metadata"] == {"relativePath": "chosen/of a folder.bin"}


def test_a_pasted_picture_is_uploaded(uploads: UploadPage, upload_server: ServerProcess) -> None:
    uploads.page.evaluate(
        """([bytes]) => {
          const clipboardData = new DataTransfer()
          clipboardData.items.add(new File([new Uint8Array(bytes)], 'image.png', { type: 'image/png' }))
          document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
        }""",
        [list(samples.png(width=31, height=17))],
    )
    uploads.expect_uploaded(1)
    newest = httpx.get(f"{upload_server.url}/files/?limit=1").json()["results"][0]
    assert re.fullmatch(r"Pasted \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png", newest["original_filename"])
    assert (newest["width"], newest["height"]) == (31, 17)


def test_a_duplicate_is_told(uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path) -> None:
    first = random_file(tmp_path / "the original.bin", 5000)
    second = tmp_path / "the copy.bin"
    second.write_bytes(first.read_bytes())
    uploads.choose(first)
    uploads.expect_uploaded(1)
    uploads.choose(second)
    uploads.expect_uploaded(2)
    expect(uploads.page.locator("#uploads-duplicates")).to_have_text("1 duplicate of files you already have")
    uploads.page.click("#uploads-done summary")
    original = records(upload_server, [first.name])[first.name]["id"]
    link = uploads.row(second.name).get_by_role("link", name="open the earlier one")
    expect(link).to_have_attribute("href", f"/f/{original}")


def test_a_result_that_could_not_be_read_is_read_again(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    path = random_file(tmp_path / "read again.bin", 5000)
    refused: set[str] = set()
    is_away = True

    def answer(route: Route) -> None:
        if not is_away:
            return route.continue_()
        refused.add(urlsplit(route.request.url).path)
        return route.abort()

    uploads.page.route(re.compile(r"/files/[0-9a-f-]{36}/(status/)?$"), answer)
    uploads.choose(path)
    wait_for(uploads, lambda: any(each.endswith("/status/") for each in refused))
    file = records(upload_server, [path.name])[path.name]["links"]["self"]
    wait_until_processed(upload_server.url, file)
    is_away = False
    uploads.expect_uploaded(1)
    shown = uploads.page.locator("#library-list li", has=uploads.page.get_by_role("link", name=path.name, exact=True))
    expect(shown.locator(".item-status")).to_have_text("Ready")
    is_away = True
    refused.clear()
    httpx.post(f"{upload_server.url}{file}release/").raise_for_status()
    wait_for(uploads, lambda: file in refused)
    is_away = False
    expect(shown.locator(".item-status")).to_have_text("Released")


def wait_for(uploads: UploadPage, condition: Callable[[], bool]) -> None:
    """Handle the page's requests until the condition holds."""
    for _ in range(WAIT // 100):
        if condition():
            return
        uploads.page.wait_for_timeout(100)
    raise AssertionError("it did not happen")


def test_steps_are_shown_live(uploads: UploadPage, tmp_path: Path) -> None:
    path = tmp_path / "steps.mp4"
    path.write_bytes(samples.mp4(width=1280, height=720, seconds=8))
    uploads.page.evaluate(
        """() => { globalThis.notes = []; globalThis.marks = 0
        new MutationObserver(() => {
          const row = document.querySelector('#upload-list .upload[data-state=processing]')
          if (row) globalThis.notes.push(row.querySelector('.upload-note').textContent)
          globalThis.marks = Math.max(globalThis.marks, document.querySelectorAll('.upload-steps i').length)
        }).observe(document.querySelector('#upload-list'), { subtree: true, childList: true, characterData: true }) }"""
    )
    uploads.choose(path, profile="preview")
    uploads.expect_uploaded(1)
    notes = uploads.page.evaluate("notes")
    assert any(re.fullmatch(r".+ \(\d+ of \d+\)", note) for note in notes), notes
    assert uploads.page.evaluate("marks") > 4


@pytest.mark.parametrize("accepts", ["gzip", "identity"])
def test_a_known_static_file_is_not_sent_again(upload_server: ServerProcess, accepts: str) -> None:
    url = f"{upload_server.url}/static/windlass/base.css"
    reply = httpx.get(url, headers={"Accept-Encoding": accepts})
    assert (reply.headers.get("Content-Encoding") == "gzip") is (accepts == "gzip")
    known = {"Accept-Encoding": accepts, "If-None-Match": reply.headers["ETag"]}
    assert httpx.get(url, headers=known).status_code == 304


# ---- Refusals


def test_what_a_profile_refuses_is_told_in_the_servers_words_before_a_byte_is_sent(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    large = random_file(tmp_path / "too large.txt", 1_000_001)
    small = random_file(tmp_path / "too small.txt", 3)
    wrong = random_file(tmp_path / "wrong ending.exe", 100)
    good = tmp_path / "let in.txt"
    good.write_text("Text that the strict profile takes.\n")
    requests: list[str] = []
    uploads.page.on("request", lambda request: requests.append(request.method))
    uploads.choose(large, small, wrong, good, profile="strict")
    uploads.expect_uploaded(1)
    assert requests.count("POST") == 1, "only the good file was begun"
    expect(uploads.toast("3 files cannot be uploaded. The list says why.")).to_be_visible()
    assert uploads.note(large.name).inner_text() == _refusal_of_creation(upload_server, large.stat().st_size)
    assert uploads.note(small.name).inner_text() == _refusal_of_creation(upload_server, small.stat().st_size)
    sent = httpx.post(f"{upload_server.url}/files/?profile=strict&filename=a.exe", content=b"A line of text.\n").json()
    rejection = _rejection(upload_server, sent["id"])
    assert uploads.note(wrong.name).inner_text() == rejection
    uploads.page.click("#dismiss-all")
    expect(uploads.page.locator("#uploads-now")).to_be_hidden()


def _refusal_of_creation(server: ServerProcess, size: int) -> str:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": "profile c3RyaWN0"}
    detail: str = httpx.post(f"{server.url}/files/", headers=headers).json()["detail"]
    return detail


def _rejection(server: ServerProcess, file_id: str) -> str:
    from tests.process.file_assertions import wait_until_processed

    detail: str = wait_until_processed(server.url, f"/files/{file_id}/")["rejection"]["detail"]
    return detail


def test_a_creation_that_the_server_refuses_does_not_block_others(
    uploads: UploadPage, upload_server: ServerProcess, tmp_path: Path
) -> None:
    """Rules of a media profile are applied by the server when the upload is created."""
    refused = random_file(tmp_path / "no picture.bin", 3000)
    picture = tmp_path / "a picture.png"
    picture.write_bytes(samples.png(width=200, height=150))
    uploads.choose(refused, picture, profile="media")
    uploads.expect_uploaded(1)
    expect(uploads.note(refused.name)).to_contain_text("The name ends in .bin; allowed are mp4")
    expect(uploads.row(refused.name)).to_have_attribute("data-state", "refused")
    assert_stored(upload_server.url, f"/files/{records(upload_server, [picture.name])[picture.name]['id']}/", picture)


def test_a_file_that_its_content_betrays_says_so(uploads: UploadPage, tmp_path: Path) -> None:
    path = tmp_path / "not a picture.png"
    path.write_bytes(samples.pdf())
    uploads.choose(path)
    expect(uploads.row(path.name)).to_have_attribute("data-state", "rejected")
    expect(uploads.note(path.name)).to_contain_text("but the content is application/pdf")
    expect(uploads.toast(f"{path.name}: The name ends in .png")).to_be_visible()
    expect(uploads.row(path.name).get_by_role("link")).to_have_attribute("href", re.compile("^/f/[0-9a-f-]{36}$"))
    uploads.press(path.name, "Dismiss")
    expect(uploads.row(path.name)).to_have_count(0)


def test_a_file_that_changed_on_the_disk_fails_alone(
    held_uploads: UploadPage, proxy: HoldingProxy, tmp_path: Path
) -> None:
    uploads = held_uploads
    changed = random_file(tmp_path / "changed.bin", 16 * MIB)
    other = random_file(tmp_path / "unchanged.bin", 1000)
    uploads.choose(changed)
    uploads.expect_sent(changed.name, ENOUGH)
    uploads.press(changed.name, "Pause")
    expect(uploads.note(changed.name)).to_contain_text("Paused")
    random_file(changed, 16 * MIB + 1)
    proxy.release()
    uploads.press(changed.name, "Resume")
    expect(uploads.row(changed.name)).to_have_attribute("data-state", "failed")
    expect(uploads.note(changed.name)).to_contain_text("This device cannot read the file any more")
    uploads.choose(other)
    uploads.expect_uploaded(1)


# ---- Many, small, dark, by keyboard


def test_of_very_many_files_the_next_are_listed(uploads: UploadPage, tmp_path: Path) -> None:
    uploads.page.route("**/files/", lambda route: route.abort())
    uploads.choose(*(random_file(tmp_path / f"many {n}.bin", 10) for n in range(130)))
    expect(uploads.page.locator("#uploads-more")).to_have_text("and 30 more files")
    assert uploads.page.locator("#upload-list .upload").count() == 100
    uploads.page.click("#cancel-all")
    expect(uploads.page.locator("#uploads-now")).to_be_hidden()
    expect(uploads.toast("130 uploads cancelled.")).to_be_visible()


@pytest.mark.parametrize(
    "visit", [{"viewport": PHONE, "color_scheme": "dark", "has_touch": True, "is_mobile": True}], indirect=True
)
def test_a_phone_in_the_dark(visit: Visit, held_uploads: UploadPage, tmp_path: Path) -> None:
    uploads = held_uploads
    name = f"{'a very long name of a file ' * 4}.exe"
    uploads.choose(random_file(tmp_path / name, 100), profile="strict")
    sending = random_file(tmp_path / f"{'another_long_name_without_a_space' * 3}.bin", 16 * MIB)
    uploads.choose(sending)
    uploads.expect_sent(sending.name, ENOUGH)
    uploads.press(sending.name, "Pause")
    expect(uploads.note(sending.name)).to_contain_text("Paused")
    width = uploads.page.evaluate("document.documentElement.scrollWidth")
    assert width == PHONE["width"], "nothing sticks out to the side"
    camera = uploads.page.get_by_role("button", name="Take a photo")
    expect(camera).to_be_visible()
    with uploads.page.expect_file_chooser() as choosing:
        camera.click()
    assert choosing.value.element.get_attribute("capture") == "environment"
    assert uploads.page.evaluate("getComputedStyle(document.body.parentElement).colorScheme") == "light dark"
    assert visit.violations() == []


def test_keyboard_only(visit: Visit, proxy: HoldingProxy, tmp_path: Path) -> None:
    uploads = UploadPage(visit.page, proxy.url)
    uploads.delete_script_api(*PICKERS)
    uploads.open()
    page = uploads.page
    path = random_file(tmp_path / "by keyboard.bin", 16 * MIB)
    page.evaluate("document.activeElement.blur()")
    _tab_to(uploads, "Choose files")
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Enter")
    choosing.value.set_files(path)
    uploads.expect_sent(path.name, ENOUGH)
    _tab_to(uploads, f"Pause {path.name}")
    page.keyboard.press("Enter")
    expect(page.locator(":focus")).to_have_accessible_name(f"Resume {path.name}")
    assert visit.violations() == []
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_accessible_name(f"Cancel {path.name}")
    page.keyboard.press("Enter")
    expect(uploads.row(path.name)).to_have_count(0)
    expect(page.locator(":focus")).to_have_accessible_name("Choose files")


def _tab_to(uploads: UploadPage, name: str) -> None:
    for _ in range(30):
        uploads.page.keyboard.press("Tab")
        focused = uploads.page.evaluate(
            "(document.activeElement.querySelector('svg[aria-label]') ?? document.activeElement)"
            ".getAttribute('aria-label') ?? document.activeElement.textContent"
        )
        if focused == name:
            return
    raise AssertionError(f"{name} is not reached by Tab")


def test_a_notification_when_done_is_asked_for_by_a_button_only(
    visit: Visit, upload_server: ServerProcess, tmp_path: Path
) -> None:
    uploads = UploadPage(visit.page, upload_server.url)
    uploads.page.add_init_script(
        """globalThis.told = []
        globalThis.Notification = class {
          static permission = 'default'
          static async requestPermission() { globalThis.asked = true; Notification.permission = 'granted' }
          constructor(title, { body }) { globalThis.told.push(body) }
        }
        Object.defineProperty(document, 'hidden', { get: () => true })
        localStorage.setItem('windlass-upload-connections', JSON.stringify({ connections: 1, at: Date.now() }))"""
    )
    uploads.delete_script_api(COPIES)
    uploads.open()
    path = tmp_path / "notified.bin"
    with path.open("wb") as sparse:
        sparse.truncate(160 * MIB)
    uploads.choose(path, profile="slow")
    uploads.page.click("#notify")
    expect(uploads.page.locator("#notify")).to_be_hidden()
    assert uploads.page.evaluate("globalThis.asked")
    uploads.press(path.name, "Cancel")
    uploads.choose(random_file(tmp_path / "notified small.bin", 1000))
    uploads.expect_uploaded(1)
    assert uploads.page.evaluate("told") == ["1 file uploaded."]
