"""The two tracks of a preview: frames as they were decoded go in, packets to be written come out."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, Protocol

from windlass.processing.toolkit.sound import Sound
from windlass.processing.toolkit.upright import Looks, Upright, within

#: At most so many frames a second; those between are left out.
FPS = 30
#: The widest picture by its height: panoramas beyond it become lower.
WIDEST = 4
#: libx264's effort and quality, as measured in docs/decisions/0024.
X264 = {"preset": "veryfast", "crf": "23", "profile": "high"}
#: Seconds between keyframes, so that players can jump.
KEYFRAMES = 2
#: More threads than these gain little and cost memory each.
MOST_THREADS = 4
#: Above this many pixels a decoder is given one thread: each further one holds pictures of its own.
LARGE = 1920 * 1088
TICK = Fraction(1, 90_000)
#: Seconds by which time goes back where it begins anew; by less, it is a frame that is late.
LEAP = 1

#: Seconds of missing sound that are filled with silence; a longer gap is left, for players to pass in silence.
GAP = 10
AUDIO_RATES = (44100, 48000)
#: Bits per second by the number of channels.
AUDIO_BITS = {1: 96_000, 2: 128_000}


class Track(Protocol):
    """``reached``: seconds from the beginning of the recording that have been taken in."""

    reached: float

    def take(self, frame: Any) -> list[Any]: ...

    def rest(self) -> list[Any]: ...


def threads() -> int:
    return max(1, min(os.cpu_count() or 1, MOST_THREADS))


class Clock:
    """A stream's time since the recording's ``start`` (microseconds). Where it begins anew under way, as in transport
    streams put one behind the other, it goes on from where it was."""

    def __init__(self, start: int) -> None:
        self._start, self._last = Fraction(start, 1_000_000), Fraction(0)

    def at(self, frame: Any) -> Fraction | None:
        """Seconds; None where the frame does not say, or is before the start."""
        if frame.pts is None or frame.time_base is None:
            return None
        at = frame.pts * Fraction(frame.time_base) - self._start
        if at < self._last - LEAP:
            self._start -= self._last - at
            at = self._last
        self._last = max(self._last, at)
        return at if at >= 0 else None


class PictureTrack:
    """H.264 of one size and at most so many frames a second, whatever the source does."""

    def __init__(self, target: Any, stream: Any, first: Any, height: int, start: int) -> None:
        codec = stream.codec_context
        codec.thread_count = 1 if first.width * first.height > LARGE else threads()
        self._looks, self._clock = Looks(stream), Clock(start)
        self.size = within(self._looks.of(first).shown(), height * WIDEST, height, even=True)
        self.reached = 0.0
        self._upright = Upright(self.size, "yuv420p")
        self._track = _video_stream(target, self.size, stream.average_rate)
        self._due, self._last = Fraction(-1), -1

    def take(self, frame: Any) -> list[Any]:
        at = self._clock.at(frame)
        if at is None or at < self._due:
            return []
        self.reached = float(at)
        # A little early counts as in time, or rounded timestamps would cost frames.
        self._due = max(self._due + Fraction(1, FPS), at - Fraction(1, 4 * FPS))
        frame.pts, frame.time_base = int(at / TICK), TICK
        return self._encoded(self._upright.show(frame, self._looks.of(frame)))

    def rest(self) -> list[Any]:
        return [*self._encoded(self._upright.rest()), *self._track.encode()]

    def _encoded(self, frames: list[Any]) -> list[Any]:
        packets = []
        for frame in frames:
            pts = int(frame.pts * frame.time_base / TICK)
            if pts <= self._last:
                continue  # time does not go back
            frame.pts = self._last = pts
            frame.time_base = TICK
            frame.pict_type = 0  # which frames are keyframes is for the encoder to say
            packets += self._track.encode(frame)
        return packets


def _video_stream(target: Any, size: tuple[int, int], rate: Fraction | None) -> Any:
    fps = min(FPS, round(rate)) if rate and rate >= 1 else FPS
    track = target.add_stream("libx264", rate=fps, options=X264 | {"threads": str(threads())})
    track.width, track.height = size
    track.pix_fmt, track.codec_context.sample_aspect_ratio = "yuv420p", Fraction(1)
    track.codec_context.time_base = track.time_base = TICK
    track.codec_context.gop_size = fps * KEYFRAMES
    return track


class SoundTrack:
    """AAC, mono or stereo, with silence where sound is missing."""

    def __init__(self, target: Any, stream: Any, first: Any, start: int) -> None:
        stream.codec_context.thread_count = 1
        self.reached = 0.0
        self._clock, self._last = Clock(start), -1
        rate = first.sample_rate if first.sample_rate in AUDIO_RATES else AUDIO_RATES[-1]
        channels = 1 if first.layout.nb_channels == 1 else 2
        layout = "mono" if channels == 1 else "stereo"
        self._track = target.add_stream("aac", rate=rate, layout=layout, bit_rate=AUDIO_BITS[channels])
        form = f"sample_fmts=fltp:channel_layouts={layout}:sample_rates={rate}"
        self._sound = Sound([("aresample", f"{rate}:async=1000"), ("aformat", form)])

    def take(self, frame: Any) -> list[Any]:
        at = self._clock.at(frame)
        if at is not None:
            left = self._sound.rest() if at > self.reached + GAP else []
            self.reached = float(at) + frame.samples / frame.sample_rate
            base = Fraction(1, frame.sample_rate)
            frame.pts, frame.time_base = int(at / base), base
            return self._encoded(left + self._sound.hear(frame))
        return self._encoded(self._sound.hear(frame))

    def rest(self) -> list[Any]:
        return [*self._encoded(self._sound.rest()), *self._track.encode()]

    def _encoded(self, frames: list[Any]) -> list[Any]:
        packets = []
        for frame in frames:
            if frame.pts is None or frame.pts <= self._last:
                continue
            self._last = frame.pts
            packets += self._track.encode(frame)
        return packets
