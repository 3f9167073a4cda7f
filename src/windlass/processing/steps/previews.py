"""The preview steps: transcode recordings into what every browser plays, MP4 with H.264 and AAC, the index in front."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from windlass.kernel.seekable_reader import PositionedReader
from windlass.processing.contract import About, MadeRendition, Makes, PermanentError, StepContext, StepResult
from windlass.processing.toolkit.frame_filters import AudioFilter, FrameFormats, FrameNormalizer, fit_size
from windlass.processing.toolkit.recordings import (
    AUDIO_TYPES,
    VIDEO_TYPES,
    Frames,
    header_duration,
    main_audio_stream,
    main_video_stream,
    open_recording,
    skip_if_undecodable,
)

NAME = "preview"

#: Maximum frames per second; frames between are dropped.
MAX_FPS = 30
#: Maximum ratio of width to height: wider panoramas become lower.
MAX_ASPECT = 4
#: Effort and quality of libx264, as measured in docs/decisions/0024.
X264_OPTIONS = {"preset": "veryfast", "crf": "23", "profile": "high"}
#: Seconds between keyframes, so that players can seek.
KEYFRAME_SECONDS = 2
#: More threads gain little and cost memory each.
MAX_THREADS = 4
#: Above this many pixels a decoder gets one thread: each further thread holds frames of its own.
LARGE_FRAME_PIXELS = 1920 * 1088
TICK = Fraction(1, 90_000)
#: A time stamp this many seconds earlier starts a new part of the recording; by less, the frame is late.
RESTART_SECONDS = 1

#: Gaps of audio up to this many seconds are filled with silence; players skip longer ones.
MAX_SILENCE_SECONDS = 10
AUDIO_RATES = (44100, 48000)
#: Bits per second by the number of channels.
AUDIO_BIT_RATES = {1: 96_000, 2: 128_000}


def _about(name: str, media: str, types: tuple[str, ...], made_types: tuple[str, ...], weight: int) -> About:
    return About(
        name=name,
        stage="derive",
        title="Making the preview",
        order=50,
        isolated=True,
        weight=weight,
        mime_types=types,
        wanted_by=name,
        makes=(Makes(NAME, media, made_types),),
        libraries=("av",),
        long=True,
    )


class AudioPreview:
    """MP4 with AAC, mono or stereo, the index in front."""

    about = _about("audio_preview", "audio", AUDIO_TYPES, ("audio/mp4",), weight=8)

    def run(self, context: StepContext) -> StepResult:
        if (skipped := skip_if_undecodable(context.file)) is not None:
            return skipped
        return _transcode(context, with_video=False)


class VideoPreview:
    """MP4 with H.264 and AAC, rotated for display, with square pixels, at most 30 frames per second and as high as the
    profile says, the index in front. A recording without video becomes an audio preview.
    """

    about = _about("video_preview", "video", VIDEO_TYPES, ("video/mp4", "audio/mp4"), weight=20)

    def run(self, context: StepContext) -> StepResult:
        return _transcode(context, with_video=True)


def _transcode(context: StepContext, *, with_video: bool) -> StepResult:
    """Make the preview. Without ``with_video`` only the audio is transcoded.

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


def _create_tracks(
    context: StepContext, container: Any, target: Any, first_frames: dict[int, Any]
) -> dict[Any, _Track]:
    """Return the tracks by their source stream. All of them must exist before anything is written."""
    start = container.start_time or 0
    tracks: dict[Any, _Track] = {}
    for index, frame in first_frames.items():
        stream = container.streams[index]
        if stream.type == "video":
            tracks[stream] = _VideoTrack(target, stream, frame, context.profile["preview_height"], start)
        else:
            tracks[stream] = _AudioTrack(target, stream, frame, start)
    return tracks


def _convert(context: StepContext, container: Any, target: Any, tracks: dict[Any, _Track], frames: Frames) -> None:
    seconds = max((header_duration(container, stream) or 0 for stream in tracks), default=0)
    for stream, frame in frames:
        for packet in tracks[stream].encode(frame):
            target.mux(packet)
        if seconds:
            context.report(min(99, int(100 * tracks[stream].reached / seconds)))
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

    def finish(self, mime_type: str, size: tuple[int, int] | tuple[None, None]) -> MadeRendition:
        """Return what was written as a rendition. The next rendition is written behind it."""
        self._output.seek(self._start + self._size)
        return MadeRendition(NAME, mime_type, self._start, self._size, *size)


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


def _result(writer: _RenditionWriter, tracks: dict[Any, _Track], cut_short: str) -> StepResult:
    video = next((track for track in tracks.values() if isinstance(track, _VideoTrack)), None)
    detail = f"{max(track.reached for track in tracks.values()):.1f} s"
    if video is None:
        rendition = writer.finish("audio/mp4", (None, None))
    else:
        rendition = writer.finish("video/mp4", video.size)
        detail = f"{video.size[0]}\N{MULTIPLICATION SIGN}{video.size[1]}, {detail}"
    return StepResult(renditions=(rendition,), detail=f"{detail}; ended there: {cut_short}" if cut_short else detail)


def _thread_count() -> int:
    return max(1, min(os.cpu_count() or 1, MAX_THREADS))


