"""The audio and video tracks of a preview: they take decoded frames and return encoded packets."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, Protocol

from windlass.processing.toolkit.filter_graph import AudioFilter
from windlass.processing.toolkit.frame_normalizer import FrameFormats, FrameNormalizer, fit_size

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


class Track(Protocol):
    """``reached``: seconds of the recording that have been encoded."""

    reached: float

    def encode(self, frame: Any) -> list[Any]: ...

    def flush(self) -> list[Any]: ...


def thread_count() -> int:
    return max(1, min(os.cpu_count() or 1, MAX_THREADS))


class Clock:
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


class VideoTrack:
    """Encodes H.264 in one size with at most ``MAX_FPS`` frames per second, whatever the source changes to."""

    def __init__(self, target: Any, stream: Any, first: Any, height: int, start: int) -> None:
        is_large = first.width * first.height > LARGE_FRAME_PIXELS
        stream.codec_context.thread_count = 1 if is_large else thread_count()
        self._formats, self._clock = FrameFormats(stream), Clock(start)
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
    encoder = target.add_stream("libx264", rate=fps, options=X264_OPTIONS | {"threads": str(thread_count())})
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.codec_context.sample_aspect_ratio = "yuv420p", Fraction(1)
    encoder.codec_context.time_base = encoder.time_base = TICK
    encoder.codec_context.gop_size = fps * KEYFRAME_SECONDS
    return encoder


class AudioTrack:
    """Encodes AAC, mono or stereo, and fills short gaps with silence."""

    def __init__(self, target: Any, stream: Any, first: Any, start: int) -> None:
        stream.codec_context.thread_count = 1
        self.reached = 0.0
        self._clock, self._last_pts = Clock(start), -1
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
