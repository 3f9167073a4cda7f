"""Recordings with wrong headers: their duration is computed from their packets, in every container."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests import false_recordings as lies
from tests import rendition_samples, samples
from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.steps.recording_facts import AvFacts
from windlass.processing.toolkit import frame_selection
from windlass.processing.toolkit.recordings import open_recording

RULE = {"max_duration": 4.0}


def facts_of(content: bytes, mime_type: str, profile: dict[str, Any] | None = None) -> dict[str, Any]:
    known = {"mime_type": mime_type, "size": len(content), "metadata": {}, "filename": "a"}
    return dict(AvFacts().run(StepContext(io.BytesIO(content), known, profile or {})).facts)


@pytest.mark.parametrize("profile", [{}, RULE, {"media_types": [{"kind": "video", "max_duration": 4}]}], ids=str)
@pytest.mark.parametrize("lie", lies.SHORTER, ids=lambda lie: lie.name)
def test_a_header_that_understates_the_duration_is_not_trusted(
    lie: lies.FalseRecording, profile: dict[str, Any]
) -> None:
    facts = facts_of(lie.make(), lie.mime_type, profile)
    assert facts["duration"] == pytest.approx(lies.SECONDS, abs=0.15)
    assert facts["bitrate"] == pytest.approx(8 * len(lie.make()) / lies.SECONDS, rel=0.05)
    assert facts.get("fps", 25) == pytest.approx(25, rel=0.05)


@pytest.mark.parametrize("lie", lies.LONGER, ids=lambda lie: lie.name)
def test_a_header_that_overstates_the_duration_is_not_trusted(lie: lies.FalseRecording) -> None:
    assert facts_of(lie.make(), lie.mime_type)["duration"] == pytest.approx(lies.SECONDS, abs=0.15)


@pytest.mark.parametrize("lie", lies.UNTOLD, ids=lambda lie: lie.name)
def test_an_unknown_duration_is_no_fact(lie: lies.FalseRecording) -> None:
    assert "duration" not in facts_of(lie.make(), lie.mime_type, RULE)


@pytest.mark.parametrize(
    ("make", "mime_type"),
    [
        (lambda: samples.sound("adts", "aac", 5), "audio/aac"),
        (lambda: samples.sound("asf", "wmav2", 5), "audio/x-ms-wma"),
        (lambda: samples.sound("webm", "libopus", 5), "audio/webm"),
        (lambda: samples.sound("w64", "pcm_s16le", 5), "audio/wav"),
        (lambda: samples.video("mpegts", "mpeg2video", seconds=5), "video/mp2t"),
        (lambda: samples.video("mpeg", "mpeg1video", seconds=5), "video/mpeg"),
        (lambda: samples.video("mpeg1video", "mpeg1video", seconds=5), "video/mpeg"),
        (lambda: samples.video("mpeg2video", "mpeg2video", seconds=5), "video/mpeg"),
        (lambda: samples.video("flv", "flv", seconds=5), "video/x-flv"),
        (lambda: rendition_samples.film(seconds=5, options=(("bf", "2"),)), "video/mp4"),
        (lambda: lies.fragmented(), "video/mp4"),
        (lambda: lies.broadcast_in_parts(), "video/mp2t"),
    ],
)
def test_a_correct_recording_has_its_duration(make: Callable[[], bytes], mime_type: str) -> None:
    assert facts_of(make(), mime_type, RULE)["duration"] == pytest.approx(5, abs=0.15)


def test_the_size_is_that_of_the_decoded_frames() -> None:
    """Not as the header says."""
    film = bytearray(samples.mp4(640, 480))
    at = film.index(b"avc1") if b"avc1" in film else film.index(b"mp4v")
    struct.pack_into(">HH", film, at + 28, 64, 48)
    facts = facts_of(bytes(film), "video/mp4")
    assert (facts["width"], facts["height"]) == (640, 480)


def test_with_too_many_packets_there_is_no_duration_for_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windlass.processing.toolkit.recording_length.COUNT_SECONDS", -1.0)
    film = rendition_samples.film(seconds=5)
    assert facts_of(film, "video/mp4")["duration"] == pytest.approx(5)
    assert "duration" not in facts_of(film, "video/mp4", RULE)
    assert "duration" not in facts_of(samples.live_webm(), "video/webm")


def test_a_video_has_a_frame_if_seeking_passes_its_only_keyframe() -> None:
    options = (("x265-params", "log-level=none"),)
    film = rendition_samples.film(
        container="mpegts",
        codec="libx265",
        rate=10,
        seconds=30,
        width=64,
        height=48,
        sound=None,
        keyframes=1000,
        options=options,
    )
    context = StepContext(io.BytesIO(film), {"mime_type": "video/mp2t", "size": len(film)}, {})
    with open_recording(context) as container, pytest.raises(Unreadable):
        frame_selection._select(container, 64, seeking=True)
    image, _ = frame_selection.select_frame(context, 64)
    assert (image.width, image.height) == (64, 48)