class _Clock:
    """A stream's time since the recording's ``start`` (microseconds).

    Time stamps may restart, for example in concatenated transport streams. The clock then continues.
    """

    def __init__(self, start: int) -> None:
        self._start, self._last = Fraction(start, 1_000_000), Fraction(0)

    def seconds_at(self, frame: Any) -> Fraction | None:
        """Return the frame's time; None if the frame has none, or is before the start."""
        if frame.pts is None or frame.time_base is None:
            return None
        seconds = frame.pts * Fraction(frame.time_base) - self._start
        if seconds < self._last - RESTART_SECONDS:
            self._start -= self._last - seconds
            seconds = self._last
        self._last = max(self._last, seconds)
        return seconds if seconds >= 0 else None


class _VideoTrack:
    """Encodes H.264 in one size with at most ``MAX_FPS`` frames per second, whatever the source changes to."""

    def __init__(self, target: Any, stream: Any, first: Any, height: int, start: int) -> None:
        is_large = first.width * first.height > LARGE_FRAME_PIXELS
        stream.codec_context.thread_count = 1 if is_large else _thread_count()
        self._formats, self._clock = FrameFormats(stream), _Clock(start)
        self.size = fit_size(self._formats.of(first).displayed_size(), height * MAX_ASPECT, height, even=True)
        self.reached = 0.0
        self._normalizer = FrameNormalizer(self.size, "yuv420p")
        self._encoder = _add_video_stream(target, self.size, stream.average_rate)
        self._next_due, self._last_pts = Fraction(-1), -1

    def encode(self, frame: Any) -> list[Any]:
        seconds = self._clock.seconds_at(frame)
        if seconds is None or seconds < self._next_due:
            return []
        self.reached = float(seconds)
        # A quarter of a frame early is accepted, or rounded time stamps would drop frames.
        self._next_due = max(self._next_due + Fraction(1, MAX_FPS), seconds - Fraction(1, 4 * MAX_FPS))
        frame.pts, frame.time_base = int(seconds / TICK), TICK
        return self._packets(self._normalizer.normalize(frame, self._formats.of(frame)))

    def flush(self) -> list[Any]:
        return [*self._packets(self._normalizer.flush()), *self._encoder.encode()]

    def _packets(self, frames: list[Any]) -> list[Any]:
        packets = []
        for frame in frames:
            pts = int(frame.pts * frame.time_base / TICK)
            if pts <= self._last_pts:
                continue  # time stamps must increase
            frame.pts = self._last_pts = pts
            frame.time_base = TICK
            frame.pict_type = 0  # the encoder decides which frames are keyframes
            packets += self._encoder.encode(frame)
        return packets


def _add_video_stream(target: Any, size: tuple[int, int], rate: Fraction | None) -> Any:
    fps = min(MAX_FPS, round(rate)) if rate and rate >= 1 else MAX_FPS
    encoder = target.add_stream("libx264", rate=fps, options=X264_OPTIONS | {"threads": str(_thread_count())})
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.codec_context.sample_aspect_ratio = "yuv420p", Fraction(1)
    encoder.codec_context.time_base = encoder.time_base = TICK
    encoder.codec_context.gop_size = fps * KEYFRAME_SECONDS
    return encoder


class _AudioTrack:
    """Encodes AAC, mono or stereo, and fills short gaps with silence."""

    def __init__(self, target: Any, stream: Any, first: Any, start: int) -> None:
        stream.codec_context.thread_count = 1
        self.reached = 0.0
        self._clock, self._last_pts = _Clock(start), -1
        rate = first.sample_rate if first.sample_rate in AUDIO_RATES else AUDIO_RATES[-1]
        channels = 1 if first.layout.nb_channels == 1 else 2
        layout = "mono" if channels == 1 else "stereo"
        self._encoder = target.add_stream("aac", rate=rate, layout=layout, bit_rate=AUDIO_BIT_RATES[channels])
        output_format = f"sample_fmts=fltp:channel_layouts={layout}:sample_rates={rate}"
        self._filter = AudioFilter([("aresample", f"{rate}:async=1000"), ("aformat", output_format)])

    def encode(self, frame: Any) -> list[Any]:
        seconds = self._clock.seconds_at(frame)
        if seconds is None:
            return self._packets(self._filter.push(frame))
        flushed = self._filter.flush() if seconds > self.reached + MAX_SILENCE_SECONDS else []
        self.reached = float(seconds) + frame.samples / frame.sample_rate
        base = Fraction(1, frame.sample_rate)
        frame.pts, frame.time_base = int(seconds / base), base
        return self._packets(flushed + self._filter.push(frame))

    def flush(self) -> list[Any]:
        return [*self._packets(self._filter.flush()), *self._encoder.encode()]

    def _packets(self, frames: list[Any]) -> list[Any]:
        packets = []
        for frame in frames:
            if frame.pts is None or frame.pts <= self._last_pts:
                continue
            self._last_pts = frame.pts
            packets += self._encoder.encode(frame)
        return packets


#: ``reached`` of a track: the seconds of the recording that have been encoded.
_Track = _VideoTrack | _AudioTrack
