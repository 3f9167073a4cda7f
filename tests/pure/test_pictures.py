"""Pictures, by the steps themselves: what takes too much work is refused before it is decoded, with the reason."""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import rendition_samples, samples
from tests.hostile.files import pictures as hostile
from windlass.kernel.formats import jpeg_scans
from windlass.processing.contract import PermanentError, StepContext, StepResult, Unreadable
from windlass.processing.steps.thumbnail import Thumbnail

PROFILE: dict[str, Any] = {"thumbnail_widths": [640], "thumbnail_format": "webp"}


def run(step: Any, content: bytes, mime_type: str, profile: dict[str, Any] = PROFILE) -> StepResult:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        facts = {"mime_type": mime_type, "size": len(content), "metadata": {}, "filename": "a"}
        found = step.run(StepContext(file, facts, profile, io.BytesIO()))
        assert isinstance(found, StepResult)
        return found


def thumbnail(content: bytes, mime_type: str) -> tuple[int | None, int | None]:
    (made,) = run(Thumbnail(), content, mime_type).renditions
    return made.width, made.height


@pytest.mark.parametrize(
    ("make", "mime_type", "said"),
    [
        (lambda: hostile.scanned_jpeg(8000, 200), "image/jpeg", "too long"),
        (lambda: hostile.scanned_jpeg(4000, 20, arithmetic=True), "image/jpeg", "too long"),
        (lambda: hostile.scanned_jpeg(16_000, 4, arithmetic=True, progressive=False), "image/jpeg", "too long"),
        (lambda: hostile.scanned_jpeg(16_000, 100, progressive=False), "image/jpeg", "too long"),
        (lambda: hostile.scanned_jpeg(16_000, 4, components=3), "image/jpeg", "MiB of memory"),
        (hostile.png_bomb_interlaced, "image/png", "MiB of memory"),
        (hostile.webp_bomb, "image/webp", "MiB of memory"),
        (samples.huge_png, "image/png", "pixels; at most"),
        (lambda: hostile.png(20_000, 20_000, zlib.compress(b"")), "image/png", "400,000,000 pixels; at most"),
    ],
)
def test_a_picture_that_takes_too_much_work_is_refused(make: Callable[[], bytes], mime_type: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said) as raised:
        thumbnail(make(), mime_type)
    assert not isinstance(raised.value, Unreadable)


@pytest.mark.parametrize(
    ("make", "mime_type", "size"),
    [
        (lambda: hostile.scanned_jpeg(4000, 10), "image/jpeg", (640, 640)),
        (lambda: hostile.scanned_jpeg(1000, 10, arithmetic=True), "image/jpeg", (640, 640)),
        (lambda: samples.noisy_jpeg(), "image/jpeg", (640, 480)),
        (lambda: samples.jpeg(800, 400), "image/jpeg", (640, 320)),
    ],
)
def test_an_ordinary_one_is_shown(make: Callable[[], bytes], mime_type: str, size: tuple[int, int]) -> None:
    assert thumbnail(make(), mime_type) == size


def test_of_an_animation_only_so_many_pixels_are_looked_at() -> None:
    """Seven pictures of 64 million pixels fit, where sixty would be looked at for one that is not blank."""
    import pyvips

    from windlass.processing.toolkit import picture_work

    def header(side: int) -> Any:
        strip = pyvips.Image.black(side, side).copy()
        strip.set_type(pyvips.GValue.gint_type, "n-pages", 1000)
        return strip

    assert picture_work.pages(header(8000), 60) == 7
    assert picture_work.pages(header(100), 60) == 60
    assert picture_work.pages(pyvips.Image.black(8, 8), 60) == 1


def test_the_scans_of_a_picture_are_counted_behind_their_data() -> None:
    import pyvips

    noise: Any = pyvips.Image.gaussnoise(300, 200, mean=128, sigma=60).cast("uchar")
    progressive = noise.bandjoin([noise, noise]).copy(interpretation="srgb").jpegsave_buffer(interlace=True)
    found = jpeg_scans.read(io.BytesIO(progressive), 1000)
    assert (found.width, found.height, found.components, found.arithmetic) == (300, 200, 3, False)
    assert (found.scans, found.held) == (10, 300 * 200 * 6)
    assert found.passes == 2 * 3 + 8
    assert jpeg_scans.read(io.BytesIO(samples.noisy_jpeg()), 1000).scans == 1
    assert jpeg_scans.read(io.BytesIO(progressive), 4).passes <= 6


@given(st.binary(max_size=400))
def test_no_bytes_make_a_reader_fail(body: bytes) -> None:
    for head in (b"", b"\xff\xd8\xff\xc2\0\x11", b"\xff\xd8\xff\xda"):
        jpeg_scans.read(io.BytesIO(head + body), 100)


def test_an_animation_has_the_size_of_one_picture() -> None:
    assert thumbnail(rendition_samples.animation("gif"), "image/gif") == (64, 48)
