"""The library and the page of a file in Chromium, against a running server."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Download, Locator, Page, Route, WebSocketRoute, expect

from tests import samples
from tests.browser.pages import PHONE, WAIT, Visit
from tests.document_samples import sevenzip, tar
from tests.library_rows import fill
from tests.process.conftest import ServerProcess
from tests.process.file_assertions import wait_until_processed
from tests.process.serving import until

MANY = 10_000
PROFILES = """
[default]
[keepsafe]
trash_hours = 0
[archives]
unsafe_names = true
"""
#: Scroll until the last file of the list is this one. Returns the number of frames and of elements.
SCROLL = """async (name) => {
  const last = () => document.querySelector("#library-list li:last-child .item-name")?.textContent;
  let frames = 0;
  for (; last() !== name; frames += 1) {
    scrollBy(0, 4000);
    await new Promise((done) => requestAnimationFrame(done));
  }
  return [frames, document.querySelectorAll("#library-list li").length];
}"""
#: The name of the file in the middle of the screen.
MIDDLE = """async () => {
  for (;;) {
    const there = document.elementsFromPoint(innerWidth / 2, innerHeight / 2);
    const item = there.map((element) => element.closest("li.item:not(.away)")).find(Boolean);
    if (item) return item.querySelector(".item-name").textContent;
    await new Promise((done) => setTimeout(done, 20));
  }
}"""

LEASE = "# Lease of the boathouse\n\nThe period of notice is <b>three</b> months & a day.\n"
#: Name -> content and profile.
FILES: dict[str, tuple[bytes, str]] = {
    "harbour at dawn.jpg": (samples.camera_jpeg(), "default"),
    "report.pdf": (samples.pdf(3, title="The tide tables"), "default"),
    "clip.webm": (samples.webm(), "default"),
    "song.mp3": (samples.mp3(title="Haul away", artist="The Anchors"), "default"),
    "notes.txt": ("Grüße aus dem Hafen.\n".encode() * 20_000, "default"),
    "people.csv": (b"name,city\n" + b"".join(b'"Ann, %d",Harbour\n' % n for n in range(900)), "default"),
    "bundle.zip": (samples.archive("a.txt", "docs/b.md"), "default"),
    "lease.md": (LEASE.encode(), "default"),
    "wrong.png": (samples.wav(), "default"),
    "kept.bin": (b"kept" * 10, "keepsafe"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    place = tmp_path_factory.mktemp("library")
    (place / "profiles.toml").write_text(PROFILES)
    settings = {"TRASH_HOURS": "24", "WINDLASS_PROFILES": str(place / "profiles.toml")}
    running = ServerProcess(place / "home", **settings)
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def records(server: ServerProcess) -> Mapping[str, Mapping[str, Any]]:
    """The records of FILES by name, once all are processed."""
    links = {name: upload(server, name, *content)["links"]["self"] for name, content in FILES.items()}
    return {name: wait_until_processed(server.url, link) for name, link in links.items()}


def upload(server: ServerProcess, name: str, content: bytes, profile: str = "default") -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/files/?profile={profile}", files={"file": (name, content)}, timeout=60)
    record: dict[str, Any] = answer.raise_for_status().json()
    return record


@pytest.fixture(scope="module")
def many(server: ServerProcess, records: Mapping[str, Any]) -> None:
    """As many rows as a large library has. They are of other tests too, which search for what they need."""
    fill(server.home, MANY)


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def open_library(page: Page, server: ServerProcess, query: str = "") -> None:
    page.goto(f"{server.url}/{query}")
    expect(page.locator("#library-list li").first).to_be_visible()


def item(page: Page, name: str) -> Locator:
    return page.locator("#library-list li").filter(has=page.get_by_role("link", name=name, exact=True))


def names(page: Page) -> list[str]:
    """The names on the screen, in order."""
    return page.locator("#library-list .item-name").all_inner_texts()


def expect_names(page: Page, *expected: str) -> None:
    expect(page.locator("#library-list .item-name")).to_have_text(list(expected))


@pytest.mark.usefixtures("records")
class TestSearchingInTexts:
    def test_a_file_is_found_by_what_is_written_in_it(self, page: Page, server: ServerProcess, visit: Visit) -> None:
        open_library(page, server)
        expect(page.locator("#library-texts")).to_be_hidden()
        page.get_by_role("searchbox", name="Search").fill("boathouse notice")
        found = page.locator("#library-texts li")
        expect(found).to_have_count(1)
        expect(found.get_by_role("link", name="lease.md")).to_have_attribute("href", re.compile("/f/"))
        expect(found.locator("mark")).to_have_text(["boathouse", "notice"])
        expect(found).to_contain_text("is <b>three</b> months & a day.")
        expect(page.locator("#library-empty")).to_be_hidden()
        assert visit.violations() == []
        page.get_by_role("searchbox", name="Search").fill("")
        expect(page.locator("#library-texts")).to_be_hidden()
        assert visit.errors == []

    def test_a_file_whose_text_is_gone_leaves_the_texts_at_once(self, page: Page, server: ServerProcess) -> None:
        files = [upload(server, f"quay {n}.txt", b"The quayside is closed.\n" * (n + 1)) for n in range(3)]
        for file in files:
            wait_until_processed(server.url, file["links"]["self"])
        page.goto(f"{server.url}/?q=quayside")
        found = page.locator("#library-texts li")
        expect(found).to_have_count(3)
        httpx.post(f"{server.url}/files/{files[0]['id']}/release/").raise_for_status()
        expect(found).to_have_count(2)
        httpx.delete(f"{server.url}/files/{files[1]['id']}/").raise_for_status()
        expect(found).to_have_count(1)
        page.goto(f"{server.url}/?q=quay")
        item(page, "quay 2.txt").get_by_role("button", name="Actions for quay 2.txt").click()
        page.get_by_role("menuitem", name="Delete").click()
        expect(page.locator("#library-texts")).to_be_hidden()

    def test_what_is_in_no_text_shows_no_texts(self, page: Page, server: ServerProcess) -> None:
        page.goto(f"{server.url}/?q=zzyzx")
        expect(page.locator("#library-empty")).to_be_visible()
        expect(page.locator("#library-texts")).to_be_hidden()


@pytest.mark.usefixtures("records")
class TestFinding:
    @pytest.mark.parametrize("asked", ["DAWN", "Anchor & Sons"])
    def test_a_picture_is_found_by_its_name_and_its_camera(self, page: Page, server: ServerProcess, asked: str) -> None:
        open_library(page, server)
        page.get_by_label("Search", exact=True).fill(asked)
        expect_names(page, "harbour at dawn.jpg")
        page.reload()
        expect_names(page, "harbour at dawn.jpg")
        expect(page.get_by_label("Search", exact=True)).to_have_value(asked)
        page.get_by_role("button", name="Clear the filters").first.click()
        expect(item(page, "song.mp3")).to_be_visible()

    def test_filters_and_order_stand_in_the_address_and_back_undoes_them(
        self, page: Page, server: ServerProcess
    ) -> None:
        open_library(page, server)
        page.get_by_role("button", name="Filter", exact=True).click()
        page.get_by_label("Kind").select_option("Spreadsheets")
        expect_names(page, "people.csv")
        page.get_by_label("Kind").select_option("Any kind")
        page.get_by_label("Status", exact=True).select_option("Refused, malware")
        expect_names(page, "wrong.png")
        assert "status=refused" in page.url
        page.go_back()
        page.go_back()
        expect_names(page, "people.csv")
        page.goto(f"{server.url}/?to=2020-01-01")
        expect(page.locator("#library-empty")).to_contain_text("No file matches.")

    def test_the_order_can_be_by_name_and_by_size(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        wanted = [name for name in records if "p" in name]
        open_library(page, server, "?q=p&to=2099-01-01")
        page.get_by_label("Order").select_option("Name A to Z")
        expect_names(page, *sorted(wanted))
        page.get_by_label("Order").select_option("Largest first")
        expect_names(page, *sorted(wanted, key=lambda name: -int(records[name]["size"])))

    def test_a_row_says_type_and_status_in_words(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=wrong.png")
        row = item(page, "wrong.png")
        expect(row).to_contain_text("WAV audio")
        expect(row).to_contain_text("Refused")
        assert "audio/" not in row.inner_text()

    def test_the_kinds_of_the_page_are_those_of_the_server(self, page: Page, server: ServerProcess) -> None:
        from windlass.files.kinds import TYPES, kind_of

        types = [each.replace("*", "x-any") for several in TYPES.values() for each in several]
        types += ["application/octet-stream", "text/x-python", "image/svg+xml", "chemical/x-pdb"]
        page.goto(f"{server.url}/")
        script = "async (types) => types.map((await import('/static/windlass/js/format.js')).kindOf)"
        assert page.evaluate(script, types) == [kind_of(each) for each in types]


@pytest.mark.usefixtures("records")
class TestManyFiles:
    def test_selected_files_are_saved_as_one_zip_and_the_page_stays(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=o")
        item(page, "song.mp3").get_by_role("checkbox").click()
        item(page, "notes.txt").get_by_role("checkbox").click()
        expect(page.locator("#selection-count")).to_contain_text("2 selected")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download ZIP").click()
        with zipfile.ZipFile(waiting.value.path()) as saved:
            assert sorted(saved.namelist()) == ["notes.txt", "song.mp3"]
        assert page.url.endswith("?q=o")

    def test_a_range_is_selected_with_shift_and_all_with_a_button(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?sort=name&to=2099-01-01&kind=")
        rows = page.locator("#library-list li")
        rows.nth(0).get_by_role("checkbox").click()
        rows.nth(3).get_by_role("checkbox").click(modifiers=["Shift"])
        expect(page.locator("#library-list li.selected")).to_have_count(4)
        page.get_by_role("button", name="Select all").click()
        expect(page.locator("#library-list li.selected")).to_have_count(rows.count())
        page.get_by_role("button", name="Select none").click()
        expect(page.locator("#selection-bar")).to_be_hidden()

    def test_a_deleted_file_comes_back_by_undo_and_from_the_trash(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "thrown away.bin", b"thrown away")
        address = f"{server.url}/files/{file['id']}/"
        wait_until_processed(server.url, file["links"]["self"])
        open_library(page, server)
        delete(page, "thrown away.bin")
        expect(item(page, "thrown away.bin")).to_have_count(0)
        with page.expect_response("**/restore/"):
            page.get_by_role("button", name="Undo").click()
        expect(item(page, "thrown away.bin")).to_be_visible()
        assert httpx.get(address).status_code == 200

        delete(page, "thrown away.bin")
        expect(page.locator("#toasts")).to_contain_text("in the trash")
        assert httpx.get(address).status_code == 404
        page.get_by_role("button", name="Trash").click()
        row = item(page, "thrown away.bin")
        row.get_by_role("button", name="Actions").click()
        page.get_by_role("menuitem", name="Restore").click()
        expect(row).to_have_count(0)
        assert httpx.get(address).status_code == 200

    def test_an_event_that_arrives_late_does_not_count_against_what_was_done_since(
        self, page: Page, server: ServerProcess
    ) -> None:
        held: list[Callable[[], None]] = []

        def hold_from_the_undo_on(route: WebSocketRoute) -> None:
            def pass_on(message: str | bytes) -> None:
                if held or "file.restored" in str(message):
                    held.append(lambda: route.send(message))
                else:
                    route.send(message)

            route.connect_to_server().on_message(pass_on)

        page.route_web_socket("**/ws/events*", hold_from_the_undo_on)
        file = upload(server, "thrown away twice.bin", b"thrown away twice")
        wait_until_processed(server.url, file["links"]["self"])
        open_library(page, server)
        delete(page, "thrown away twice.bin")
        with page.expect_response("**/restore/"):
            page.get_by_role("button", name="Undo").click()
        delete(page, "thrown away twice.bin")
        expect(page.locator("#toasts")).to_contain_text("in the trash")
        page.get_by_role("button", name="Trash").click()
        row = item(page, "thrown away twice.bin")
        expect(row).to_be_visible()
        until(lambda: page.evaluate("1") and held, "the event of the undo")  # held while the page is asked something
        with page.expect_response(f"**/files/{file['id']}/"):
            for send in held:
                send()
        expect(row).to_be_visible()

    def test_without_a_trash_a_file_is_deleted_when_the_page_is_left(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "really gone.bin", b"really", "keepsafe")
        wait_until_processed(server.url, file["links"]["self"])
        open_library(page, server)
        delete(page, "really gone.bin")
        expect(item(page, "really gone.bin")).to_have_count(0)
        expect(page.locator("#toasts")).to_contain_text("really gone.bin is deleted.")
        address = f"{server.url}/files/{file['id']}/"
        assert httpx.get(address).status_code == 200, "it can still be undone"
        page.get_by_role("button", name="Undo").click()
        expect(item(page, "really gone.bin")).to_be_visible()
        delete(page, "really gone.bin")
        page.goto(f"{server.url}/livez")
        wait_for_status(address, 404)

    def test_released_files_keep_their_record(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "to be released.bin", b"released")
        wait_until_processed(server.url, file["links"]["self"])
        open_library(page, server)
        item(page, "to be released.bin").get_by_role("checkbox").click()
        page.locator("#selected-release").click()
        page.get_by_role("dialog").get_by_role("button", name="Release").click()
        expect(item(page, "to be released.bin")).to_contain_text("Released")
        assert httpx.get(f"{server.url}/files/{file['id']}/").json()["status"] == "RELEASED"

    def test_a_link_is_made_for_as_long_as_was_chosen(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=song")
        item(page, "song.mp3").get_by_role("button", name="Actions").click()
        page.get_by_role("menuitem", name="Copy link").click()
        page.get_by_label("It works for").select_option("1 week")
        with page.expect_response("**/signed-url/") as waiting:
            page.get_by_role("button", name="Copy the link").click()
        assert json.loads(waiting.value.request.post_data or "") == {"expires_in": 7 * 24 * 3600}
        link = page.get_by_label("Link", exact=True)
        expect(link).to_have_value(re.compile(r"signature="))
        assert httpx.get(link.input_value()).status_code == 200

    def test_a_download_of_a_picture_is_saved_and_not_shown(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=dawn")
        item(page, "harbour at dawn.jpg").get_by_role("button", name="Actions").click()
        saved = download(page, page.get_by_role("menuitem", name="Download"))
        assert saved.suggested_filename == "harbour at dawn.jpg"
        assert page.url.endswith("?q=dawn")


def delete(page: Page, name: str) -> None:
    item(page, name).get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()


def download(page: Page, link: Locator) -> Download:
    with page.expect_download() as waiting:
        link.click()
    return waiting.value


def wait_for_status(address: str, status: int) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(retries=3)) as client:
        for _ in range(WAIT // 100):
            if client.get(address).status_code == status:
                return
    raise AssertionError(f"{address} never answered {status}")


@pytest.mark.usefixtures("records")
class TestKeyboard:
    def test_arrows_move_space_selects_shift_extends_and_delete_deletes(
        self, page: Page, server: ServerProcess
    ) -> None:
        for number in range(3):
            file = upload(server, f"by keyboard {number}.bin", f"by keyboard {number}".encode())
            wait_until_processed(server.url, file["links"]["self"])
        open_library(page, server, "?q=by+keyboard&sort=name")
        listed = page.get_by_role("list", name="Library")  # the same names may be found in texts above it
        listed.get_by_role("link", name="by keyboard 0.bin").focus()
        page.keyboard.press("ArrowDown")
        expect(listed.get_by_role("link", name="by keyboard 1.bin")).to_be_focused()
        page.keyboard.press("Space")
        expect(item(page, "by keyboard 1.bin").get_by_role("checkbox")).to_be_checked()
        page.keyboard.press("Shift+ArrowDown")
        expect(page.locator("#selection-count")).to_contain_text("2 selected")
        page.keyboard.press("Delete")
        expect_names(page, "by keyboard 0.bin")
        expect(listed.get_by_role("link", name="by keyboard 0.bin")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("by keyboard 0.bin")


@pytest.mark.usefixtures("records")
class TestLive:
    def test_a_new_file_appears_and_is_followed_until_it_is_ready(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server)
        upload(server, "new while looking.bin", b"new while looking")
        row = item(page, "new while looking.bin")
        expect(row).to_be_visible()
        expect(row).to_contain_text("Ready")

    def test_a_deleted_file_disappears(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "short lived.bin", b"short lived")
        open_library(page, server)
        expect(item(page, "short lived.bin")).to_be_visible()
        httpx.delete(f"{server.url}/files/{file['id']}/")
        expect(item(page, "short lived.bin")).to_have_count(0)

    def test_the_page_says_that_the_server_is_away_and_tries_again(self, page: Page, server: ServerProcess) -> None:
        def cut(route: Route) -> None:
            route.abort()

        page.route("**/files/?*", cut)
        page.goto(f"{server.url}/")
        expect(page.locator("#library-error")).to_contain_text("The server does not answer.")
        page.unroute("**/files/?*", cut)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#library-list li").first).to_be_visible()


class TestFilePage:
    def test_a_picture_is_shown_can_be_zoomed_and_has_its_facts(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        open_file(page, server, records["harbour at dawn.jpg"])
        picture = page.locator("#file-preview img")
        expect(picture).to_be_visible()
        before = picture.bounding_box()
        page.get_by_role("button", name="Zoom in").click()
        after = picture.bounding_box()
        assert before is not None
        assert after is not None
        assert after["width"] > before["width"] * 1.3
        expect(fact(page, "Camera make")).to_have_text("Anchor & Sons")
        expect(fact(page, "Dimensions")).to_contain_text("pixels")
        expect(page.locator("#file-checks li").first).to_contain_text("passed")
        expect(page.locator("#file-history")).to_contain_text("Received")
        expect(page.locator("#file-history")).to_contain_text("Ready")

    @pytest.mark.parametrize(("name", "element"), [("clip.webm", "video"), ("song.mp3", "audio")])
    def test_a_recording_is_played_by_ranges(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any], name: str, element: str
    ) -> None:
        ranges: list[str] = []
        page.on("request", lambda request: ranges.append(request.headers.get("range", "")))
        open_file(page, server, records[name])
        player = page.locator(f"#file-preview {element}")
        player.evaluate(
            "player => player.readyState >= 1 || new Promise((done) => { player.onloadedmetadata = done; })"
        )
        assert player.evaluate("player => player.duration") >= 1
        assert any(each.startswith("bytes=") for each in ranges)
        if element == "audio":
            expect(page.locator("#file-preview svg.waveform")).to_be_visible()

    def test_the_first_page_of_a_pdf_is_a_picture(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        open_file(page, server, records["report.pdf"])
        first = page.locator("#file-preview img.page").first
        expect(first).to_be_visible()
        assert first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        expect(fact(page, "Pages")).to_have_text("3")
        wide = first.evaluate("image => image.clientWidth")
        page.get_by_role("region", name="Pages").focus()
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert first.evaluate("image => image.clientWidth") > wide * 1.9
        assert page.locator(".pages-view").evaluate("frame => frame.scrollLeft") > 0, "the middle stays in the middle"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the frame stays as wide as it was"
        page.keyboard.press("0")
        assert first.evaluate("image => image.clientWidth") == wide
        expect(fact(page, "Title")).to_have_text("The tide tables")

    def test_every_page_of_a_pdf_is_fetched_when_it_comes_into_view(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "manual.pdf", samples.pdf(60))
        wait_until_processed(server.url, file["links"]["self"])
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        open_file(page, server, file)
        pages = page.locator("#file-preview img.page")
        expect(pages).to_have_count(50)
        expect(page.locator("#file-preview")).to_contain_text("50 of 60 pages are shown.")
        expect(page.locator("#file-renditions")).not_to_contain_text("page-")
        assert pages.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 841
        assert not any("page-50" in url for url in fetched)
        pages.last.scroll_into_view_if_needed()
        assert pages.last.evaluate("image => image.decode().then(() => image.naturalHeight)") == 1190
        expect(page.locator(".pages li").last).to_contain_text("Page 50 of 60")

    def test_of_a_long_text_the_beginning_is_fetched(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        with page.expect_response("**/download/") as waiting:
            open_file(page, server, records["notes.txt"])
        assert waiting.value.status == 206
        expect(page.locator(".text-view")).to_contain_text("Grüße aus dem Hafen.")
        expect(page.locator("#file-preview")).to_contain_text("The first 256 KB are shown.")

    def test_a_csv_is_a_table(self, page: Page, server: ServerProcess, records: Mapping[str, Any]) -> None:
        open_file(page, server, records["people.csv"])
        table = page.get_by_role("table")
        expect(table.get_by_role("columnheader")).to_have_text(["name", "city"])
        expect(table.get_by_role("cell", name="Ann, 0", exact=True)).to_be_visible()
        expect(page.locator("#file-preview")).to_contain_text("The first 500 rows are shown.")

    @pytest.mark.parametrize(
        ("name", "make"),
        [("bundle.tar", tar), ("bundle.tar.gz", lambda: gzip.compress(tar())), ("bundle.7z", sevenzip)],
    )
    def test_the_contents_of_other_archives_are_listed(
        self, page: Page, server: ServerProcess, name: str, make: Callable[[], bytes]
    ) -> None:
        file = upload(server, name, make(), "archives")
        wait_until_processed(server.url, file["links"]["self"])
        open_file(page, server, file)
        row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="a.txt", exact=True))
        expect(row.get_by_role("cell").last).to_contain_text("3")

    def test_the_contents_of_a_zip_are_listed(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        open_file(page, server, records["bundle.zip"])
        expect(page.get_by_role("cell", name="docs/b.md")).to_be_visible()
        expect(fact(page, "Entries")).to_have_text("2")

    def test_a_refused_file_says_why_and_what_to_do(
        self, page: Page, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        open_file(page, server, records["wrong.png"])
        advice = page.locator("#file-advice")
        expect(advice).to_contain_text("This file was refused")
        expect(advice).to_contain_text(records["wrong.png"]["rejection"]["detail"])
        expect(advice).to_contain_text("Give the file the extension of what it contains")
        expect(page.get_by_role("link", name="Download", exact=True)).to_have_count(0)

    def test_processing_again_is_followed_live(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "again.bin", b"process me again")
        wait_until_processed(server.url, file["links"]["self"])
        open_file(page, server, file)
        expect(page.locator("#file-status")).to_contain_text("Ready")
        page.get_by_role("button", name="Process again").click()
        expect(page.locator("#file-history li").filter(has_text="Ready")).to_have_count(2)
        expect(page.locator("#file-status")).to_contain_text("Ready")

    def test_a_file_can_be_deleted_and_restored(self, page: Page, server: ServerProcess) -> None:
        file = upload(server, "deleted on its page.bin", b"deleted on its page")
        wait_until_processed(server.url, file["links"]["self"])
        open_file(page, server, file)
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_role("heading", name="This file is deleted")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("heading", name="deleted on its page.bin")).to_be_visible()
        assert httpx.get(f"{server.url}/files/{file['id']}/").status_code == 200

    @pytest.mark.parametrize(("file_id", "status"), [("nonsense", 404), ("01937ba0-0000-7000-8000-000000000000", 200)])
    def test_an_unknown_id_has_a_page_that_says_so(
        self, page: Page, server: ServerProcess, file_id: str, status: int
    ) -> None:
        reply = page.goto(f"{server.url}/f/{file_id}")
        assert reply is not None
        assert reply.status == status
        expect(page.get_by_role("heading", name="There is no such file")).to_be_visible()

    def test_every_rule_and_step_of_the_server_has_its_words(self, page: Page, server: ServerProcess) -> None:
        from windlass.processing import registry

        page.goto(f"{server.url}/")
        script = "async (names) => names.map((await import('/static/windlass/js/files/words.js')).stepTitle)"
        steps = {name: step.about.title for name, step in registry.installed().items()}
        assert page.evaluate(script, list(steps)) == list(steps.values())
        rules = page.evaluate("async () => (await import('/static/windlass/js/detail/advice.js')).RULES")
        page_of_rules = (Path(__file__).parents[2] / "docs" / "reference" / "steps.md").read_text()
        tables = [line for line in page_of_rules.splitlines() if re.match(r"\| `[a-z-]+`(, `[a-z-]+`)* \| ", line)]
        documented = {rule for line in tables for rule in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
        assert documented
        assert documented - set(rules) == set()


def open_file(page: Page, server: ServerProcess, file: Mapping[str, Any]) -> None:
    page.goto(f"{server.url}/f/{file['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(file["original_filename"])


def fact(page: Page, label: str) -> Locator:
    return page.locator("#file-facts > div").filter(has=page.get_by_text(label, exact=True)).locator("dd")


class TestAppearance:
    @pytest.mark.parametrize("layout", ["list", "grid"])
    @pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
    def test_the_library_has_no_barrier(
        self, visit: Visit, server: ServerProcess, records: Mapping[str, Any], layout: str
    ) -> None:
        open_library(visit.page, server, f"?layout={layout}")
        visit.page.get_by_role("button", name="Filter", exact=True).click()
        visit.page.locator("#library-list li").nth(1).get_by_role("checkbox").click()
        expect(visit.page.locator("#selection-bar")).to_be_visible()
        assert visit.violations() == []

    @pytest.mark.parametrize("name", ["harbour at dawn.jpg", "people.csv", "song.mp3", "wrong.png"])
    @pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
    def test_the_page_of_a_file_has_no_barrier(
        self, visit: Visit, server: ServerProcess, records: Mapping[str, Any], name: str
    ) -> None:
        open_file(visit.page, server, records[name])
        expect(visit.page.locator("#file-preview > *").first).to_be_visible()
        assert visit.violations() == []

    @pytest.mark.parametrize("visit", [{"viewport": PHONE, "has_touch": True}], indirect=True)
    def test_nothing_is_wider_than_a_phone(
        self, visit: Visit, server: ServerProcess, records: Mapping[str, Any]
    ) -> None:
        for path in ("/?layout=list", "/?layout=grid", f"/f/{records['people.csv']['id']}"):
            visit.page.goto(f"{server.url}{path}")
            expect(visit.page.locator("#library-list li, #file-preview > *").first).to_be_visible()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.usefixtures("many")
class TestTenThousandFiles:
    def test_scrolling_to_the_end_keeps_what_is_near_the_screen(self, page: Page, server: ServerProcess) -> None:
        """``benchmarks.pages`` measures what a frame costs."""
        open_library(page, server, "?q=row+0&sort=name")
        frames, elements = page.evaluate(SCROLL, f"row {MANY - 1:05}.txt")
        assert frames > 100, "every part of the list was on the screen"
        assert elements < 100, "only what is near the screen is in the page"

    def test_all_shown_are_selected_and_then_all_that_match(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=row+012&sort=name")
        item(page, "row 01200.txt").get_by_role("checkbox").click()
        page.get_by_role("button", name="Select all shown").click()
        expect(page.locator("#selection-count")).to_contain_text("60 selected")
        page.get_by_role("button", name="Select all that match").click()
        expect(page.locator("#selection-count")).to_contain_text("100 selected")

    def test_going_back_shows_the_place_that_was_left(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=row+0&sort=name")
        for _ in range(4):
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            page.wait_for_timeout(150)
        page.evaluate("scrollBy(0, -3000)")
        expect(page.locator("#library-list li.away")).to_have_count(0)
        left = middle(page)
        page.locator("#library-list li").filter(has_text=left).get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(left)
        page.go_back()
        expect(page.locator("#library-list li").filter(has_text=left)).to_be_in_viewport()
        page.reload()
        expect(page.locator("#library-list li").filter(has_text=left)).to_be_in_viewport()

    def test_a_new_file_does_not_move_what_is_read(self, page: Page, server: ServerProcess) -> None:
        open_library(page, server, "?q=row")
        page.evaluate("scrollBy(0, 2500)")
        expect(page.locator("#library-list li.away")).to_have_count(0)
        before = middle(page)
        upload(server, "row of its own.txt", b"row of its own")
        button = page.get_by_role("button", name="Show new files")
        expect(button).to_be_visible()
        assert middle(page) == before
        button.click()
        expect(item(page, "row of its own.txt")).to_be_in_viewport()


def middle(page: Page) -> str:
    name: str = page.evaluate(MIDDLE)
    return name
