"""The pixels of thumbnails, through the real sandbox."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tests import rendition_samples as made
from tests import samples
from tests.integration.processing.received_files import processed, step, store, work_off
from windlass.conf import BadSetting
from windlass.files.api import FileAsset, FileStatus, Rendition, StepState, profile
from windlass.processing import api as processing

Colour = tuple[int, ...]


def picture(asset: FileAsset, name: str = "thumbnail") -> Any:
    import pyvips

    return pyvips.Image.new_from_buffer(content(asset.renditions.get(name=name)), "")


def content(rendition: Rendition) -> bytes:
    with store(rendition.store).open(rendition.key) as stored:
        return bytes(stored.read())


def assert_colour(found: Any, expected: Colour, tolerance: int = 25) -> None:
    assert all(abs(one - other) <= tolerance for one, other in zip(found, expected, strict=False)), (found, expected)


def assert_red_and_blue(shown: Any, *, across: bool = True) -> None:
    """Red on the left, or above; blue on the other side."""
    middle = (shown.width // 2, shown.height // 2)
    first = (shown.width // 4, middle[1]) if across else (middle[0], shown.height // 4)
    last = (shown.width - first[0], middle[1]) if across else (middle[0], shown.height - first[1])
    assert_colour(shown(*first), made.RED, 45)
    assert_colour(shown(*last), made.BLUE, 45)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_rotated_by_their_exif_orientation(orientation: int) -> None:
    shown = picture(processed(samples.jpeg(800, 400, orientation), "a.jpg"))
    lying = orientation >= 5
    assert (shown.width, shown.height) == ((320, 640) if lying else (640, 320))
    red = shown(160, 100) if lying else shown(100, 160)
    if orientation in (2, 3, 7, 8):
        red = shown(160, 540) if lying else shown(540, 160)
    assert red[0] > 180 > 80 > red[2]


@pytest.mark.parametrize("depth", [8, 16])
def test_wide_gamut_colours_are_converted_to_srgb(depth: int) -> None:
    """Its numbers are others than sRGB's, and the thumbnail has no profile any more."""
    import pyvips

    content = made.in_profile("p3", depth)
    raw = pyvips.Image.new_from_buffer(content, "")(10, 10)
    assert abs(raw[0] / (257 if depth == 16 else 1) - made.ORANGE[0]) > 8
    shown = picture(processed(content, "wide.png"))
    assert_colour(shown(50, 50), made.ORANGE, 4)
    assert (shown.bands, shown.format, shown.get_typeof("icc-profile-data")) == (3, "uchar", 0)


def test_cmyk_is_converted_to_srgb() -> None:
    shown = picture(processed(made.in_profile("cmyk"), "print.jpg"))
    assert shown.bands == 3
    assert_colour(shown(50, 50), made.ORANGE, 8)


def test_transparency_is_kept_or_flattened_on_white(with_profile: Callable[[str], None]) -> None:
    shown = picture(processed(made.see_through_png(), "a.png"))
    assert (shown(20, 50)[3], shown(180, 50)[3]) == (255, 0)
    with_profile('thumbnail_format = "jpeg"')
    asset = processed(made.see_through_png(), "a.png")
    assert asset.renditions.get().mime_type == "image/jpeg"
    assert_colour(picture(asset)(20, 50), made.RED)
    assert_colour(picture(asset)(180, 50), (255, 255, 255))


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_the_thumbnail_of_an_animation_is_not_blank(format: str) -> None:
    shown = picture(processed(made.animation(format), f"a.{format}"))
    assert shown.get_typeof("n-pages") == 0
    assert_red_and_blue(shown)


def test_every_width_of_the_profile_is_made(with_profile: Callable[[str], None]) -> None:
    with_profile("thumbnail_widths = [200, 400, 100, 1600]")
    asset = processed(samples.jpeg(800, 400), "a.jpg")
    sizes = {found.name: (found.kind, found.width, found.height) for found in asset.renditions.all()}
    assert sizes == {
        "thumbnail": ("image", 200, 100),
        "thumbnail-400": ("image", 400, 200),
        "thumbnail-100": ("image", 100, 50),
        "thumbnail-1600": ("image", 800, 400),
    }
    for name, (_, width, height) in sizes.items():
        shown = picture(asset, name)
        assert (shown.width, shown.height) == (width, height)
        assert_red_and_blue(shown)


