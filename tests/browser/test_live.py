"""``js/live.js`` in Chromium: each event once, also after breaks and where no WebSocket gets through."""

from __future__ import annotations

import json
import uuid

import httpx
from playwright.sync_api import Page

from tests.browser.pages import Visit
from tests.markdown_pages import DOCS, fences
from tests.process.conftest import ServerProcess

#: Keeps the sockets, so that a test can break one.
KEEP_SOCKETS = """
  window.sockets = []
  window.answers = 0
  const Real = WebSocket
  WebSocket = function (url) {
    const socket = new Real(url)
    socket.addEventListener("message", ({ data }) => { answers += data.includes("pong") })
    sockets.push(socket)
    return socket
  }
"""
#: What a proxy does that knows no upgrades.
NO_UPGRADE = (
    "window.tried = 0; const Real = WebSocket;"
    "WebSocket = function (url) { tried += 1; url.pathname = '/ws/nothing'; return new Real(url) }"
)
FOLLOW = """async ([path, since]) => {
  const { subscribe } = await import(document.documentElement.dataset.static + "js/live.js")
  window.seen = []
  window.states = []
  window.live = subscribe(path, {
    since,
    onEvent: (event) => event.id !== null && window.seen.push(event.id),
    onState: (state, error) => window.states.push(error ? `${state} ${error.status}` : state),
  })
}"""


#: A page that follows nothing by itself, so that every socket is the test's.
PAGE = "/sign-in/"


def follow(page: Page, server: ServerProcess, path: str, since: int | None = None) -> None:
    page.goto(f"{server.url}{PAGE}")
    page.evaluate(FOLLOW, [path, since])


def upload(server: ServerProcess) -> tuple[str, list[int]]:
    """Upload a file and wait until it is ready; its id and the numbers of its events."""
    record = httpx.post(f"{server.url}/files/?filename=a.txt", content=uuid.uuid4().bytes, timeout=60).json()
    numbers: list[int] = []
    with httpx.stream("GET", server.url + record["links"]["events"], timeout=60) as stream:
        for line in stream.iter_lines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            numbers += [event["id"]] if event.get("id") else []
            if event.get("type") == "file.ready":
                return record["id"], numbers
    raise AssertionError("the stream ended before the file was ready")


def until_seen(page: Page, numbers: list[int]) -> None:
    page.wait_for_function("(last) => seen.at(-1) >= last", arg=numbers[-1])
    seen = page.evaluate("seen")
    assert [each for each in seen if each in numbers] == numbers, "each event comes once, in order"
    assert len(seen) == len(set(seen))


def test_each_event_comes_once_also_after_a_break(visit: Visit, windlass: ServerProcess) -> None:
    page = visit.page
    page.add_init_script(KEEP_SOCKETS)
    follow(page, windlass, "/ws/events")
    page.wait_for_function("() => states.at(-1) === 'live'")
    until_seen(page, upload(windlass)[1])
    page.evaluate("sockets.at(-1).close()")
    until_seen(page, upload(windlass)[1])
    page.wait_for_function("() => states.join() === 'live,retrying,live'")
    page.evaluate("live.close()")
    page.wait_for_function("() => sockets.at(-1).readyState === 3")
    assert page.evaluate("sockets.length") == 2


def test_what_happened_before_the_first_event_and_a_break_is_not_missed(visit: Visit, windlass: ServerProcess) -> None:
    page = visit.page
    page.add_init_script(KEEP_SOCKETS)
    follow(page, windlass, "/ws/events")
    page.wait_for_function("() => states.at(-1) === 'live'")
    page.wait_for_function("() => answers")  # the answer to the first ping tells where the socket stands
    page.evaluate("sockets.at(-1).close()")
    until_seen(page, upload(windlass)[1])


def test_event_streams_serve_where_no_upgrade_gets_through(visit: Visit, windlass: ServerProcess) -> None:
    page = visit.page
    page.add_init_script(NO_UPGRADE)
    file_id, numbers = upload(windlass)
    follow(page, windlass, f"/ws/files/{file_id}", since=numbers[1])
    until_seen(page, numbers[2:])
    assert page.evaluate("tried") == 2
    assert page.evaluate("states.join()") == "retrying,live"


def test_a_refusal_for_good_is_told(visit: Visit, windlass: ServerProcess) -> None:
    follow(visit.page, windlass, f"/ws/files/{uuid.uuid4()}")
    visit.page.wait_for_function("() => states.join() === 'retrying,ended 404'")


def test_the_examples_of_the_guide_follow_an_upload(visit: Visit, windlass: ServerProcess) -> None:
    visit.page.goto(windlass.url)
    told: list[str] = []
    visit.page.on("console", lambda message: told.append(message.text))
    examples = [
        fence.text for fence in fences(DOCS / "how-to" / "follow-files-live.md") if fence.language == "javascript"
    ]
    for example in examples:
        visit.page.evaluate(f"() => new Promise((open) => {{ {example}; events.onopen = open }})")
    file_id, _ = upload(windlass)
    visit.page.wait_for_event("console", lambda _: told.count(f"file.ready {file_id}") == len(examples))
