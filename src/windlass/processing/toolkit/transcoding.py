"""Recordings as every browser plays them: MP4 with H.264 and AAC, its index in front."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from windlass.processing.contract import MadeRendition, PermanentError, StepContext
from windlass.processing.toolkit.output_window import OutputWindow
from windlass.processing.toolkit.recordings import Frames, main_audio, main_video, opened, seconds_of
from windlass.processing.toolkit.tracks import PictureTrack, SoundTrack, Track

NAME = "preview"


def transcode(context: StepContext, *, pictures: bool) -> tuple[MadeRendition, str]:
    """The preview and one line on it. ``pictures``: the video too where there is one, else the sound alone.

    Reports its progress by the time that it has reached. Raises Unreadable, PermanentError, and what ``report`` raises.
    """
    with opened(context) as container:
        video = main_video(container) if pictures else None
        first = _first_frames(container, [stream for stream in (video, main_audio(container)) if stream is not None])
    window = OutputWindow(context)
    with _output_errors(), opened(context) as container, _mp4(window) as target:
        tracks = _tracks(context, container, target, first)
        frames = Frames(container, *tracks)
        _convert(context, container, target, tracks, frames)
    return _result(window, tracks, frames.cut_short)


def _first_frames(container: Any, streams: list[Any]) -> dict[int, Any]:
    """Stream index -> its first frame. What the file's head says of a stream may be wrong, and some have no frames."""
    if not streams:
        raise PermanentError("The recording has nothing to play.")
    first: dict[int, Any] = {}
    frames = Frames(container, *streams)
    for stream, frame in frames:
        first.setdefault(stream.index, frame)
        frames.done.add(stream.index)
    return first


def _tracks(context: StepContext, container: Any, target: Any, first: dict[int, Any]) -> dict[Any, Track]:
    """By the stream that each is made of. All of them stand before anything is written."""
    start = container.start_time or 0
    tracks: dict[Any, Track] = {}
    for index, frame in first.items():
        stream = container.streams[index]
        if stream.type == "video":
            tracks[stream] = PictureTrack(target, stream, frame, context.profile["preview_height"], start)
        else:
            tracks[stream] = SoundTrack(target, stream, frame, start)
    return tracks


def _convert(context: StepContext, container: Any, target: Any, tracks: dict[Any, Track], frames: Frames) -> None:
    seconds = max((seconds_of(container, stream) or 0 for stream in tracks), default=0)
    told = -1
    for stream, frame in frames:
        for packet in tracks[stream].take(frame):
            target.mux(packet)
        percent = min(99, int(100 * tracks[stream].reached / seconds)) if seconds else 0
        if percent > told:
            told = percent
            context.report(percent)
    for track in tracks.values():
        for packet in track.rest():
            target.mux(packet)


@contextmanager
def _mp4(window: OutputWindow) -> Iterator[Any]:
    """FFmpeg reads the file that it wrote, to move the index to the front; it may open nothing else."""
    import av

    def reopen(*_: Any) -> Any:
        return window.reader()

    target = av.open(window, "w", format="mp4", options={"movflags": "faststart"}, io_open=reopen)
    yield target
    target.close()  # not after an error: it would write an end to what has none


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise PermanentError("The preview would be larger than a step may make here.") from error


def _result(window: OutputWindow, tracks: dict[Any, Track], cut_short: str) -> tuple[MadeRendition, str]:
    pictures = next((track for track in tracks.values() if isinstance(track, PictureTrack)), None)
    seconds = max(track.reached for track in tracks.values())
    if pictures is None:
        made, said = window.made(NAME, "audio/mp4"), f"{seconds:.1f} s"
    else:
        width, height = pictures.size
        made = window.made(NAME, "video/mp4", width=width, height=height)
        said = f"{width}\N{MULTIPLICATION SIGN}{height}, {seconds:.1f} s"
    return made, f"{said}; ended there: {cut_short}" if cut_short else said