@pytest.mark.parametrize(
    "keys",
    [
        "thumbnail_widths = []",
        "thumbnail_widths = [0]",
        "thumbnail_widths = [5000]",
        'thumbnail_widths = ["640"]',
        "thumbnail_widths = [640, 640]",
        "thumbnail_widths = 640",
        'thumbnail_format = "gif"',
        "preview_height = 4",
        "thumbnail_width = 640",
    ],
)
def test_invalid_widths_end_the_start(with_profile: Callable[[str], None], keys: str) -> None:
    with_profile(keys)
    with pytest.raises(BadSetting, match=r"thumbnail_|preview_height"):
        profile("default")


def test_renditions_that_a_changed_profile_does_not_ask_for_are_deleted(with_profile: Callable[[str], None]) -> None:
    """Rows, objects and names; at the end of the next run."""
    with_profile("thumbnail_widths = [200, 400]")
    asset = processed(samples.jpeg(800, 400), "a.jpg")
    assert asset.renditions.count() == 2
    with_profile("thumbnail_widths = [300]")
    processing.reprocess(asset)
    asset = work_off(asset)
    assert [(found.name, found.width, found.run) for found in asset.renditions.all()] == [("thumbnail", 300, 2)]
    prefix = f"renditions/{asset.id}/"
    assert [found.key for found in store().objects(prefix)] == [f"{prefix}thumbnail"]
    with_profile("thumbnails = false")
    processing.reprocess(asset)
    assert work_off(asset).renditions.count() == 0
    assert list(store().objects(prefix)) == []


def test_the_thumbnail_of_a_video_is_not_black() -> None:
    asset = processed(made.film(black=1.5), "film.mp4")
    rendition = asset.renditions.get()
    assert (rendition.name, rendition.mime_type, rendition.width, rendition.height) == (
        "thumbnail",
        "image/webp",
        320,
        180,
    )
    assert_red_and_blue(picture(asset))


def test_the_first_good_position_of_a_video_is_selected() -> None:
    asset = processed(made.film(black=1, keyframes=10, seconds=6), "film.mp4")
    assert_red_and_blue(picture(asset))
    assert step(asset, "video_thumbnail").detail.startswith("at 1.2 s")


def test_a_video_that_is_black_throughout_is_black() -> None:
    assert_colour(picture(processed(made.film(black=100, seconds=2), "night.mp4"))(100, 100), (0, 0, 0))


@pytest.mark.slow
@pytest.mark.parametrize(("container", "codec"), [("webm", "libvpx"), ("avi", "mpeg4"), ("matroska", "libx264")])
def test_videos_in_other_containers(container: str, codec: str) -> None:
    assert_red_and_blue(picture(processed(made.film(container=container, codec=codec, black=1), "film")))


def test_a_video_is_rotated_and_mirrored_by_its_display_matrix() -> None:
    turned = picture(processed(made.film(matrix=made.TURNED), "turned.mp4"))
    assert (turned.width, turned.height) == (180, 320)
    assert_red_and_blue(turned, across=False)
    assert_red_and_blue(picture(processed(made.film(matrix=made.MIRRORED), "mirrored.mp4")).fliphor())


def test_video_pixels_are_made_square() -> None:
    shown = picture(processed(made.film(aspect=Fraction(2)), "wide.mp4"))
    assert (shown.width, shown.height) == (640, 180)
    shown = picture(processed(made.film(aspect=Fraction(1, 2)), "high.mp4"))
    assert (shown.width, shown.height) == (320, 360)


@pytest.mark.slow
def test_high_dynamic_range_is_mapped() -> None:
    """The same codes mean more light under PQ: shown as they are, red would be dull and grey."""
    options = (("x265-params", "log-level=none"),)
    shown = picture(processed(made.film(codec="libx265", hdr=True, options=options), "hdr.mp4"))
    red = shown(60, 90)
    assert red[0] - max(red[1:3]) > 150


@pytest.mark.parametrize("name", ["sound.mp4", "sound"])
def test_a_video_file_without_video_shows_its_waveform_or_cover(name: str) -> None:
    asset = processed(made.tone("mp4", "aac"), name)
    assert asset.mime_type == "audio/mp4"
    assert (asset.status, asset.renditions.count()) == (FileStatus.READY, 2)
    assert {found.name for found in asset.renditions.all()} == {"thumbnail", "waveform"}


def test_a_profile_for_audio_accepts_it_in_any_container(with_profile: Callable[[str], None]) -> None:
    with_profile('allowed_mime_types = ["audio/*"]')
    assert processed(made.tone("mp4", "aac"), "memo.mp4").status == FileStatus.READY
    assert processed(made.film(seconds=1), "film.m4a").status == FileStatus.REJECTED


def test_a_damaged_video_has_a_thumbnail_of_its_readable_part() -> None:
    whole = made.film(container="matroska", keyframes=10)
    assert_red_and_blue(picture(processed(made.damaged(whole), "film.mkv")))


