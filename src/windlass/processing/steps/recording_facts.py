"""The facts of audio and video: length, size, codecs, and the tags of audio files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from itertools import islice
from typing import Any, BinaryIO

from windlass.processing.contract import About, Facts, PermanentError, StepContext, StepResult, damaged
from windlass.processing.formats.recordings import recording_tags
from windlass.processing.toolkit import recording_length
from windlass.processing.toolkit.frame_filters import HDR
from windlass.processing.toolkit.recordings import (
    DEMUXERS,
    header_duration,
    is_cover,
    main_audio_stream,
    main_video_stream,
    open_recording,
)
from windlass.processing.toolkit.warm_up import warm_up

#: Packets within which the first frame must be decoded; it has the rotation.
MAX_PACKETS_TO_FIRST_FRAME = 200

#: A higher frame rate is the rate of the time base, not of the frames.
MAX_FRAME_RATE = 1000

MAX_STREAMS = 32
_AUDIO_FORMAT = ("channels", "sample_rate")

#: mutagen's "easy" names, the same for every format.
TAGS = ("title", "artist", "album", "albumartist", "composer", "date", "genre", "tracknumber", "discnumber")
MAX_TAG_LENGTH = 500

#: Module -> class of the format. mutagen has many more; each is code that hostile bytes could reach.
TAG_FORMATS = {
    "mutagen.aiff": "AIFF",
    "mutagen.asf": "ASF",
    "mutagen.easymp4": "EasyMP4",
    "mutagen.flac": "FLAC",
    "mutagen.mp3": "EasyMP3",
    "mutagen.oggflac": "OggFLAC",
    "mutagen.oggopus": "OggOpus",
    "mutagen.oggvorbis": "OggVorbis",
    "mutagen.wave": "WAVE",
}


class AvFacts:
    """Decodes one frame at most. The location is a fact only if the profile's ``show_location`` is on."""

    about = About(
        name="av_facts",
        stage="describe",
        title="Reading the recording's facts",
        order=10,
        isolated=True,
        mime_types=tuple(DEMUXERS),
        gives={
            "duration": "seconds, up to the end of the last packet; the header's value if it agrees, or if the "
            "recording is too long to be counted and no rule of the profile needs the duration",
            "width": "pixels as displayed",
            "height": "pixels as displayed",
            "rotation": "clockwise rotation for display, in degrees",
            "container": "container family by its FFmpeg name: mov (includes MP4), matroska (includes WebM), ogg …",
            "bitrate": "bits per second of the whole file",
            "fps": "average frame rate, in frames per second",
            "codec": "codec of the main stream: video, else audio",
            "video_codec": "codec of the video",
            "audio_codec": "codec of the audio",
            "pixel_format": "pixel format by its FFmpeg name",
            "hdr": "pq or hlg, if the video has a high dynamic range",
            "channels": "audio channels",
            "sample_rate": "audio sample rate, in Hz",
            "streams": f"each stream, {MAX_STREAMS} at most: type, codec, language, and width, height or channels, "
            "sample_rate",
            "chapters": "chapters, if there are any",
            "has_cover": "whether it has cover art",
            "tags": "tags by name: title, artist, album, date, comment …",
            "created_at": "creation date in the file's metadata (ISO 8601)",
            "location": "where it was recorded: latitude, longitude (degrees), altitude (metres); "
            "if the profile's `show_location` is on",
        },
        libraries=("av",),
    )

    def prepare(self) -> None:
        warm_up(self, "video/mp4")

    def run(self, context: StepContext) -> StepResult:
        with open_recording(context) as container:
            facts = _facts(context, container)
            video = main_video_stream(container)
            video_index = video.index if video is not None else None
            claimed = header_duration(container, video if video is not None else main_audio_stream(container))
        if "codec" not in facts:
            raise PermanentError("The recording has neither pictures nor sound.")
        facts |= _timing(context, facts, claimed, video_index)
        return StepResult(facts, detail=_summary(facts))


class AudioTags:
    """Adds tags to those of the container. Formats whose tags are not text keep the container's."""

    about = About(
        name="audio_tags",
        stage="describe",
        title="Reading the tags",
        order=20,
        isolated=True,
        mime_types=("audio/*", "application/ogg"),
        gives={
            "tags": "tags by name: title, artist, album, albumartist, composer, date, genre, tracknumber, discnumber …",
        },
        libraries=tuple(TAG_FORMATS),
    )

    def run(self, context: StepContext) -> StepResult:
        import mutagen

        formats = [getattr(import_module(module), name) for module, name in TAG_FORMATS.items()]
        with damaged(mutagen.MutagenError, what="tags"):
            tagged_file = mutagen.File(_BoundedFile(context.file), options=formats, easy=True)
        tags = {} if tagged_file is None or tagged_file.tags is None else _known_tags(tagged_file.tags)
        tags = {**(context.facts.get("tags") or {}), **tags}
        return StepResult({"tags": tags} if tags else {}, detail=f"{len(tags)} tags")


def _facts(context: StepContext, container: Any) -> dict[str, Any]:
    video, audio = main_video_stream(container), main_audio_stream(container)
    facts: dict[str, Any] = {"container": DEMUXERS[context.facts["mime_type"]]}
    facts |= _stream_facts(container) | _metadata_facts(context, container)
    if audio is not None:
        facts |= {"codec": _codec(audio), "audio_codec": _codec(audio)} | _codec_values(audio, *_AUDIO_FORMAT)
    if video is not None:
        facts |= _video_facts(container, video)
    return facts


