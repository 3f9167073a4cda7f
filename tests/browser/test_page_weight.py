"""What each page costs over the network, with a library that fills several screens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.pages import Visit
from tests.library_rows import fill
from tests.process.conftest import ServerProcess

BUDGET = 95_000  # bytes of a page with all it loads; 100,000 are promised


@pytest.fixture(scope="module")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path_factory.mktemp("weight") / "home")
    running.start()
    fill(running.home, 500)  # more than the page may ask for before somebody scrolls
    yield running
    running.kill()


@pytest.mark.parametrize("path", ["/", "/operations/", "/sign-in/"])
def test_a_page_loads_in_its_budget(server: ServerProcess, visit: Visit, path: str) -> None:
    visit.page.goto(f"{server.url}{path}", wait_until="load")
    assert visit.page.evaluate("document.documentElement.dataset.scripts") == "ready", "the load event waits for all"
    if path == "/":
        visit.page.locator("#library-list li").first.wait_for()
    visit.page.wait_for_load_state("networkidle")
    entries = """() => [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
        .map(({name, transferSize}) => [name, transferSize])"""
    loaded: list[tuple[str, int]] = visit.page.evaluate(entries)
    assert any(name.endswith("/api.js") for name, _ in loaded)
    assert len([name for name, _ in loaded if "/files/?" in name]) == (1 if path == "/" else 0)
    assert sum(size for _, size in loaded) < BUDGET, loaded
