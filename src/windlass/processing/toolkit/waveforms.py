"""Waveforms: the lowest and highest level of audio in each of some hundred segments of equal length."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.toolkit.frame_filters import AudioFilter
from windlass.processing.toolkit.recordings import Frames, header_duration, main_audio_stream, require_decoder

#: Maximum number of segments, and maximum samples of one filtered block.
MAX_SEGMENTS = 800
MAX_BLOCK_SAMPLES = 65536
#: Seconds after which the waveform ends where it is.
TIME_LIMIT_SECONDS = 60.0

#: The drawing: its colours, its maximum width, and the ratio of width to height.
BACKGROUND, BARS = (244, 246, 249), (46, 94, 140)
MAX_WIDTH, ASPECT = 1600, 4


@dataclass(slots=True)
class Peaks:
    """``pairs``: lowest and highest level of each segment, -1 to 1. ``samples``: samples (per channel) of a segment."""

    rate: int
    samples: int
    pairs: list[tuple[float, float]] = field(default_factory=list)
    cut_short: str = ""

    def document(self) -> dict[str, Any]:
        """Return the JSON format of audiowaveform (version 2), which players read."""
        return {
            "version": 2,
            "channels": 1,
            "sample_rate": self.rate,
            "samples_per_pixel": self.samples,
            "bits": 8,
            "length": len(self.pairs),
            "data": [max(-128, min(127, round(level * 128))) for pair in self.pairs for level in pair],
        }


@dataclass(slots=True)
class _Segments:
    """Collects the levels of blocks; ``blocks`` of them make a segment.

    Memory is bounded: when there are twice as many segments as wanted, each two become one.
    """

    blocks: int
    pairs: list[tuple[float, float]] = field(default_factory=list)
    blocks_in_last: int = 0

    def add(self, low: float, high: float) -> None:
        if self.blocks_in_last:
            before = self.pairs[-1]
            self.pairs[-1] = (min(low, before[0]), max(high, before[1]))
        else:
            self.pairs.append((low, high))
        self.blocks_in_last = (self.blocks_in_last + 1) % self.blocks
        if len(self.pairs) >= 2 * MAX_SEGMENTS and not self.blocks_in_last:
            neighbours = zip(self.pairs[::2], self.pairs[1::2], strict=True)
            self.pairs = [(min(one[0], other[0]), max(one[1], other[1])) for one, other in neighbours]
            self.blocks *= 2


def compute_peaks(container: Any, report: Callable[[int], None]) -> Peaks:
    """Of the first audio stream, mixed to one channel. Raises Unreadable, and Cancelled from ``report``."""
    stream: Any = main_audio_stream(container)
    require_decoder(stream).thread_count = 1
    seconds = header_duration(container, stream) or 0.0
    frames, filters, rate = Frames(container, stream), None, 0
    segments, block, deadline = _Segments(1), 1, time.monotonic() + TIME_LIMIT_SECONDS
    for _, frame in frames:
        if filters is None:
            rate = frame.sample_rate
            block, segments.blocks = _sizes(seconds * rate)
            filters = AudioFilter(_level_filters(rate, block))
        _add_levels(segments, filters.push(frame))
        if seconds and frame.time is not None:
            report(min(99, int(100 * frame.time / seconds)))
        if time.monotonic() > deadline:
            frames.cut_short = "it is too long to be decoded to its end"
            break
    _add_levels(segments, filters.flush() if filters else [])
    return Peaks(rate, block * segments.blocks, segments.pairs, frames.cut_short)


def _sizes(samples: float) -> tuple[int, int]:
    """Return the samples of a block and the blocks of a segment, for at most MAX_SEGMENTS segments."""
    samples_per_segment = max(16, math.ceil(samples / MAX_SEGMENTS))
    blocks = math.ceil(samples_per_segment / MAX_BLOCK_SAMPLES)
    return math.ceil(samples_per_segment / blocks), blocks


def _level_filters(rate: int, block: int) -> list[tuple[str, str]]:
    return [
        ("aresample", str(rate)),
        ("aformat", "sample_fmts=flt:channel_layouts=mono"),
        ("asetnsamples", f"n={block}:p=0"),
        ("astats", "metadata=1:reset=1:measure_perchannel=Min_level+Max_level:measure_overall=none"),
    ]


def _add_levels(segments: _Segments, frames: list[Any]) -> None:
    for frame in frames:
        metadata = frame.metadata
        low, high = (float(metadata.get(f"lavfi.astats.1.{name}_level", 0)) for name in ("Min", "Max"))
        if math.isfinite(low) and math.isfinite(high):
            segments.add(low, high)


def draw_waveform(waveform: Peaks, width: int) -> Any:
    """Return the waveform as a pyvips image, at most ``MAX_WIDTH`` wide."""
    import pyvips

    width = min(width, MAX_WIDTH)
    height = max(1, width // ASPECT)
    mask = bytearray(width * height)
    for x, (low, high) in enumerate(_columns(waveform.pairs, width)):
        top = _row(high, height)
        for y in range(top, max(top + 1, _row(low, height))):
            mask[y * width + x] = 255
    bars = pyvips.Image.new_from_memory(bytes(mask), width, height, 1, "uchar")
    picture = bars.ifthenelse(list(BARS), list(BACKGROUND))
    return picture.cast("uchar").copy(interpretation="srgb").copy_memory()


def _columns(pairs: list[tuple[float, float]], width: int) -> list[tuple[float, float]]:
    """Return one pair of levels for each column of the picture: the extremes of its segments."""
    if not pairs:
        return []
    columns = []
    for x in range(width):
        first = x * len(pairs) // width
        part = pairs[first : max(first + 1, (x + 1) * len(pairs) // width)]
        columns.append((min(low for low, _ in part), max(high for _, high in part)))
    return columns


def _row(level: float, height: int) -> int:
    return max(0, min(height - 1, round((1 - max(-1.0, min(1.0, level))) / 2 * (height - 1))))