def _stream_facts(container: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"streams": [_stream_summary(stream) for stream in list(container.streams)[:MAX_STREAMS]]}
    chapters = len(container.chapters())
    if chapters:
        facts["chapters"] = chapters
    if any(is_cover(stream) for stream in container.streams.video):
        facts["has_cover"] = True
    return facts


def _stream_summary(stream: Any) -> dict[str, Any]:
    kind = "cover" if stream.type == "video" and is_cover(stream) else stream.type
    summary = {"type": kind, "codec": _codec(stream)}
    if stream.language and stream.language != "und":
        summary["language"] = stream.language[:35]
    names = {"video": ("width", "height"), "audio": _AUDIO_FORMAT}.get(stream.type, ())
    return summary | _codec_values(stream, *names)


def _codec_values(stream: Any, *names: str) -> dict[str, Any]:
    """Return the values of the stream's decoder that are known."""
    return {name: value for name in names if (value := getattr(stream.codec_context, name, None))}


def _codec(stream: Any) -> str | None:
    context = stream.codec_context
    if context is not None:
        return str(context.codec.canonical_name)
    return getattr(stream, "name", None)


def _metadata_facts(context: StepContext, container: Any) -> dict[str, Any]:
    """Tags and what they say of time and place. Ogg has its tags in the stream."""
    audio = main_audio_stream(container)
    metadata = {**(audio.metadata if audio is not None else {}), **container.metadata}
    facts: dict[str, Any] = {
        "tags": recording_tags.tags(metadata),
        "created_at": recording_tags.created_at(metadata),
        "location": recording_tags.location(metadata) if context.profile.get("show_location") else None,
    }
    # An empty location replaces the one that an earlier run stored under another profile.
    return {name: value for name, value in facts.items() if value or (name == "location" and name in context.facts)}


def _video_facts(container: Any, stream: Any) -> dict[str, Any]:
    codec, context = _codec(stream), stream.codec_context
    facts: dict[str, Any] = {"codec": codec, "video_codec": codec}
    if context is None:
        return facts
    rotation = _rotation(container, stream)
    width, height = _displayed_size(context.width, context.height, stream.sample_aspect_ratio)
    if rotation in (90, 270):
        width, height = height, width
    if width and height:
        facts |= {"width": width, "height": height}
    if rotation:
        facts["rotation"] = rotation
    if context.pix_fmt:
        facts["pixel_format"] = context.pix_fmt
    if int(context.color_trc) in HDR:
        facts["hdr"] = HDR[int(context.color_trc)]
    rate = stream.average_rate
    return facts | ({"fps": round(float(rate), 3)} if rate and rate < MAX_FRAME_RATE else {})


def _displayed_size(width: int, height: int, ratio: Any) -> tuple[int, int]:
    """Return the size with square pixels: like players, stretch the width."""
    return (round(width * ratio), height) if ratio and 0.1 < ratio < 10 else (width, height)


def _rotation(container: Any, stream: Any) -> int:
    """Return the clockwise rotation for display, in multiples of 90 degrees."""
    frame = next(_first_frames(container, stream), None)
    return -round(frame.rotation / 90) * 90 % 360 if frame is not None else 0


def _first_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decode the beginning of the stream. Damage or an unknown codec ends it."""
    import av

    stream.codec_context.thread_count = 1
    with suppress(av.FFmpegError, ValueError):
        for packet in islice(container.demux(stream), MAX_PACKETS_TO_FIRST_FRAME + 1):
            yield from packet.decode()


def _timing(context: StepContext, facts: Facts, claimed: float | None, video_index: int | None) -> dict[str, Any]:
    """Length, bit rate, and the frame rate if the header has none or has it for another length."""
    seconds, count = recording_length.measure_length(context, claimed)
    if seconds is None:
        return {}
    timing: dict[str, Any] = {"duration": round(seconds, 3), "bitrate": int(context.facts["size"] * 8 / seconds)}
    rate = count.frame_rate(video_index, seconds) if video_index is not None else None
    stated = facts.get("fps", 0)
    # Interlaced frames may be counted twice, once for each field; then the header's rate is right.
    if rate and rate < MAX_FRAME_RATE and not rate / 2.1 < stated < rate * 1.02:
        timing["fps"] = round(rate, 3)
    return timing


def _summary(facts: Facts) -> str:
    parts = [f"{facts['duration']} s"] if "duration" in facts else []
    if "width" in facts:
        parts.append(f"{facts['width']}\N{MULTIPLICATION SIGN}{facts['height']}")
    return ", ".join(parts + [facts[key] for key in ("video_codec", "audio_codec") if facts.get(key)])


class _BoundedFile:
    """Limits reads to the file's size: mutagen requests as many bytes as the file claims, and Python allocates them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._end = file, file.seek(0, os.SEEK_END)
        self.seek, self.tell = file.seek, file.tell
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        remaining = max(0, self._end - self._file.tell())
        return self._file.read(remaining if size < 0 else min(size, remaining))


def _known_tags(tags: Any) -> dict[str, str]:
    """Formats without easy names (WAV, AIFF) have frames under other keys, which are ignored."""
    known = {}
    for name in TAGS:
        try:
            values = tags.get(name)
        except ValueError:  # a Vorbis comment's key may be anything but this
            continue
        if isinstance(values, list) and values:
            known[name] = "; ".join(str(value) for value in values)[:MAX_TAG_LENGTH]
    return known
