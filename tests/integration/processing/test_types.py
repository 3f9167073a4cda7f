"""Each kind of file, from its bytes to a record with facts and renditions."""

from __future__ import annotations

import gzip
import hashlib
import uuid
from collections.abc import Callable

import pytest

from tests import samples
from tests.integration.processing.received_files import processed, received, step, store, work_off
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.jobs import api as jobs

READY, REJECTED = FileStatus.READY, FileStatus.REJECTED


@pytest.mark.parametrize(
    ("make", "filename", "mime_type", "columns", "others"),
    [
        (samples.jpeg, "a.jpg", "image/jpeg", {"width": 320, "height": 200}, {"image_format": "jpeg"}),
        (samples.png, "a.png", "image/png", {"width": 64, "height": 48}, {"has_alpha": False}),
        (samples.webp, "a.webp", "image/webp", {"width": 64, "height": 48}, {}),
        (samples.gif, "a.gif", "image/gif", {"width": 32, "height": 24}, {"frames": 3}),
        (samples.pdf, "a.pdf", "application/pdf", {"page_count": 2}, {"title": "A sample", "encrypted": False}),
        (samples.mp4, "a.mp4", "video/mp4", {"width": 320, "height": 240, "duration": 2.0}, {"fps": 25.0}),
        (samples.webm, "a.webm", "video/webm", {"width": 160, "height": 120, "duration": 1.0}, {"codec": "vp8"}),
        (samples.mp3, "a.mp3", "audio/mpeg", {}, {"tags": {"title": "Windlass", "artist": "Anchor"}}),
        (samples.wav, "a.wav", "audio/wav", {}, {"sample_rate": 44100, "channels": 2}),
        (samples.m4a, "a.m4a", "audio/mp4", {}, {"audio_codec": "aac"}),
        (samples.flac, "a.flac", "audio/flac", {}, {"audio_codec": "flac"}),
        (samples.text, "a.txt", "text/plain", {}, {"encoding": "us-ascii"}),
        (samples.archive, "a.zip", "application/zip", {}, {}),
    ],
)
def test_a_file_becomes_ready_with_its_facts(make, filename, mime_type, columns, others) -> None:
    asset = processed(make(), filename)
    assert (asset.status, asset.message) == (READY, "")
    assert (asset.mime_type, asset.progress, asset.gate_passed) == (mime_type, 100, True)
    assert asset.checksum == hashlib.sha256(make()).hexdigest()
    assert {name: getattr(asset, name) for name in columns} == columns
    assert {name: asset.extra_attributes.get(name) for name in others} == others


@pytest.mark.parametrize("make", [samples.mp3, samples.wav, samples.m4a, samples.flac])
def test_audio_has_its_duration(make) -> None:
    assert processed(make(), "sound").duration == pytest.approx(2.0 if make is samples.mp3 else 1.0, abs=0.1)


def test_tags_that_claim_gigabytes_use_little_memory() -> None:
    """A WAV's form and a FLAC's comments, each of 4 GiB by their own word: one is too short then, the other is cut."""
    wav = samples.wav().replace(b"fmt \x10\0\0\0", b"fmt \xf0\xff\xff\xff")
    comments = samples.flac().index(b"fLaC") + 4 + 38 + 4
    flac = samples.flac()[:comments] + b"\xf0\xff\xff\xff" + samples.flac()[comments + 4 :]
    for content, name in ((wav, "a.wav"), (flac, "a.flac")):
        asset = processed(content, name)
        assert asset.status == READY
        assert "memory" not in step(asset, "audio_tags").detail


def test_a_thumbnail_is_upright_and_fits_its_box() -> None:
    """The left half is red; turned to the right, as the camera asks, the upper half is."""
    import pyvips

    asset = processed(samples.jpeg(2000, 1000, samples.TURNED_RIGHT), "turned.jpg")
    rendition = asset.renditions.get(name="thumbnail")
    assert (asset.width, asset.height) == (1000, 2000)
    assert (rendition.mime_type, rendition.width, rendition.height, rendition.kind) == ("image/webp", 320, 640, "image")
    with store(rendition.store).open(rendition.key) as stored:
        data = stored.read()
    picture = pyvips.Image.new_from_buffer(data, "")
    assert len(data) == rendition.size
    assert (picture.width, picture.height) == (320, 640)
    assert picture(160, 100)[0] > 180 > 80 > picture(160, 100)[2]
    assert picture(160, 540)[2] > 180 > 80 > picture(160, 540)[0]


