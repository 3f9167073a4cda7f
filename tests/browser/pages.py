"""Fixtures for Windlass's own pages: one Chromium for a test session, and a page that reports what went wrong in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from tests.conftest import require
from tests.markdown_pages import DOCS

AXE = Path(__file__).resolve().parent / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 360, "height": 740}
#: Milliseconds that Playwright waits for an element: a busy machine takes long.
WAIT = 30_000
expect.set_options(timeout=WAIT)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def web_browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    yield browser
    browser.close()


@dataclass(frozen=True)
class Visit:
    """A browser context with one page, and the errors of its scripts and its Content Security Policy."""

    context: BrowserContext
    page: Page
    errors: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is now, as "rule: selector"."""
        require(AXE.is_file(), "packages are missing: npm ci in tests/browser")
        self.page.evaluate(AXE.read_text())
        found: list[dict[str, Any]] = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{violation['id']}: {node['target']}"
            for violation in found
            if violation["impact"] in {"serious", "critical"}
            for node in violation["nodes"]
        ]


def illustrate(page: Page, name: str) -> None:
    """Write docs/images/NAME.png, if WRITE_SCREENSHOTS is set: the pictures of the documentation are made by tests."""
    if os.environ.get("WRITE_SCREENSHOTS"):
        page.screenshot(path=DOCS / "images" / f"{name}.png")


def watch(page: Page, errors: list[str]) -> None:
    """Collect uncaught errors of a page and what its policy refused."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            errors.append(message.text)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", note)


@pytest.fixture
def visit(web_browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A page of a new context; ``@pytest.mark.parametrize("visit", [options], indirect=True)`` gives options of the
    context, such as ``viewport`` and ``color_scheme``. The test fails if a script of the page or its policy failed."""
    context = web_browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(WAIT)
    visiting = Visit(context, context.new_page())
    watch(visiting.page, visiting.errors)
    yield visiting
    context.close()
    assert visiting.errors == []
