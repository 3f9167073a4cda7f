"""Pictures, by the steps themselves: what takes too much work is refused before it is decoded, with the reason."""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import rendition_samples, samples
from tests.hostile.files import pictures as hostile
from tests.minimal_files import KINDS
from tests.pure.test_recording_types import type_of
from windlass.processing.contract import PermanentError, StepContext, StepResult, Unreadable
from windlass.processing.formats.pictures import jpeg_scans, picture_headers
from windlass.processing.steps.image_facts import ImageFacts
from windlass.processing.steps.thumbnails import DocumentThumbnail, Thumbnail

PROFILE: dict[str, Any] = {"thumbnail_widths": [640], "thumbnail_format": "webp"}


def run(step: Any, content: bytes, mime_type: str, profile: dict[str, Any] = PROFILE) -> StepResult:
    with tempfile.NamedTemporaryFile() as written:
        written.write(content)
        written.flush()
        facts = {"mime_type": mime_type, "size": len(content), "metadata": {}, "filename": "a"}
        with Path(written.name).open("rb") as file:
            result = step.run(StepContext(file, facts, profile, io.BytesIO()))
        assert isinstance(result, StepResult)
        return result


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
def test_a_picture_beyond_the_decoding_limits_is_refused(make: Callable[[], bytes], mime_type: str, said: str) -> None:
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
def test_a_picture_within_the_limits_has_a_thumbnail(
    make: Callable[[], bytes], mime_type: str, size: tuple[int, int]
) -> None:
    assert thumbnail(make(), mime_type) == size


def test_the_decoded_pixels_of_an_animation_are_limited() -> None:
    """Seven pictures of 64 million pixels fit, where sixty would be looked at for one that is not blank."""
    import pyvips

    from windlass.processing.toolkit import decode_limits

    def header(side: int) -> Any:
        strip = pyvips.Image.black(side, side).copy()
        strip.set_type(pyvips.GValue.gint_type, "n-pages", 1000)
        return strip

    assert decode_limits.max_pages(header(8000), 60) == 7
    assert decode_limits.max_pages(header(100), 60) == 60
    assert decode_limits.max_pages(pyvips.Image.black(8, 8), 60) == 1


def test_the_scans_of_a_progressive_jpeg_are_counted() -> None:
    import pyvips

    noise: Any = pyvips.Image.gaussnoise(300, 200, mean=128, sigma=60).cast("uchar")
    progressive = noise.bandjoin([noise, noise]).copy(interpretation="srgb").jpegsave_buffer(interlace=True)
    found = jpeg_scans.read_scans(io.BytesIO(progressive), 1000)
    assert (found.width, found.height, found.components, found.arithmetic) == (300, 200, 3, False)
    assert (found.scans, found.held) == (10, 300 * 200 * 6)
    assert found.passes == 2 * 3 + 8
    assert jpeg_scans.read_scans(io.BytesIO(samples.noisy_jpeg()), 1000).scans == 1
    assert jpeg_scans.read_scans(io.BytesIO(progressive), 4).passes <= 6


@given(st.binary(max_size=400))
def test_arbitrary_bytes_do_not_crash_the_readers(body: bytes) -> None:
    for head in (b"", b"\xff\xd8\xff\xc2\0\x11", b"\xff\xd8\xff\xda"):
        jpeg_scans.read_scans(io.BytesIO(head + body), 100)


def test_an_animation_has_the_size_of_one_picture() -> None:
    assert thumbnail(rendition_samples.animation("gif"), "image/gif") == (64, 48)


ICON = rendition_samples.icon((16, 16, rendition_samples.icon_picture(16, 16)), (64, 48, samples.png(64, 48)))
CURSOR = rendition_samples.icon((32, 32, rendition_samples.icon_picture(32, 32)), kind=2)


@pytest.mark.parametrize(
    ("content", "filename", "expected", "size"),
    [
        (rendition_samples.bitmap("bmp", "bgr24"), "a.bmp", "image/bmp", (64, 48)),
        (rendition_samples.bitmap("bmp", "bgra"), "a.bmp", "image/bmp", (64, 48)),
        (rendition_samples.bitmap("bmp", "bgr24", 1600, 800), "a.bmp", "image/bmp", (1600, 800)),
        (rendition_samples.bitmap("targa", "bgr24"), "a.tga", "image/x-tga", (64, 48)),
        (rendition_samples.bitmap("targa", "bgra"), "a.tga", "image/x-tga", (64, 48)),
        (rendition_samples.bitmap("ppm"), "a.ppm", "image/x-portable-pixmap", (64, 48)),
        (rendition_samples.bitmap("ppm", "rgb48be"), "a.ppm", "image/x-portable-pixmap", (64, 48)),
        (rendition_samples.bitmap("pam", "rgba"), "a.pam", "image/x-portable-anymap", (64, 48)),
        (rendition_samples.bitmap("pcx"), "a.pcx", "image/vnd.zbrush.pcx", (64, 48)),
        (ICON, "a.ico", "image/vnd.microsoft.icon", (64, 48)),
        (CURSOR, "a.cur", "image/x-win-bitmap", (32, 32)),
    ],
)
def test_older_formats_have_a_size_and_a_thumbnail(
    content: bytes, filename: str, expected: str, size: tuple[int, int]
) -> None:
    assert type_of(content, filename) == expected
    facts = run(ImageFacts(), content, expected).facts
    assert (facts["width"], facts["height"]) == size
    shown = run(Thumbnail(), content, expected)
    (made,) = shown.renditions
    assert (made.width, made.height) == (min(640, size[0]), min(size[1], size[1] * 640 // size[0]))


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (rendition_samples.bitmap("bmp", "bgr24")[:54], "image/bmp"),
        (b"BM" + bytes(100), "image/bmp"),
        (b"P6 99999 99999 255\n" + bytes(100), "image/x-portable-pixmap"),
        (b"P5\n", "image/x-portable-graymap"),
        (bytes(18), "image/x-tga"),
        (b"\0\0\1\0\1\0" + bytes(100), "image/vnd.microsoft.icon"),
        (hostile.bmp_of_absurd_size(), "image/bmp"),
        (hostile.icon_of_many(), "image/vnd.microsoft.icon"),
    ],
)
def test_damaged_pictures_are_unreadable(content: bytes, mime_type: str) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        run(Thumbnail(), content, mime_type)


