"""Facts and rules, from a file's bytes through the sandbox to its record."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest

from tests import samples
from tests.integration.processing.received_files import job_of, processed, received, step, work_off
from tests.minimal_files import KINDS, zipped
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.http.file_records import file_record
from windlass.jobs import api as jobs
from windlass.processing import api as processing

READY, REJECTED = FileStatus.READY, FileStatus.REJECTED
PROFILES = """
[strict]
max_pixels = 10_000
max_duration = 1.5
max_pages = 1
encrypted = false
[open]
show_location = true
[bombs]
max_archive_entries = 2
"""


@pytest.fixture
def profiles(settings, tmp_path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(PROFILES)
    settings(WINDLASS_PROFILES=str(path))


def facts(asset: FileAsset) -> dict[str, Any]:
    columns = {name: getattr(asset, name) for name in ("width", "height", "duration", "page_count")}
    return asset.extra_attributes | {name: value for name, value in columns.items() if value is not None}


CAMERA = {
    "make": "Anchor & Sons",
    "model": "Haul (II), black",
    "lens": "35mm f/1.8",
    "software": "Pawl 1.0",
    "artist": "Ann",
    "copyright": "Ann, 2024",
    "taken_at": "2024-05-06T07:08:09+02:00",
    "exposure_seconds": 0.004,
    "aperture": 1.8,
    "iso": 400,
    "focal_length_mm": 35.0,
    "focal_length_35mm": 52,
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_exif_facts_have_no_location(suffix: str) -> None:
    asset = processed(samples.camera_jpeg(suffix), f"a{suffix}")
    assert asset.extra_attributes["exif"] == CAMERA
    assert asset.extra_attributes["color_profile"]
    facts = json.dumps(file_record(asset)["extra_attributes"])
    assert "33.85" not in facts
    assert "GPS" not in facts


def test_a_profile_may_keep_the_location_and_reprocessing_removes_it(profiles: None) -> None:
    asset = processed(samples.camera_jpeg(), "a.jpg", profile="open")
    place = {"latitude": -33.858333, "longitude": 151.2, "altitude": 58.5}
    assert asset.extra_attributes["location"] == place
    FileAsset.objects.filter(id=asset.id).update(profile="default")
    asset.refresh_from_db()
    processing.reprocess(asset)
    assert work_off(asset).extra_attributes["location"] is None


def test_the_location_of_a_video_is_kept_only_if_the_profile_says_so(profiles: None) -> None:
    told = processed(samples.told_mov(), "a.mov", profile="open").extra_attributes
    assert told["location"] == {"latitude": 59.3293, "longitude": 18.0686}
    assert (told["tags"], told["created_at"]) == ({"title": "Hauling"}, "2024-05-06T07:08:09+00:00")
    assert "59.3" not in json.dumps(processed(samples.told_mov(), "a.mov").extra_attributes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_has_the_size_as_displayed(orientation: int) -> None:
    asset = processed(samples.camera_jpeg(orientation=orientation), "a.jpg")
    assert asset.extra_attributes["orientation"] == orientation
    assert (asset.width, asset.height) == ((120, 80) if orientation < 5 else (80, 120))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "filename", "expected"),
    [
        (samples.camera_jpeg, "a.jpg", {"dpi": 300, "color_space": "rgb", "bit_depth": 8, "pixel_channels": 3}),
        (samples.animated_webp, "a.webp", {"frames": 4, "loop": 3, "duration": 1.0}),
        (lambda: samples.tiff(pages=3), "a.tiff", {"page_count": 3, "width": 64, "height": 48}),
        (lambda: samples.heic(128, 64, 1), "a.heic", {"width": 64, "height": 128, "image_format": "heif"}),
        (lambda: samples.avif(64, 48, 6), "a.avif", {"width": 48, "height": 64}),
        (KINDS["a.bmp"].make, "a.bmp", {"width": 2, "height": 3, "bit_depth": 24}),
        (KINDS["a.ico"].make, "a.ico", {"width": 256, "height": 256, "image_format": "ico"}),
        (
            samples.rich_pdf,
            "a.pdf",
            {
                "page_count": 1,
                "encrypted": False,
                "title": "A form",
                "author": "Ann",
                "subject": "Chains",
                "keywords": "haul, pawl",
                "creator": "Pen",
                "producer": "Press",
                "created_at": "2024-05-06T07:08:09+02:00",
                "modified_at": "2024-05-07T00:00:00",
                "page_width": 200,
                "page_height": 100,
                "pdf_version": "1.7",
                "has_text": True,
                "form": "acroform",
                "form_fields": 2,
                "attachments": 1,
                "has_javascript": True,
            },
        ),
        (samples.pdf, "a.pdf", {"has_text": False, "has_javascript": False}),
        (lambda: samples.locked_pdf(b"secret"), "a.pdf", {"encrypted": True}),
        (samples.locked_pdf, "a.pdf", {"encrypted": False, "restricted": True, "page_count": 1}),
        (samples.live_webm, "a.webm", {"duration": 2.0, "fps": 25.0, "container": "matroska"}),
        (lambda: samples.live_webm(2, True), "a.webm", {"duration": 1.96, "fps": 18.878}),
        (samples.uneven_mp4, "a.mp4", {"duration": 1.96, "fps": 18.878}),
        (samples.wide_mp4, "a.mp4", {"width": 320, "height": 120}),
        (samples.hdr_mp4, "a.mp4", {"hdr": "pq", "pixel_format": "yuv420p10le", "codec": "hevc"}),
        (lambda: samples.mp4(turned=180), "a.mp4", {"width": 320, "height": 240, "rotation": 180}),
        (KINDS["a.mpg"].make, "a.mpg", {"duration": 1.0}),
        (KINDS["a.aac"].make, "a.aac", {"duration": 1.045, "codec": "aac"}),
        (KINDS["a.ts"].make, "a.ts", {"duration": 1.0, "codec": "mpeg2video"}),
        (KINDS["a.wma"].make, "a.wma", {"codec": "wmav2", "tags": {"title": "Windlass", "artist": "Anchor"}}),
        (KINDS["a.opus"].make, "a.opus", {"codec": "opus", "tags": {"title": "Windlass", "artist": "Anchor"}}),
        (KINDS["a.aiff"].make, "a.aiff", {"tags": {"title": "Windlass"}, "channels": 2}),
    ],
)
def test_each_type_has_its_facts(make: Any, filename: str, expected: dict[str, Any]) -> None:
    asset = processed(make(), filename)
    found = facts(asset)
    assert asset.status == READY
    assert {name: found.get(name) for name in expected} == expected


def test_a_cover_picture_is_no_video_stream() -> None:
    asset = processed(samples.mp3_with_cover(), "a.mp3")
    told = asset.extra_attributes
    assert (told["codec"], told["has_cover"], told["tags"]["title"]) == ("mp3", True, "Covered")
    assert [stream["type"] for stream in told["streams"]] == ["audio", "cover"]
    assert asset.width is None


def test_every_stream_is_listed_with_its_language() -> None:
    told = processed(samples.two_languages(), "a.mka").extra_attributes
    sound = {"type": "audio", "codec": "flac", "channels": 1, "sample_rate": 44100}
    assert told["streams"] == [sound | {"language": "swe"}, sound | {"language": "jpn"}]
    assert told["chapters"] == 2


def test_a_truncated_recording_has_the_duration_of_its_rest() -> None:
    asset = processed(samples.truncated(samples.live_webm(), 0.5), "a.webm")
    assert 0 < asset.duration < 2


@pytest.mark.parametrize(
    ("make", "filename", "rule", "limit"),
    [
        (lambda: samples.png(200, 60), "a.png", "pixels", 10_000),
        (samples.huge_png, "a.png", "pixels", 10_000),
        (lambda: samples.wav(2), "a.wav", "duration", 1.5),
        (samples.pdf, "a.pdf", "pages", 1),
        (lambda: samples.locked_pdf(b"secret"), "a.pdf", "encrypted", False),
        (lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(500), "a.jpg", "content-unreadable", 10_000),
    ],
)
def test_a_broken_limit_rejects_before_renditions_are_created(
    profiles: None, make: Any, filename: str, rule: str, limit: Any
) -> None:
    asset = processed(make(), filename, profile="strict")
    assert (asset.status, asset.rejection["rule"], asset.rejection["limit"]) == (REJECTED, rule, limit)
    assert (asset.gate_passed, asset.renditions.count()) == (False, 0)
    assert step(asset, "content_rules").state == StepState.FAILED
    assert {"name": "content_rules", "state": "failed"}.items() <= file_record(asset)["checks"][-1].items()


@cache
def bomb(kind: str) -> bytes:
    """Twenty million letters that are all the same."""
    letters = b"a" * 20_000_000
    if kind == "gz":
        return gzip.compress(letters)
    main = ("[Content_Types].xml", "<Types/>"), ("word/document.xml", letters)
    return zipped(*main) if kind == "docx" else zipped(("a.txt", letters))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "gz", "docx"])
def test_a_bomb_is_rejected_by_every_profile_before_it_is_served(kind: str) -> None:
    asset = received(bomb(kind), f"a.{kind}", run_intake=True)
    asset.refresh_from_db()
    assert not asset.gate_passed
    asset = work_off(asset)
    assert (asset.status, asset.rejection["rule"], asset.rejection["limit"]) == (REJECTED, "archive-ratio", 100)
    assert asset.rejection["actual"] > 100
    assert not asset.gate_passed


def test_limits_on_archives_belong_to_the_profile(profiles: None) -> None:
    three = zipped(("a", "1"), ("b", "2"), ("c", "3"))
    asset = processed(three, "a.zip", profile="bombs")
    assert (asset.status, asset.rejection["rule"], asset.rejection["actual"]) == (REJECTED, "archive-entries", 3)
    assert processed(three, "a.zip").status == READY
    assert processed(zipped(("a", "1" * 1_000_000)), "a.zip").status == READY


def test_a_file_within_the_limits_is_served(profiles: None) -> None:
    asset = processed(samples.png(64, 48), "a.png", profile="strict")
    assert (asset.status, asset.gate_passed) == (READY, True)
    assert file_record(asset)["checks"][-1]["state"] == "passed"


@pytest.mark.parametrize(
    ("profile", "content", "filename", "after_intake"),
    [
        ("strict", samples.png(64, 48), "a.png", False),
        ("media", samples.png(200, 150), "a.png", False),
        ("default", samples.png(64, 48), "a.png", False),
        ("default", b"Haul away.", "a.txt", True),
        ("default", zipped(("a.txt", "a")), "a.zip", False),
    ],
)
def test_a_file_with_rules_passes_the_gate_after_they_are_checked(
    profiles: None, profile: str, content: bytes, filename: str, after_intake: bool
) -> None:
    asset = received(content, filename, profile=profile, run_intake=True)
    asset.refresh_from_db()
    assert asset.gate_passed == after_intake
    processing.run_job(job_of(asset, jobs.Stage.DESCRIBE).id, "test")
    asset.refresh_from_db()
    assert asset.gate_passed
