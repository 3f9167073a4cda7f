"""Transcode recordings into what every browser plays: MP4 with H.264 and AAC, the index in front."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from windlass.kernel.positioned_reader import PositionedReader
from windlass.processing.contract import MadeRendition, PermanentError, StepContext
from windlass.processing.toolkit.preview_tracks import AudioTrack, Track, VideoTrack
from windlass.processing.toolkit.recordings import (
    Frames,
    header_duration,
    main_audio_stream,
    main_video_stream,
    open_recording,
)

NAME = "preview"


def transcode(context: StepContext, *, with_video: bool) -> tuple[MadeRendition, str]:
    """Return the preview and its description. Without ``with_video`` only the audio is transcoded.

    Reports the progress by the time reached in the recording. Raises Unreadable, PermanentError, and Cancelled from
    ``report``.
    """
    with open_recording(context) as container:
        video = main_video_stream(container) if with_video else None
        streams = [stream for stream in (video, main_audio_stream(container)) if stream is not None]
        first_frames = _first_frames(container, streams)
    writer = _RenditionWriter(context)
    with _output_errors(), open_recording(context) as container, _mp4_target(writer) as target:
        tracks = _create_tracks(context, container, target, first_frames)
        frames = Frames(container, *tracks)
        _convert(context, container, target, tracks, frames)
    return _result(writer, tracks, frames.cut_short)


def _first_frames(container: Any, streams: list[Any]) -> dict[int, Any]:
    """Return the first frame by stream index. The header may describe a stream wrongly, and some have no frames."""
    if not streams:
        raise PermanentError("The recording has nothing to play.")
    first: dict[int, Any] = {}
    frames = Frames(container, *streams)
    for stream, frame in frames:
        first.setdefault(stream.index, frame)
        frames.done.add(stream.index)
    return first


def _create_tracks(context: StepContext, container: Any, target: Any, first_frames: dict[int, Any]) -> dict[Any, Track]:
    """Return the tracks by their source stream. All of them must exist before anything is written."""
    start = container.start_time or 0
    tracks: dict[Any, Track] = {}
    for index, frame in first_frames.items():
        stream = container.streams[index]
        if stream.type == "video":
            tracks[stream] = VideoTrack(target, stream, frame, context.profile["preview_height"], start)
        else:
            tracks[stream] = AudioTrack(target, stream, frame, start)
    return tracks


def _convert(context: StepContext, container: Any, target: Any, tracks: dict[Any, Track], frames: Frames) -> None:
    seconds = max((header_duration(container, stream) or 0 for stream in tracks), default=0)
    reported = -1
    for stream, frame in frames:
        for packet in tracks[stream].encode(frame):
            target.mux(packet)
        percent = min(99, int(100 * tracks[stream].reached / seconds)) if seconds else 0
        if percent > reported:
            reported = percent
            context.report(percent)
    for track in tracks.values():
        for packet in track.flush():
            target.mux(packet)


class _RenditionWriter:
    """The file that FFmpeg writes: in place in the step's output, from the output's present end on."""

    def __init__(self, context: StepContext) -> None:
        if context.output is None:
            raise PermanentError("This step was not announced to make renditions.")
        context.output.flush()
        self._output, self._start = context.output, context.output.tell()
        self._file, self._position, self._size = context.output.fileno(), 0, 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, self._start + self._position)
            rest, self._position = rest[written:], self._position + written
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def reader(self) -> PositionedReader:
        return PositionedReader(self._file, self._start)

    def finish(
        self, name: str, mime_type: str, *, width: int | None = None, height: int | None = None
    ) -> MadeRendition:
        """Return what was written as a rendition. The next rendition is written behind it."""
        self._output.seek(self._start + self._size)
        return MadeRendition(name, mime_type, self._start, self._size, width, height)


@contextmanager
def _mp4_target(writer: _RenditionWriter) -> Iterator[Any]:
    """FFmpeg reads the file that it wrote, to move the index to the front; it may open nothing else."""
    import av

    def reopen(*_: Any) -> Any:
        return writer.reader()

    target = av.open(writer, "w", format="mp4", options={"movflags": "faststart"}, io_open=reopen)
    yield target
    target.close()  # not after an error: closing would write the end of an incomplete file


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise PermanentError("The preview would be larger than a step may make here.") from error


def _result(writer: _RenditionWriter, tracks: dict[Any, Track], cut_short: str) -> tuple[MadeRendition, str]:
    video = next((track for track in tracks.values() if isinstance(track, VideoTrack)), None)
    seconds = max(track.reached for track in tracks.values())
    if video is None:
        rendition, detail = writer.finish(NAME, "audio/mp4"), f"{seconds:.1f} s"
    else:
        width, height = video.size
        rendition = writer.finish(NAME, "video/mp4", width=width, height=height)
        detail = f"{width}\N{MULTIPLICATION SIGN}{height}, {seconds:.1f} s"
    return rendition, f"{detail}; ended there: {cut_short}" if cut_short else detail