def test_an_invalid_video_has_no_thumbnail_and_a_reason() -> None:
    asset = processed(samples.truncated(samples.mp4()), "broken.mp4")
    assert (asset.status, asset.renditions.count()) == (FileStatus.READY, 0)
    assert (step(asset, "video_thumbnail").state, "cannot be read" in step(asset, "video_thumbnail").detail) == (
        StepState.FAILED,
        True,
    )


@pytest.mark.parametrize(
    ("content", "filename", "name"),
    [
        (samples.mp4().replace(b"mp4v", b"zzzz").replace(b"esds", b"zzzz"), "unknown.mp4", "video_thumbnail"),
        (samples.m4a().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"), "unknown.m4a", "waveform"),
    ],
)
def test_an_unknown_codec_is_reported(content: bytes, filename: str, name: str) -> None:
    asset = processed(content, filename)
    assert step(asset, name).detail == "The recording cannot be read: its codec is not known here."


def test_the_thumbnail_of_a_pdf_is_its_first_page() -> None:
    asset = processed(made.red_and_blue_pdf(), "a.pdf")
    shown = picture(asset)
    assert (shown.width, shown.height) == (320, 640)
    assert_red_and_blue(shown, across=False)
    assert_colour(picture(processed(samples.pdf(), "white.pdf"))(10, 10), (255, 255, 255))


def test_an_encrypted_pdf_has_no_thumbnail_and_a_reason() -> None:
    asset = processed(made.locked_pdf(), "a.pdf")
    assert (asset.status, asset.renditions.count()) == (FileStatus.READY, 0)
    ended = step(asset, "pdf_thumbnail")
    assert (ended.state, ended.detail) == ("skipped", "A password is needed to read it.")


@pytest.mark.parametrize(
    ("content", "filename", "size"),
    [
        (made.docx(jpeg=made.preview()), "a.docx", (400, 300)),
        (made.docx(png=samples.png(64, 48)), "a.docx", (64, 48)),
        (made.odt(), "a.odt", (200, 100)),
        (made.epub(), "a.epub", (400, 300)),
        (made.epub(cover="", meta='<meta name="cover" content="picture"/>'), "a.epub", (400, 300)),
    ],
)
def test_the_thumbnail_of_a_document_is_its_stored_preview(
    content: bytes, filename: str, size: tuple[int, int]
) -> None:
    asset = processed(content, filename)
    shown = picture(asset)
    assert (shown.width, shown.height) == size
    assert_red_and_blue(shown)


@pytest.mark.parametrize(
    ("content", "said", "state"),
    [
        (made.docx(), "no preview in it", StepState.DONE),
        (made.docx(emf=b"\x01\x00\x00\x00"), "its preview is a Windows drawing, which is not read", StepState.DONE),
        (made.docx(jpeg=b"\xff\xd8no picture"), "The preview cannot be read", StepState.FAILED),
        (made.docx(png=samples.svg()), "The preview cannot be read", StepState.FAILED),
        (made.epub(cover=""), "no preview in it", StepState.DONE),
        (made.epub(doctype='<!DOCTYPE d [<!ENTITY a "aaaa">]>'), "declares entities", StepState.FAILED),
    ],
)
def test_documents_without_a_preview_have_a_reason(content: bytes, said: str, state: StepState) -> None:
    asset = processed(content, "document")
    assert (asset.status, asset.renditions.count()) == (FileStatus.READY, 0)
    assert said in step(asset, "document_thumbnail").detail
    assert step(asset, "document_thumbnail").state == state


@pytest.mark.parametrize(
    ("container", "codec", "attached"),
    [("mp3", "libmp3lame", True), ("mp4", "aac", False), ("matroska", "libopus", False)],
)
def test_the_thumbnail_of_audio_is_its_cover_art(container: str, codec: str, attached: bool) -> None:
    """Marked as a cover, or a stream with one picture."""
    asset = processed(made.with_cover(container, codec, attached=attached), "song")
    shown = picture(asset)
    assert (shown.width, shown.height) == (300, 300)
    assert_red_and_blue(shown)
    assert asset.renditions.filter(name="waveform").exists()


def test_audio_without_cover_art_shows_its_waveform() -> None:
    """Its first half is silent."""
    asset = processed(made.tone(), "tone.wav")
    shown = picture(asset)
    assert (shown.width, shown.height) == (640, 160)
    silent, loud = shown.crop(0, 55, 300, 20), shown.crop(340, 55, 300, 20)
    assert silent.avg() > 200 > loud.avg()
