"""What a video or a sound is: how long, how large, in which codecs, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from windlass.processing.contract import About, Facts, PermanentError, StepContext, StepResult
from windlass.processing.formats.recordings import recording_tags
from windlass.processing.toolkit import recording_length
from windlass.processing.toolkit.recordings import DEMUXERS, is_cover, main_audio, main_video, opened, seconds_of
from windlass.processing.toolkit.rehearsal import rehearse

#: Packets until the first picture must have come: it tells how the pictures are turned.
FIRST_PICTURE_WITHIN = 200

#: Above this a rate of pictures is the clock's, not the pictures'.
FASTEST = 1000

MOST_STREAMS = 32

#: AVColorTransferCharacteristic of films with more light than a screen of old.
HDR = {16: "pq", 18: "hlg"}


class AvFacts:
    """Decodes one picture at most. Where it was made is told only if the profile's ``show_location`` is on."""

    about = About(
        name="av_facts",
        stage="describe",
        title="Reading the recording's facts",
        order=10,
        isolated=True,
        mime_types=tuple(DEMUXERS),
        gives={
            "duration": "seconds, counted to the last packet; the header's where it agrees, or where the recording is "
            "too long to be counted and no rule of the profile needs it",
            "width": "pixels as displayed",
            "height": "pixels as displayed",
            "rotation": "degrees by which the picture is turned for display, clockwise",
            "container": "family of the container, as FFmpeg calls it: mov (MP4 too), matroska (WebM too), ogg …",
            "bitrate": "bits per second of the whole file",
            "fps": "pictures per second, on average",
            "codec": "codec of the main stream: the pictures, else the sound",
            "video_codec": "codec of the pictures",
            "audio_codec": "codec of the sound",
            "pixel_format": "how a pixel is stored, as FFmpeg calls it",
            "hdr": "pq or hlg, where the pictures have a high dynamic range",
            "channels": "channels of the sound",
            "sample_rate": "samples of sound per second",
            "streams": f"each stream, {MOST_STREAMS} at most: type, codec, language, and width, height or channels, "
            "sample_rate",
            "chapters": "chapters, where there are any",
            "has_cover": "whether it has a picture on its sleeve",
            "tags": "tags by name: title, artist, album, date, comment …",
            "created_at": "when it says it was made (ISO 8601)",
            "location": "where it was made: latitude, longitude (degrees), altitude (metres); "
            "if the profile's `show_location` is on",
        },
        libraries=("av",),
    )

    def prepare(self) -> None:
        rehearse(self, "video/mp4")

    def run(self, context: StepContext) -> StepResult:
        with opened(context) as container:
            facts = _facts(context, container)
            video = main_video(container)
            pictures = video.index if video is not None else None
            claimed = seconds_of(container, video if video is not None else main_audio(container))
        if "codec" not in facts:
            raise PermanentError("The recording has neither pictures nor sound.")
        facts |= _timing(context, facts, claimed, pictures)
        return StepResult(facts, detail=_summary(facts))


def _facts(context: StepContext, container: Any) -> dict[str, Any]:
    video, audio = main_video(container), main_audio(container)
    facts: dict[str, Any] = {"container": DEMUXERS[context.facts["mime_type"]]}
    facts |= _besides(container) | _said(context, container)
    if audio is not None:
        facts |= _of_audio(audio)
    if video is not None:
        facts |= _of_video(container, video)
    return facts


def _besides(container: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"streams": [_listed(stream) for stream in list(container.streams)[:MOST_STREAMS]]}
    chapters = len(container.chapters())
    if chapters:
        facts["chapters"] = chapters
    if any(is_cover(stream) for stream in container.streams.video):
        facts["has_cover"] = True
    return facts


def _listed(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    found = {"type": "cover" if stream.type == "video" and is_cover(stream) else stream.type, "codec": _codec(stream)}
    if stream.language and stream.language != "und":
        found["language"] = stream.language[:35]
    for name in {"video": ("width", "height"), "audio": ("channels", "sample_rate")}.get(stream.type, ()):
        if context is not None and getattr(context, name):
            found[name] = getattr(context, name)
    return found


def _codec(stream: Any) -> str | None:
    context = stream.codec_context
    if context is not None:
        return str(context.codec.canonical_name)
    return getattr(stream, "name", None)


def _said(context: StepContext, container: Any) -> dict[str, Any]:
    """Ogg has its tags in the stream."""
    audio = main_audio(container)
    metadata = {**(audio.metadata if audio is not None else {}), **container.metadata}
    found: dict[str, Any] = {
        "tags": recording_tags.tags(metadata),
        "created_at": recording_tags.created_at(metadata),
        "location": recording_tags.location(metadata) if context.profile.get("show_location") else None,
    }
    # What an earlier run showed under another profile is taken back.
    return {name: value for name, value in found.items() if value or (name == "location" and name in context.facts)}


def _of_audio(stream: Any) -> dict[str, Any]:
    codec, context = _codec(stream), stream.codec_context
    facts: dict[str, Any] = {"codec": codec, "audio_codec": codec}
    for name in ("channels", "sample_rate"):
        if context is not None and getattr(context, name):
            facts[name] = getattr(context, name)
    return facts


def _of_video(container: Any, stream: Any) -> dict[str, Any]:
    codec, context = _codec(stream), stream.codec_context
    facts: dict[str, Any] = {"codec": codec, "video_codec": codec}
    if context is None:
        return facts
    rotation = _rotation(container, stream)
    width, height = _shown(context.width, context.height, stream.sample_aspect_ratio)
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
    return facts | ({"fps": round(float(rate), 3)} if rate and rate < FASTEST else {})


def _shown(width: int, height: int, ratio: Any) -> tuple[int, int]:
    """Pixels that are not square are shown stretched, as players do it: in width."""
    return (round(width * ratio), height) if ratio and 0.1 < ratio < 10 else (width, height)


def _rotation(container: Any, stream: Any) -> int:
    """Clockwise degrees, a quarter at a time, by which the pictures are shown turned."""
    picture = next(_pictures(container, stream), None)
    return -round(picture.rotation / 90) * 90 % 360 if picture is not None else 0


def _pictures(container: Any, stream: Any) -> Iterator[Any]:
    """Of the stream's beginning. Damage ends the search, as does a codec that is not known here."""
    import av

    stream.codec_context.thread_count = 1
    try:
        for number, packet in enumerate(container.demux(stream)):
            yield from packet.decode()
            if number >= FIRST_PICTURE_WITHIN:
                return
    except (av.FFmpegError, ValueError):
        return


def _timing(context: StepContext, facts: Facts, claimed: float | None, pictures: int | None) -> dict[str, Any]:
    """Length, bit rate, and pictures a second where the header's are none or belong to another length."""
    length = recording_length.measured(context, claimed)
    seconds = length.seconds
    if seconds is None:
        return {}
    found: dict[str, Any] = {"duration": round(seconds, 3), "bitrate": int(context.facts["size"] * 8 / seconds)}
    rate = length.count.rate(pictures, seconds) if pictures is not None else None
    said = facts.get("fps", 0)
    # Counted too often are pictures that come as two fields each; the header's rate is then the right one.
    if rate and rate < FASTEST and not rate / 2.1 < said < rate * 1.02:
        found["fps"] = round(rate, 3)
    return found


def _summary(facts: Facts) -> str:
    parts = [f"{facts['duration']} s"] if "duration" in facts else []
    if "width" in facts:
        parts.append(f"{facts['width']}\N{MULTIPLICATION SIGN}{facts['height']}")
    return ", ".join(parts + [facts[key] for key in ("video_codec", "audio_codec") if facts.get(key)])
