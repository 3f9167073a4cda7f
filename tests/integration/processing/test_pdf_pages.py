"""Pictures of a PDF's pages, through the real sandbox."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable

import pytest

from tests import document_samples, samples
from tests import rendition_samples as made
from tests.integration.processing.received_files import processed, step, store, work_off
from windlass.conf import BadSetting
from windlass.files import profiles
from windlass.files.api import FileAsset, find_files_with_rows, profile
from windlass.http.file_records import file_record, record_of_rows
from windlass.processing import api as processing
from windlass.processing.contract import PermanentError, Step, StepContext, StepResult
from windlass.processing.steps import pdf_pages, thumbnails

WithProfile = Callable[[str], None]


def pages(asset: FileAsset) -> list[str]:
    """The names of the pages' renditions in order."""
    names = asset.renditions.filter(kind="page").values_list("name", flat=True)
    return sorted(names, key=lambda name: int(name.rpartition("-")[2]))


def heavy_pdf(pages: int, squares: int) -> bytes:
    """Each page has so many large squares, one above the other, which take long to draw."""
    drawing = b"0 0 1 rg " + b"0 0 595 842 re f " * squares
    kids = " ".join(f"{number} 0 R" for number in range(4, 4 + pages))
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 3 0 R>>"
    return samples.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {pages}/Kids[{kids}]>>".encode(),
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
        *[page.encode()] * pages,
    )


def test_each_page_is_a_picture_of_a_million_pixels() -> None:
    asset = processed(document_samples.text_pdf("one", "two", "three"), "a.pdf")
    assert pages(asset) == ["page-1", "page-2", "page-3"]
    for rendition in asset.renditions.filter(kind="page"):
        assert (rendition.width, rendition.height, rendition.mime_type) == (841, 1190, "image/webp")
        with store(rendition.store).open(rendition.key) as stored:
            assert stored.read(4) == b"RIFF"
    assert step(asset, "pdf_pages").detail == "3 pages"


def test_a_page_of_text_is_kept_without_loss_and_one_with_a_picture_is_not() -> None:
    content = b"/Im Do BT 50 50 Td ET"
    picture = b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
    with_picture = samples.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</Im 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        picture + b"stream\nA\nendstream",
    )
    formats = []
    for document in (document_samples.text_pdf("words"), with_picture):
        output = io.BytesIO()
        facts, wanted = {"mime_type": "application/pdf", "size": len(document)}, profile("default").document()
        pdf_pages.PdfPages().run(StepContext(io.BytesIO(document), facts, wanted, output=output))
        formats.append(output.getvalue()[12:16])
    assert formats == [b"VP8L", b"VP8 "]


def test_a_page_shows_its_own_content() -> None:
    import pyvips

    asset = processed(document_samples.text_pdf("", "WWWW"), "a.pdf")
    means = []
    for name in pages(asset):
        rendition = asset.renditions.get(name=name)
        with store(rendition.store).open(rendition.key) as stored:
            means.append(pyvips.Image.new_from_buffer(stored.read(), "").avg())
    assert means[0] == 255 > means[1]


def test_the_profile_says_how_many_pages(with_profile: WithProfile) -> None:
    with_profile("preview_pages = 2\nthumbnail_format = 'jpeg'")
    asset = processed(samples.pdf(5), "a.pdf")
    assert pages(asset) == ["page-1", "page-2"]
    assert set(asset.renditions.values_list("mime_type", flat=True)) == {"image/jpeg"}
    assert step(asset, "pdf_pages").detail == "2 of 5 pages"


@pytest.mark.parametrize("keys", ["preview_pages = 0", "thumbnails = false"])
def test_a_profile_without_them_has_no_such_step(keys: str, with_profile: WithProfile) -> None:
    with_profile(keys)
    assert profile("default").document()["preview_pages"] == 0
    asset = processed(samples.pdf(5), "a.pdf")
    assert not pages(asset)
    assert not asset.steps.filter(step="pdf_pages").exists()


def test_pages_that_are_no_longer_wanted_are_deleted(with_profile: WithProfile) -> None:
    asset = processed(samples.pdf(3), "a.pdf")
    with_profile("preview_pages = 1")
    processing.reprocess(asset)
    assert pages(work_off(asset)) == ["page-1"]


def test_as_many_as_the_step_can_make_is_the_limit_of_profiles(with_profile: WithProfile) -> None:
    assert profiles.MAX_PREVIEW_PAGES == pdf_pages.MOST_PAGES
    with_profile("preview_pages = 201")
    with pytest.raises(BadSetting, match="preview_pages is 200 at most"):
        profile("default")


def test_a_thousand_pages_cost_what_the_limit_costs() -> None:
    """Fifty pages of a thousand, in a few seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    asset = processed(samples.pdf(1000), "book.pdf")
    assert (len(pages(asset)), step(asset, "pdf_pages").detail) == (50, "50 of 1000 pages")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 20


def run_here(step: Step, content: bytes) -> StepResult:
    facts, wanted = {"mime_type": "application/pdf", "size": len(content)}, profile("default").document()
    return step.run(StepContext(io.BytesIO(content), facts, wanted, output=io.BytesIO()))


def test_pages_that_take_too_long_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first takes ten seconds, and is given up while it is drawn."""
    monkeypatch.setattr(pdf_pages, "SECONDS", 0.3)
    started = time.process_time()
    result = run_here(pdf_pages.PdfPages(), heavy_pdf(3, 300_000))
    assert (result.renditions, result.detail) == ((), "0 of 3 pages; some are damaged or take too long")
    assert time.process_time() - started < 5


def test_a_first_page_that_takes_too_long_has_no_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to take its job's attempts, two minutes each."""
    monkeypatch.setattr(thumbnails, "PAGE_SECONDS", 0.3)
    with pytest.raises(PermanentError, match="takes too long to be drawn"):
        run_here(thumbnails.PdfThumbnail(), heavy_pdf(1, 300_000))


def test_a_damaged_page_is_left_out() -> None:
    whole = samples.pdf(3)
    damaged = whole.replace(b"4 0 obj<</Type/Page/", b"4 0 obj<</Type/Pigs/")
    asset = processed(damaged, "a.pdf")
    assert (pages(asset), step(asset, "pdf_pages").detail) == (
        ["page-1", "page-3"],
        "2 of 3 pages; some are damaged or take too long",
    )


def test_an_encrypted_document_has_none_and_a_reason() -> None:
    ended = step(processed(made.locked_pdf(), "a.pdf"), "pdf_pages")
    assert (ended.state, ended.detail) == ("skipped", "A password is needed to read it.")


def test_lists_leave_the_pages_out() -> None:
    asset = processed(samples.pdf(11), "a.pdf")
    assert [each["name"] for each in file_record(asset)["renditions"]][:11] == [f"page-{n}" for n in range(1, 12)]
    (listed,) = find_files_with_rows([asset.id])
    assert [each["name"] for each in record_of_rows(listed)["renditions"]] == ["thumbnail"]
