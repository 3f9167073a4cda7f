"""Previews and waveforms, through the real sandbox: their content, their progress, and how they end early."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection

from tests import rendition_samples as made
from tests import samples
from tests.integration.processing.received_files import (
    descendants,
    eventually,
    is_alive,
    job_of,
    processed,
    received,
    scratch,
    step,
    store,
)
from windlass.files.api import FileAsset, FileStatus, StepRun, StepState
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.processing.contract import MadeRendition, StepContext
from windlass.processing.steps.previews import VideoPreview

Profile = Callable[[str], None]


@pytest.fixture(autouse=True)
def wanted(with_profile: Profile) -> None:
    with_profile("video_preview = true\naudio_preview = true\npreview_height = 240")


def content(asset: FileAsset, name: str = "preview") -> bytes:
    rendition = asset.renditions.get(name=name)
    with store(rendition.store).open(rendition.key) as stored:
        data = bytes(stored.read())
    assert len(data) == rendition.size
    return data


def look_into(data: bytes) -> dict[str, Any]:
    """What FFmpeg finds in an MP4."""
    import av

    with av.open(io.BytesIO(data), format="mov") as opened:
        found: dict[str, Any] = {"seconds": opened.duration / 1e6, "metadata": set(opened.metadata)}
        for stream in opened.streams:
            found[stream.type] = stream.codec_context.codec.canonical_name
        if opened.streams.video:
            stream = opened.streams.video[0]
            frames = list(opened.decode(stream))
            times = [frame.time for frame in frames]
            found |= {"frames": len(frames), "format": frames[0].format.name, "aspect": stream.sample_aspect_ratio}
            found |= {"size": (frames[0].width, frames[0].height), "profile": stream.profile}
            found |= {"rotation": frames[0].rotation, "sorted": times == sorted(set(times))}
            found["sides"] = [_colour(frames[-1], x) for x in (0.25, 0.75)]
        return found


def _colour(frame: Any, x: float) -> tuple[int, int, int]:
    rgb = frame.reformat(format="rgb24")
    plane = rgb.planes[0]
    at = rgb.height // 2 * plane.line_size + int(rgb.width * x) * 3
    return tuple(bytes(plane)[at : at + 3])  # type: ignore[return-value]


def assert_red_and_blue(sides: list[tuple[int, int, int]]) -> None:
    red, blue = sides
    assert red[0] > 130 > 90 > red[2], sides
    assert blue[2] > 130 > 90 > blue[0], sides


def boxes(data: bytes) -> list[bytes]:
    """The names of an MP4's outermost boxes."""
    names, at = [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.mark.slow
def test_a_preview_is_h264_and_aac_in_mp4() -> None:
    asset = processed(made.film(codec="mpeg4", width=640, height=480, rate=25), "film.mp4")
    found, data = asset.renditions.get(name="preview"), content(asset)
    assert (found.kind, found.mime_type, found.width, found.height) == ("video", "video/mp4", 320, 240)
    inside = look_into(data)
    assert (inside["video"], inside["audio"], inside["format"]) == ("h264", "aac", "yuv420p")
    assert (inside["size"], inside["aspect"], inside["rotation"]) == ((320, 240), 1, 0)
    assert inside["seconds"] == pytest.approx(4, abs=0.1)
    assert inside["frames"] == 100
    assert inside["sorted"]
    assert_red_and_blue(inside["sides"])
    names = boxes(data)
    assert names.index(b"moov") < names.index(b"mdat"), "the index is in front"
    assert step(asset, "video_preview").detail == "320\N{MULTIPLICATION SIGN}240, 4.0 s"
    assert asset.renditions.filter(name="thumbnail").exists()


@pytest.mark.slow
def test_a_preview_is_upright_and_square_and_never_larger() -> None:
    turned = look_into(content(processed(made.film(matrix=made.TURNED), "turned.mp4")))
    assert (turned["size"], turned["rotation"]) == ((134, 240), 0)
    wide = look_into(content(processed(made.film(width=100, height=60, aspect=Fraction(3, 2)), "wide.mp4")))
    assert (wide["size"], wide["aspect"]) == ((150, 60), 1)


def test_a_preview_has_at_most_30_frames_a_second() -> None:
    inside = look_into(content(processed(made.film(rate=60, seconds=2), "fast.mp4")))
    assert 58 <= inside["frames"] <= 62
    assert inside["seconds"] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mono", "5.1", "7.1", "quad"])
def test_audio_of_any_layout_becomes_mono_or_stereo(layout: str) -> None:
    """A sound without pictures: as the preview of an audio file."""
    asset = processed(made.tone(layout=layout), "tone.wav")
    rendition = asset.renditions.get(name="preview")
    assert (rendition.kind, rendition.mime_type) == ("audio", "audio/mp4")
    import av

    with av.open(io.BytesIO(content(asset)), format="mov") as opened:
        (stream,) = opened.streams
        assert stream.codec_context.codec.canonical_name == "aac"
        assert stream.codec_context.layout.name == ("mono" if layout == "mono" else "stereo")
        frames = list(opened.decode(stream))
    assert sum(frame.samples for frame in frames) / frames[0].sample_rate == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_a_video_without_audio_has_a_preview_without() -> None:
    inside = look_into(content(processed(made.film(sound=None), "silent.mp4")))
    assert (inside["video"], "audio" in inside) == ("h264", False)


def test_a_video_file_without_video_has_an_audio_preview() -> None:
    asset = processed(made.tone("mp4", "aac"), "sound.mp4")
    assert asset.renditions.get(name="preview").mime_type == "audio/mp4"
    assert look_into(content(asset))["seconds"] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_a_recording_may_change_its_format() -> None:
    """Size and channels change half-way: one size is kept, with the rest framed in black."""
    preview = look_into(_run_here(made.two_films_in_one(), "video/mp2t"))
    assert (preview["size"], preview["audio"]) == ((320, 180), "aac")
    assert preview["frames"] > 90
    assert preview["sorted"]


def test_interlaced_video_is_deinterlaced() -> None:
    """Interlaced, as tapes are: 25 pictures a second stay 25."""
    tape = made.film(codec="mpeg2video", container="mpegts", seconds=2, options=(("flags", "+ilme+ildct"),))
    assert look_into(_run_here(tape, "video/mp2t"))["frames"] == pytest.approx(50, abs=1)


def _run_here(data: bytes, mime_type: str, **profile: object) -> bytes:
    """For what the detection of types does not know."""
    import tempfile

    told: Mapping[str, Any] = {"thumbnail_widths": [640], "preview_height": 720} | profile
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as output:
        file.write(data)
        output.write(b"an earlier rendition")
        context = StepContext(file, {"mime_type": mime_type}, told, output)
        (found,) = VideoPreview().run(context).renditions
        assert isinstance(found, MadeRendition)
        assert (found.offset, output.tell()) == (20, 20 + found.length)
        output.flush()
        return os.pread(output.fileno(), found.length, found.offset)


@pytest.mark.slow
def test_damaged_packets_are_skipped() -> None:
    asset = processed(made.damaged(made.film(container="matroska", keyframes=5)), "film.mkv")
    inside = look_into(content(asset))
    assert inside["video"] == "h264"
    assert 40 < inside["frames"] <= 100


def test_a_truncated_video_has_a_preview_up_to_its_end() -> None:
    asset = processed(samples.truncated(made.film(container="matroska", keyframes=5), 0.6), "film.mkv")
    assert 1 < look_into(content(asset))["seconds"] < 3.5


def test_an_undecodable_file_has_no_preview_and_a_reason() -> None:
    asset = processed(samples.truncated(samples.mp4()), "broken.mp4")
    row = step(asset, "video_preview")
    assert (asset.status, row.state, "cannot be read" in row.detail) == (FileStatus.READY, StepState.FAILED, True)


@pytest.mark.slow
def test_a_preview_beyond_the_output_limit_fails(settings: Callable[..., None]) -> None:
    settings(LONG_STEP_OUTPUT_MB=1)
    asset = processed(_slow_film(), "film.mp4")
    assert step(asset, "video_preview").detail == "The preview would be larger than a step may make here."
    assert (asset.status, asset.renditions.filter(name="preview").exists(), scratch()) == (FileStatus.READY, False, [])


def _slow_film() -> bytes:
    """Takes some seconds."""
    return made.film(seconds=40, width=640, height=360)


def _work(job: jobs.Job) -> threading.Thread:
    def work() -> None:
        processing.run_job(job.id, "test")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _at_derive(content: bytes) -> tuple[FileAsset, jobs.Job]:
    asset = received(content, "film.mp4", run_intake=True)
    processing.run_job(job_of(asset, jobs.Stage.DESCRIBE).id, "test")
    return asset, job_of(asset, jobs.Stage.DERIVE)


@pytest.mark.slow
def test_progress_is_reported_in_per_cent() -> None:
    asset, job = _at_derive(_slow_film())
    working, seen = _work(job), []
    while working.is_alive():
        seen.append(StepRun.objects.get(file=asset, step="video_preview").progress)
        working.join(0.05)
    assert seen == sorted(seen)
    assert len({percent for percent in seen if 0 < percent < 100}) >= 3
    assert FileAsset.objects.get(id=asset.id).status == FileStatus.READY


@pytest.mark.slow
def test_releasing_the_file_ends_the_running_preview() -> None:
    asset, job = _at_derive(_slow_film())
    before = set(descendants(os.getpid()))  # other tests' services among them
    working = _work(job)
    eventually(lambda: StepRun.objects.get(file=asset, step="video_preview").progress > 0)
    below = set(descendants(os.getpid())) - before
    processing.release(asset)
    working.join(60)
    assert not working.is_alive()
    asset.refresh_from_db()
    assert (asset.status, asset.renditions.count()) == (FileStatus.RELEASED, 0)
    assert job_of(asset, jobs.Stage.DERIVE).state == jobs.JobState.CANCELLED
    eventually(lambda: sum(is_alive(pid) for pid in below) <= 2)  # the sandbox's parent, and a child without a file
    assert scratch() == []
    assert list(store().objects(f"renditions/{asset.id}/preview")) == []


def test_a_waveform_has_the_format_of_audiowaveform() -> None:
    asset = processed(made.tone(seconds=2), "tone.wav")
    rendition = asset.renditions.get(name="waveform")
    assert (rendition.kind, rendition.mime_type) == ("waveform", "application/json")
    wave = json.loads(content(asset, "waveform"))
    assert (wave["version"], wave["channels"], wave["bits"], wave["sample_rate"]) == (2, 1, 8, 48000)
    assert wave["length"] == len(wave["data"]) // 2 <= 800
    assert wave["length"] * wave["samples_per_pixel"] == pytest.approx(96000, rel=0.01)
    silent, loud = wave["data"][: wave["length"] - 10], wave["data"][wave["length"] + 10 :]
    assert set(silent) == {0}
    assert (min(loud[::2]), max(loud[1::2])) == (pytest.approx(-64, abs=1), pytest.approx(64, abs=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("adts", "aac"), ("aiff", "pcm_s16be")],
)
def test_waveforms_of_other_formats(container: str, codec: str) -> None:
    """Some do not say how long they are."""
    asset = processed(made.tone(container, codec), "tone")
    wave = json.loads(content(asset, "waveform"))
    assert 100 <= wave["length"] <= 800
    assert wave["length"] * wave["samples_per_pixel"] / wave["sample_rate"] == pytest.approx(2, abs=0.2)
    assert max(wave["data"]) == pytest.approx(64, abs=8)


def test_a_profile_may_disable_previews(with_profile: Profile) -> None:
    with_profile("waveforms = false")
    asset = processed(made.tone(), "tone.wav")
    assert asset.renditions.count() == 0
    with_profile("thumbnails = false")
    assert [found.name for found in processed(made.tone(), "tone.wav").renditions.all()] == ["waveform"]