def test_a_thumbnail_is_never_larger_than_the_picture() -> None:
    rendition = processed(samples.png(64, 48), "small.png").renditions.get()
    assert (rendition.width, rendition.height) == (64, 48)


def test_a_rotated_video_has_the_size_as_displayed() -> None:
    asset = processed(samples.mp4(turned=90), "upright.mp4")
    assert (asset.width, asset.height, asset.extra_attributes["rotation"]) == (240, 320, 270)


def test_a_picture_with_too_many_pixels_is_not_decoded() -> None:
    asset = processed(samples.huge_png(20_000), "scan.png")
    assert (asset.status, asset.width, asset.renditions.count()) == (READY, 20_000, 0)
    assert "at most 268,402,689" in step(asset, "thumbnail").detail


@pytest.mark.parametrize(
    ("profile", "side", "limit"),
    [("", 65535, 600_000_000), ("", 24_495, 600_000_000), ("max_pixels = 50_000_000", 7072, 50_000_000)],
)
def test_asvs_5_2_6_a_picture_above_the_pixel_limit_is_rejected_before_it_is_decoded(
    with_profile: Callable[[str], None], profile: str, side: int, limit: int
) -> None:
    with_profile(profile)
    asset = processed(samples.huge_png(side), "bomb.png")
    assert (asset.status, asset.rejection["rule"]) == (REJECTED, "pixels")
    assert (asset.rejection["limit"], asset.rejection["actual"]) == (limit, side**2)
    assert not asset.gate_passed
    assert asset.renditions.count() == 0


def test_a_profile_can_accept_any_number_of_pixels(with_profile: Callable[[str], None]) -> None:
    with_profile("max_pixels = 0")
    assert processed(samples.huge_png(), "bomb.png").status == READY


#: Of each type its content, an extension and the declared type.
KINDS = {
    "png": (samples.png(), "image/png"),
    "pdf": (samples.pdf(), "application/pdf"),
    "html": (samples.html(), "text/html"),
    "zip": (samples.archive("a.txt"), "application/zip"),
    "mp3": (samples.mp3(), "audio/mpeg"),
}


@pytest.mark.parametrize("content", KINDS)
def test_asvs_5_2_2_extension_declared_type_and_content_must_agree(content: str) -> None:
    data = KINDS[content][0]
    for other, (_, declared) in KINDS.items():
        named, typed = processed(data, f"a.{other}"), processed(data, "a", declared_mime_type=declared)
        for asset in (named, typed):
            rule = asset.rejection and asset.rejection["rule"]
            assert rule == (None if other == content else "type-mismatch"), (other, asset.mime_type)


@pytest.mark.parametrize(
    ("content", "filename", "name"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 500, "broken.jpg", "image_facts"),
        (samples.truncated(samples.pdf()), "broken.pdf", "pdf_facts"),
        (samples.truncated(samples.mp4()), "broken.mp4", "av_facts"),
    ],
)
def test_a_damaged_file_becomes_ready_and_its_step_has_the_reason(content: bytes, filename: str, name: str) -> None:
    asset = processed(content, filename)
    assert asset.status == READY
    assert step(asset, name).state == StepState.FAILED
    assert "cannot be read" in step(asset, name).detail


def test_an_empty_file_becomes_ready() -> None:
    asset = processed(b"", "nothing.txt")
    assert (asset.status, asset.mime_type, asset.size) == (READY, "application/x-empty", 0)


def test_html_named_as_a_picture_is_rejected_with_the_reason() -> None:
    asset = processed(samples.html(), "holiday.jpg")
    assert (asset.status, asset.gate_passed) == (REJECTED, False)
    assert asset.rejection == {
        "rule": "type-mismatch",
        "detail": "The name ends in .jpg, which is image/jpeg, but the content is text/html."
        " Rename it to .html, or send it to a profile with check_mismatch = false.",
        "limit": "image/jpeg",
        "actual": "text/html",
    }
    assert step(asset, "type_rules").state == StepState.FAILED
    assert [job.stage for job in jobs.Job.objects.filter(file_id=asset.id)] == [jobs.Stage.INTAKE]