@given(st.binary(max_size=200), st.sampled_from([b"", b"P6 ", b"P7\n", b"\x0a\5\1\x08", b"\0\0\1\0"]))
def test_arbitrary_bytes_do_not_crash_the_header_readers(body: bytes, head: bytes) -> None:
    for name in ("bmp", "ico", "tga", "pcx", "portable_map"):
        getattr(picture_headers, name)(head + body)


def picture(content: bytes, mime_type: str) -> Any:
    """The thumbnail, decoded."""
    import pyvips

    context_output = io.BytesIO()
    with tempfile.NamedTemporaryFile() as written:
        written.write(content)
        written.flush()
        facts = {"mime_type": mime_type, "size": len(content), "metadata": {}, "filename": "a"}
        with Path(written.name).open("rb") as file:
            Thumbnail().run(StepContext(file, facts, PROFILE, context_output))
    return pyvips.Image.new_from_buffer(context_output.getvalue(), "")


def lossless_webp() -> bytes:
    import pyvips

    return bytes(pyvips.Image.new_from_buffer(samples.jpeg(), "").webpsave_buffer(lossless=True, keep="none"))


@pytest.mark.parametrize("make", [samples.webp, lossless_webp, samples.animated_webp])
@pytest.mark.parametrize("lacking", [1, 2, 3])
def test_a_truncated_picture_has_a_size_and_a_thumbnail(make: Callable[[], bytes], lacking: int) -> None:
    whole = make()
    facts = run(ImageFacts(), whole[:-lacking], "image/webp").facts
    assert facts["width"] == run(ImageFacts(), whole, "image/webp").facts["width"]
    if lacking == 1:
        assert thumbnail(whole[:-lacking], "image/webp") == (facts["width"], facts["height"])


def test_a_half_picture_has_a_size() -> None:
    whole = lossless_webp()
    assert run(ImageFacts(), whole[: len(whole) // 2], "image/webp").facts["width"] == 320


@pytest.mark.parametrize(
    ("make", "mime_type", "expected"),
    [
        (lambda: rendition_samples.animated_png(), "image/png", {"frames": 5, "loop": 0, "duration": 0.5, "width": 64}),
        (
            lambda: rendition_samples.picture_sequence(),
            "image/avif",
            {"frames": 5, "duration": 0.5, "width": 64, "height": 48},
        ),
        (lambda: rendition_samples.hdr_picture("png", 16), "image/png", {"hdr": "pq", "frames": None}),
        (lambda: rendition_samples.hdr_picture("png", 18), "image/png", {"hdr": "hlg", "bit_depth": 16}),
        (lambda: rendition_samples.hdr_picture("png", 13), "image/png", {"hdr": None}),
        (lambda: rendition_samples.hdr_picture("avif", 16), "image/avif", {"hdr": "pq", "width": 64}),
        (lambda: samples.animated_webp(delay=0), "image/webp", {"frames": 4, "duration": 0.4}),
        (lambda: hostile.apng_of_many_frames(), "image/png", {"frames": 1000, "width": 1}),
    ],
)
def test_formats_without_libvips_support_have_facts(
    make: Callable[[], bytes], mime_type: str, expected: dict[str, Any]
) -> None:
    facts = run(ImageFacts(), make(), mime_type).facts
    assert {name: facts.get(name) for name in expected} == expected


@pytest.mark.slow
@pytest.mark.parametrize("format", ["png", "avif", "profile"])
def test_a_high_dynamic_range_is_mapped(format: str) -> None:
    """The same numbers mean more light: shown as they are, they would be dull and grey."""
    mime_type = "image/avif" if format == "avif" else "image/png"
    red = picture(rendition_samples.hdr_picture(format, 16), mime_type)(32, 24)
    grey = picture(rendition_samples.hdr_picture("png", 13), "image/png")(32, 24)
    assert red[0] - max(red[1:3]) > 140
    assert grey[0] - max(grey[1:3]) < 110


def test_the_thumbnail_of_a_sequence_is_its_first_picture() -> None:
    shown = picture(rendition_samples.picture_sequence(), "image/avif")
    assert (shown.width, shown.height) == (64, 48)


@pytest.mark.parametrize("ending", ["docx", "xlsx", "pptx"])
def test_an_encrypted_document_has_no_thumbnail_and_does_not_fail(ending: str) -> None:
    content = KINDS["locked.docx"].make()
    result = run(DocumentThumbnail(), content, KINDS[f"a.{ending}"].mime_type)
    assert (result.renditions, result.detail, result.skipped) == ((), "A password is needed to read it.", True)
