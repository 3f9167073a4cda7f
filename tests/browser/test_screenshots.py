"""The pictures of the documentation: ``WRITE_SCREENSHOTS=1`` writes them, otherwise the pages are only opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import pyvips
from playwright.sync_api import expect

from tests import samples
from tests.browser.pages import Visit, illustrate
from tests.process.conftest import ServerProcess
from tests.process.wire import connect, wait_until_processed

WINDOW = {"viewport": {"width": 1120, "height": 760}}


def picture(path: Path, red: float, green: float, blue: float) -> Path:
    """A picture with soft bands of a color."""
    place = pyvips.Image.xyz(1600, 1067)
    waves = ((place[0] * 0.21 + place[1] * 0.34).sin() + (place[1] * 0.27 - place[0] * 0.11).cos()) * 0.12 + 0.75
    light = waves * (1.15 - place[1] / 1600)
    (light * red).bandjoin([light * green, light * blue]).cast("uchar").copy(interpretation="srgb").jpegsave(str(path))
    return path


@pytest.fixture(scope="module")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    place = tmp_path_factory.mktemp("screenshots")
    running = ServerProcess(place / "home")
    running.start()
    contents = {
        "Minutes of the meeting.txt": ("The meeting began at nine.\n" * 40).encode(),
        "Budget.csv": b"month,planned,spent\n" + b"".join(b"%d,1200,%d\n" % (n, 900 + 37 * n) for n in range(1, 13)),
        "Contract.pdf": samples.pdf(),
        "Dunes.jpg": picture(place / "a.jpg", 240, 190, 120).read_bytes(),
        "Forest.jpg": picture(place / "b.jpg", 90, 170, 110).read_bytes(),
        "Harbour.jpg": picture(place / "c.jpg", 80, 140, 220).read_bytes(),
    }
    with connect(running) as http:
        for name, content in contents.items():
            answer = http.post("/files/", files={"file": (name, content)})
            wait_until_processed(http, answer.json()["id"])
    yield running
    running.kill()


@pytest.mark.parametrize("visit", [WINDOW], indirect=True)
def test_the_files(server: ServerProcess, visit: Visit) -> None:
    visit.page.goto(f"{server.url}/")
    expect(visit.page.get_by_role("link", name="Harbour.jpg")).to_be_visible()
    expect(visit.page.get_by_role("link", name="Contract.pdf")).to_be_visible()
    visit.page.wait_for_load_state("networkidle")
    illustrate(visit.page, "files")


@pytest.mark.parametrize("visit", [WINDOW], indirect=True)
def test_a_file(server: ServerProcess, visit: Visit) -> None:
    found = httpx.get(f"{server.url}/files/", params={"q": "harbour"}).json()["results"]
    visit.page.goto(f"{server.url}/f/{found[0]['id']}")
    expect(visit.page.get_by_role("heading", name="Harbour.jpg")).to_be_visible()
    expect(visit.page.get_by_text("JPEG image (image/jpeg)")).to_be_visible()
    visit.page.wait_for_load_state("networkidle")  # the picture itself
    illustrate(visit.page, "file")