def test_a_declared_type_that_the_content_contradicts_is_rejected() -> None:
    asset = processed(samples.pdf(), "paper", declared_mime_type="image/png")
    assert (asset.status, asset.rejection["rule"]) == (REJECTED, "type-mismatch")
    assert (asset.rejection["limit"], asset.rejection["actual"]) == ("image/png", "application/pdf")


@pytest.mark.parametrize(
    ("content", "filename", "declared"),
    [
        (samples.wav(), "sound.wav", "audio/x-wav"),
        (samples.archive("word/document.xml"), "letter.docx", "application/zip"),
        (samples.svg(), "drawing.svg", "application/xml"),
        (samples.jpeg(), "photo.JPG", "image/jpg"),
        (samples.pdf(), "paper.pdf", "application/octet-stream"),
        (b"a,b\n1,2\n3,4\n", "table.csv", "application/vnd.ms-excel"),
        (b"Content-Type: application/pdf\r\n\r\n" + samples.pdf(), "invoice.pdf", "text/pdf"),
        (gzip.compress(b"Haul away."), "notes.txt.gz", "text/plain"),
        (b"P6 seats are free; see %PDF-1.4.\n", "seats.md", "text/x-markdown"),
    ],
)
def test_an_alias_of_the_type_is_no_mismatch(content: bytes, filename: str, declared: str) -> None:
    assert processed(content, filename, declared_mime_type=declared).status == READY


def test_a_wrong_checksum_is_rejected_with_both_digests() -> None:
    asset = processed(samples.text(), "a.txt", expected_sha256="0" * 64)
    assert asset.status == REJECTED
    assert (asset.rejection["rule"], asset.rejection["limit"]) == ("checksum", "0" * 64)
    assert asset.rejection["actual"] == hashlib.sha256(samples.text()).hexdigest()


def test_a_digest_that_the_receiver_knows_is_not_computed_again() -> None:
    """Told a digest that is not the content's, the step believes it: it did not read."""
    asset = processed(samples.text(), "a.txt", checksum="ab" * 32)
    assert (asset.status, asset.checksum) == (READY, "ab" * 32)


def test_the_same_content_of_the_same_owner_is_a_duplicate() -> None:
    owner = f"owner-{uuid.uuid4()}"
    first = processed(samples.png(), "one.png", owner=owner)
    again = processed(samples.png(), "two.png", owner=owner)
    stranger = processed(samples.png(), "three.png")
    assert again.duplicate_of_id == first.id
    assert (first.duplicate_of_id, stranger.duplicate_of_id) == (None, None)


@pytest.mark.parametrize(
    ("setting", "content", "filename", "rule"),
    [
        ({"ALLOWED_MIME_TYPES": "image/*"}, samples.pdf(), "a.pdf", "type-not-allowed"),
        ({"BLOCKED_MIME_TYPES": "application/pdf"}, samples.pdf(), "a.pdf", "type-blocked"),
        ({"ALLOWED_EXTENSIONS": "pdf,png"}, samples.text(), "a.txt", "extension-not-allowed"),
        ({"MAX_UPLOAD_SIZE": "5"}, samples.text(), "a.txt", "size"),
    ],
)
def test_a_file_that_breaks_a_rule_is_rejected(settings, setting, content, filename, rule) -> None:
    settings(**setting)
    asset = processed(content, filename)
    assert (asset.status, asset.rejection["rule"]) == (REJECTED, rule)
    assert asset.rejection["actual"] is not None


def test_a_block_on_svg_applies_in_every_encoding(settings) -> None:
    settings(BLOCKED_MIME_TYPES="image/svg+xml")
    content = f"<?xml version='1.0' encoding='utf-16'?><!--{'x' * 9000}-->{samples.svg().decode()}"
    assert processed(content.encode("utf-16"), "drawing.svg").rejection["rule"] == "type-blocked"


def test_an_allowed_type_is_accepted_under_every_alias(settings) -> None:
    settings(ALLOWED_MIME_TYPES="audio/x-wav")
    assert processed(samples.wav(), "a.wav").status == READY


def test_a_file_without_bytes_fails() -> None:
    asset = received(samples.text(), "a.txt")
    store(asset.blob.store).delete(asset.blob.key)
    asset = work_off(asset)
    assert (asset.status, FileAsset.objects.get(id=asset.id).gate_passed) == (FileStatus.FAILED, False)
    assert "no longer in the store" in asset.message
