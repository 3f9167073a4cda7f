"""What a video or a sound is: how long, how large, in which codecs."""

from __future__ import annotations

import math
from typing import Any

from windlass.kernel.media_types import canonical
from windlass.processing.contract import About, Facts, PermanentError, StepContext, StepResult, damaged

#: Type -> FFmpeg's demuxer. It is named, never guessed: guessing would reach playlists that open other files.
DEMUXERS = {
    "application/ogg": "ogg",
    "audio/3gpp": "mov",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/mp4": "mov",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/wav": "wav",
    "audio/webm": "matroska",
    "audio/x-matroska": "matroska",
    "audio/x-ms-wma": "asf",
    "video/3gpp": "mov",
    "video/3gpp2": "mov",
    "video/mp2t": "mpegts",
    "video/mp4": "mov",
    "video/mpeg": "mpeg",
    "video/ogg": "ogg",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-flv": "flv",
    "video/x-matroska": "matroska",
    "video/x-ms-asf": "asf",
    "video/x-msvideo": "avi",
}


class AvFacts:
    about = About(
        name="av_facts",
        stage="describe",
        title="Reading the recording's facts",
        order=10,
        isolated=True,
        mime_types=tuple(DEMUXERS),
        gives={
            "duration": "seconds",
            "width": "pixels as displayed",
            "height": "pixels as displayed",
            "rotation": "degrees by which the picture is turned for display, counter-clockwise",
            "bitrate": "bits per second of the whole file",
            "fps": "pictures per second",
            "codec": "codec of the main stream",
            "video_codec": "codec of the pictures",
            "audio_codec": "codec of the sound",
            "channels": "channels of the sound",
            "sample_rate": "samples of sound per second",
        },
        libraries=("av",),
    )

    def run(self, context: StepContext) -> StepResult:
        import av

        demuxer = DEMUXERS[canonical(context.facts["mime_type"])]
        with (
            damaged(av.FFmpegError, what="recording"),
            av.open(
                context.file,
                "r",
                format=demuxer,
                options={"protocol_whitelist": "none"},
                io_open=_refuse,
                metadata_errors="replace",
            ) as container,
        ):
            facts = _facts(container)
        if not facts:
            raise PermanentError("The recording has neither pictures nor sound.")
        return StepResult(facts, detail=_said(facts))


def _refuse(*_: Any) -> Any:
    raise PermissionError("a recording may not open other files")


def _facts(container: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    video = next((s for s in container.streams.video if not _is_cover(s)), None)
    audio = next(iter(container.streams.audio), None)
    if video is not None:
        facts |= _of_video(container, video)
    if audio is not None:
        facts |= _of_audio(audio)
    seconds = _seconds(container, video if video is not None else audio)
    if seconds is not None:
        facts["duration"] = seconds
    if facts and container.bit_rate:
        facts["bitrate"] = int(container.bit_rate)
    return facts


def _is_cover(stream: Any) -> bool:
    """A picture on the record's sleeve is no video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _of_video(container: Any, stream: Any) -> dict[str, Any]:
    rotation = _rotation(container, stream)
    width, height = stream.codec_context.width, stream.codec_context.height
    if rotation in (90, 270):
        width, height = height, width
    codec = stream.codec_context.codec.canonical_name
    facts = {"codec": codec, "video_codec": codec}
    if width and height:
        facts |= {"width": width, "height": height}
    if rotation:
        facts["rotation"] = rotation
    if stream.average_rate:
        facts["fps"] = round(float(stream.average_rate), 3)
    return facts


def _rotation(container: Any, stream: Any) -> int:
    """Clockwise degrees by which the pictures are shown turned. It is told by the first picture that decodes."""
    import av

    try:
        frame = next(container.decode(stream), None)
    except av.FFmpegError:
        return 0
    return -round(frame.rotation) % 360 if frame is not None else 0


def _of_audio(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    facts = {"audio_codec": context.codec.canonical_name, "channels": context.channels}
    return facts | ({"sample_rate": context.sample_rate} if context.sample_rate else {})


def _seconds(container: Any, stream: Any) -> float | None:
    """The container's own word (microseconds), else the stream's."""
    if container.duration:
        seconds = container.duration / 1_000_000
    elif stream is not None and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        return None
    return round(seconds, 3) if math.isfinite(seconds) and seconds >= 0 else None


def _said(facts: Facts) -> str:
    parts = [f"{facts['duration']} s"] if "duration" in facts else []
    if "width" in facts:
        parts.append(f"{facts['width']}\N{MULTIPLICATION SIGN}{facts['height']}")
    return ", ".join(parts + [facts[key] for key in ("video_codec", "audio_codec") if key in facts])
