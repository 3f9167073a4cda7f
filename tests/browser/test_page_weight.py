"""What each page costs over the network, with a library that fills several screens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.pages import Visit
from tests.library_rows import fill
from tests.process.conftest import ServerProcess

BUDGET = 100_000  # bytes of a page with all it loads


@pytest.fixture(scope="module")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path_factory.mktemp("weight") / "home")
    running.start()
    fill(running.home, 60)  # as many as the page asks for first
    yield running
    running.kill()


@pytest.mark.parametrize("path", ["/", "/operations/", "/sign-in/"])
def test_a_page_loads_in_its_budget(server: ServerProcess, visit: Visit, path: str) -> None:
    visit.page.goto(f"{server.url}{path}", wait_until="load")
    visit.page.wait_for_timeout(500)  # modules load further modules
    entries = """() => [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
        .map(({name, transferSize}) => [name, transferSize])"""
    loaded: list[tuple[str, int]] = visit.page.evaluate(entries)
    assert any(name.endswith("/api.js") for name, _ in loaded)
    assert sum(size for _, size in loaded) < BUDGET, loaded
