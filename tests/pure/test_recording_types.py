"""A recording's type follows from its tracks: video, or audio alone."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import false_recordings, rendition_samples, samples
from windlass.processing.contract import StepContext
from windlass.processing.formats.recordings import matroska_tracks, mp4_tracks, recording_types
from windlass.processing.steps.previews import AudioPreview
from windlass.processing.steps.recording_facts import AvFacts
from windlass.processing.steps.type import Type
from windlass.processing.steps.waveform import Waveform


def type_of(content: bytes, filename: str = "unnamed") -> str:
    facts = {"size": len(content), "filename": filename, "metadata": {}}
    return str(Type().run(StepContext(io.BytesIO(content), facts, {})).facts["mime_type"])


def readable(content: bytes) -> str:
    """The codec that is read from it, under the type that is found."""
    facts = {"size": len(content), "metadata": {}, "mime_type": type_of(content)}
    return str(AvFacts().run(StepContext(io.BytesIO(content), facts, {})).facts["codec"])


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def id3(body: bytes, claims: int | None = None) -> bytes:
    length = len(body) if claims is None else claims
    return b"ID3\4\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


@cache
def frames() -> bytes:
    return false_recordings.mp3(None)


def branded(brand: bytes, content: bytes) -> bytes:
    at = content.index(b"ftyp") + 4
    return content[:at] + brand + content[at + 4 :]


def sound(container: str, codec: str = "aac") -> Callable[[], bytes]:
    return lambda: rendition_samples.tone(container, codec)


def video(container: str, codec: str) -> Callable[[], bytes]:
    return lambda: samples.video(container, codec)


def without_index_of_types(content: bytes) -> bytes:
    """Before there was a box that names the brand, a movie began with its data."""
    return content[struct.unpack_from(">I", content)[0] :]


def ogg(*streams: bytes) -> bytes:
    pages = [b"OggS\0\2" + struct.pack("<qIIIBB", 0, n, 0, 0, 1, len(body)) + body for n, body in enumerate(streams)]
    return b"".join(pages) + b"OggS\0\0" + bytes(100)


def wave(head: bytes, order: str = "<") -> bytes:
    form = struct.pack(f"{order}IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    data = noise(16000)
    return (
        head
        + struct.pack(f"{order}I", 36 + len(data))
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack(f"{order}I", len(data))
        + data
    )


THEORA, VORBIS, OPUS = b"\x80theora\3\2\1" + bytes(32), b"\1vorbis" + bytes(23), b"OpusHead\1\2" + bytes(9)
SKELETON = b"fishead\0" + bytes(56)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        *((lambda brand=brand: branded(brand, sound("mp4")()), "audio/mp4") for brand in (b"isom", b"mp42", b"M4V ")),
        *((lambda brand=brand: branded(brand, sound("mp4")()), "audio/mp4") for brand in (b"dash", b"iso5", b"zzzz")),
        (sound("mov"), "audio/mp4"),
        (sound("ipod"), "audio/mp4"),
        (sound("3gp"), "audio/3gpp"),
        (sound("3g2"), "audio/3gpp2"),
        (sound("ismv"), "audio/mp4"),
        (lambda: branded(b"M4A ", samples.mp4()), "video/mp4"),
        (lambda: branded(b"dash", samples.mp4()), "video/mp4"),
        (lambda: without_index_of_types(samples.video("mov", "mpeg4")), "video/quicktime"),
        (false_recordings.fragmented, "video/mp4"),
        (sound("webm", "libopus"), "audio/webm"),
        (sound("matroska", "libopus"), "audio/x-matroska"),
        (samples.live_webm, "video/webm"),
        (video("webm", "libvpx"), "video/webm"),
        (video("matroska", "mpeg4"), "video/x-matroska"),
        (lambda: rendition_samples.film(container="webm", codec="libvpx"), "video/webm"),
        (sound("ogg", "libopus"), "audio/ogg"),
        (lambda: ogg(THEORA), "video/ogg"),
        (lambda: ogg(VORBIS, THEORA), "video/ogg"),
        (lambda: ogg(SKELETON, *[VORBIS] * 20, THEORA), "video/ogg"),
        (lambda: ogg(SKELETON, OPUS), "audio/ogg"),
        (lambda: ogg(OPUS + THEORA), "audio/ogg"),
        (lambda: samples.sound("asf", "wmav2"), "audio/x-ms-wma"),
        (video("asf", "wmv2"), "video/x-ms-asf"),
        (lambda: rendition_samples.film(container="asf", codec="wmv2", seconds=1), "video/x-ms-asf"),
        (video("mpeg1video", "mpeg1video"), "video/mpeg"),
        (video("mpeg2video", "mpeg2video"), "video/mpeg"),
        *((lambda head=head: wave(head), "audio/wav") for head in (b"RIFF", b"RF64", b"BW64")),
        (lambda: wave(b"RIFX", ">"), "audio/wav"),
        (sound("w64", "pcm_s16le"), "audio/wav"),
        (sound("aiff", "pcm_s16be"), "audio/aiff"),
        (sound("aiff", "pcm_mulaw"), "audio/aiff"),
    ],
)
def test_the_tracks_decide_the_type(make: Callable[[], bytes], expected: str) -> None:
    assert type_of(make()) == expected


@pytest.mark.parametrize(
    ("container", "codec", "attached", "expected"),
    [
        ("mp3", "libmp3lame", True, "audio/mpeg"),
        ("mp4", "aac", True, "audio/mp4"),
        ("mp4", "aac", False, "audio/mp4"),
        ("mov", "aac", False, "audio/mp4"),
        ("matroska", "libopus", True, "audio/x-matroska"),
        ("matroska", "libopus", False, "audio/x-matroska"),
    ],
)
def test_audio_with_cover_art_is_audio(container: str, codec: str, attached: bool, expected: str) -> None:
    content = rendition_samples.with_cover(container, codec, attached=attached)
    assert type_of(content) == expected
    facts = (
        AvFacts()
        .run(StepContext(io.BytesIO(content), {"size": len(content), "metadata": {}, "mime_type": expected}, {}))
        .facts
    )
    assert ("width" in facts, facts["has_cover"], facts["duration"]) == (False, True, pytest.approx(1, abs=0.1))


def test_still_pictures_are_no_video_and_motion_jpeg_is() -> None:
    tracks = mp4_tracks.Track("vide", "jpeg", 5, 600.0, 64, 64), mp4_tracks.Track("vide", "jpeg", 500, 20.0, 64, 64)
    assert [recording_types._is_still(track) for track in tracks] == [True, False]
    assert (
        type_of(rendition_samples.film(codec="mjpeg", container="mov", seconds=1, options=(("strict", "unofficial"),)))
        == "video/quicktime"
    )


@pytest.mark.parametrize(
    ("content", "expected", "codec"),
    [
        (lambda: id3(bytes(3_000_000)) + frames(), "audio/mpeg", "mp3"),
        (lambda: id3(noise(3_000_000), 10) + frames(), "audio/mpeg", "mp3"),
        (lambda: id3(noise(3000), 200_000_000) + frames(), "audio/mpeg", "mp3"),
        (lambda: id3(bytes(100)) + id3(bytes(2_000_000)) + frames(), "audio/mpeg", "mp3"),
        (lambda: bytes(5000) + frames(), "audio/mpeg", "mp3"),
        (lambda: noise(300_000) + frames(), "audio/mpeg", "mp3"),
        (lambda: id3(bytes(3_000_000)) + samples.sound("adts", "aac"), "audio/aac", "aac"),
        (lambda: noise(2000) + samples.sound("adts", "aac"), "audio/aac", "aac"),
        (lambda: id3(bytes(3_000_000)) + samples.flac(), "audio/flac", "flac"),
        (lambda: wave(b"RIFX", ">"), "audio/wav", "pcm_s16le"),
        (sound("w64", "pcm_s16le"), "audio/wav", "pcm_s16le"),
        (sound("aiff", "pcm_mulaw"), "audio/aiff", "pcm_mulaw"),
        (video("mpeg2video", "mpeg2video"), "video/mpeg", "mpeg2video"),
        (video("mpeg1video", "mpeg1video"), "video/mpeg", "mpeg1video"),
    ],
)
def test_audio_behind_leading_bytes_is_recognized_and_read(
    content: Callable[[], bytes], expected: str, codec: str
) -> None:
    assert (type_of(content()), readable(content())) == (expected, codec)


@pytest.mark.parametrize("step", [Waveform(), AudioPreview()], ids=lambda step: step.about.name)
def test_a_big_endian_wav_file_has_no_waveform(step: Waveform | AudioPreview) -> None:
    file = io.BytesIO(wave(b"RIFX", ">"))
    ended = step.run(StepContext(file, {"mime_type": "audio/wav"}, {"thumbnails": True}, None, lambda progress: None))
    assert (ended.skipped, ended.renditions) == (True, ())
    assert "big-endian" in ended.detail


@pytest.mark.parametrize("content", [noise(1_000_000), bytes(1_000_000), noise(5000) + b"\xff\xfb\x90\x00" * 2])
def test_bytes_that_resemble_audio_are_octet_stream(content: bytes) -> None:
    assert type_of(content) == "application/octet-stream"


@given(
    st.binary(max_size=300),
    st.sampled_from([b"\0\0\0\x10moov", b"\x1aE\xdf\xa3\x83B\x86\x81\x01", b"OggS", b"ID3\4", b""]),
)
def test_any_bytes_are_read_without_an_unexpected_error(body: bytes, head: bytes) -> None:
    content = head + body
    file = io.BytesIO(content)
    for found in ("video/mp4", "application/octet-stream"):
        recording_types.recording_type(file, content, len(content), found)
    mp4_tracks.read_movie(file, len(content))
    matroska_tracks.read_tracks(file, len(content))
