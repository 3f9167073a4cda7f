"""The pictures of the documentation: ``WRITE_SCREENSHOTS=1`` writes them, otherwise the pages are only opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import pyvips
from playwright.sync_api import expect

from tests import samples
from tests.browser.pages import PHONE, Visit, illustrate
from tests.process.conftest import ServerProcess
from tests.process.wire import connect, wait_until_processed

WINDOW = {"viewport": {"width": 1120, "height": 760}}


def picture(path: Path, sky: list[float], hills: list[float], waves: float) -> Path:
    """A landscape: a sky with a sun, and three ranges of hills, each darker than the one behind it."""
    place = pyvips.Image.xyz(1600, 1067)
    x, y = place[0], place[1]
    image = (y / 1067 * 90 + 60).bandjoin([y / 1067 * 70 + 60, y / 1067 * 50 + 60]) + [each - 90 for each in sky]
    sun = ((x - 1150) ** 2 + (y - 330) ** 2) < 95**2
    image = sun.ifthenelse([255, 240, 205], image)
    for number, (height, dark) in enumerate([(560, 1.0), (700, 0.72), (850, 0.46)], 1):
        ridge = (x * (0.13 * waves * number) + 70 * number).sin() * (60 / number) + (x * 0.41 + 50 * number).sin() * 18
        image = (y > ridge + height).ifthenelse([each * dark for each in hills], image)
    image.cast("uchar").copy(interpretation="srgb").jpegsave(str(path), Q=85)
    return path


def contract() -> bytes:
    """A page of text with a heading."""
    lines = [b"The tenant may use the boathouse and its slip", b"from the first of March to the end of October."]
    text = b"".join(b"0 -22 Td (%s) Tj " % line for line in lines * 9)
    drawn = b"0.1 0.38 0.43 rg 0 760 595 82 re f 0 g BT /F 26 Tf 1 g 60 790 Td (Lease) Tj ET BT /F 14 Tf 0 g 60 720 Td "
    return samples.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn + text + b"ET"), drawn + text + b"ET"),
        info=b"/Title(Lease of the boathouse)/Author(Ann)",
    )


@pytest.fixture(scope="module")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    place = tmp_path_factory.mktemp("screenshots")
    running = ServerProcess(place / "home")
    running.start()
    contents = {
        "Minutes of the meeting.txt": ("The meeting began at nine.\n" * 40).encode(),
        "Budget.csv": b"month,planned,spent\n" + b"".join(b"%d,1200,%d\n" % (n, 900 + 37 * n) for n in range(1, 13)),
        "Contract.pdf": contract(),
        "Dunes.jpg": picture(place / "a.jpg", [240, 205, 160], [222, 150, 82], 1).read_bytes(),
        "Forest.jpg": picture(place / "b.jpg", [175, 215, 205], [84, 150, 104], 2.3).read_bytes(),
        "Harbour.jpg": picture(place / "c.jpg", [130, 180, 225], [62, 116, 168], 1.5).read_bytes(),
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
    visit.page.set_viewport_size(PHONE)
    expect(visit.page.get_by_role("link", name="Harbour.jpg")).to_be_in_viewport()
    illustrate(visit.page, "files-phone")


@pytest.mark.parametrize("visit", [WINDOW], indirect=True)
def test_a_file(server: ServerProcess, visit: Visit) -> None:
    found = httpx.get(f"{server.url}/files/", params={"q": "harbour"}).json()["results"]
    visit.page.goto(f"{server.url}/f/{found[0]['id']}")
    expect(visit.page.get_by_role("heading", name="Harbour.jpg")).to_be_visible()
    expect(visit.page.get_by_text("JPEG image (image/jpeg)")).to_be_visible()
    visit.page.wait_for_load_state("networkidle")  # the picture itself
    illustrate(visit.page, "file")
