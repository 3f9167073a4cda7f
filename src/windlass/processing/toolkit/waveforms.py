"""The outline of a sound: its lowest and highest level in each of some hundred stretches of the same length."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.toolkit.recordings import Frames, decoder, main_audio, seconds_of
from windlass.processing.toolkit.sound import Sound

#: Stretches at most, and samples that are looked at together.
POINTS = 800
LARGEST_BLOCK = 65536
#: Seconds after which the outline ends where it is.
PATIENCE = 60.0

#: The drawing: its colours, its widest, its width by its height.
BACKGROUND, BARS = (244, 246, 249), (46, 94, 140)
WIDEST, SHAPE = 1600, 4


@dataclass(slots=True)
class Peaks:
    """``pairs``: lowest and highest level of each stretch, -1 to 1. ``samples``: samples (per channel) in a stretch."""

    rate: int
    samples: int
    pairs: list[tuple[float, float]] = field(default_factory=list)
    cut_short: str = ""

    def document(self) -> dict[str, Any]:
        """As audiowaveform writes its JSON (version 2), which players read."""
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
class _Outline:
    """Takes the levels of one block after the other; ``blocks`` of them make a stretch. However many come, few stay:
    when there are twice as many stretches as wanted, each two become one."""

    blocks: int
    pairs: list[tuple[float, float]] = field(default_factory=list)
    inside: int = 0

    def add(self, low: float, high: float) -> None:
        if self.inside:
            before = self.pairs[-1]
            self.pairs[-1] = (min(low, before[0]), max(high, before[1]))
        else:
            self.pairs.append((low, high))
        self.inside = (self.inside + 1) % self.blocks
        if len(self.pairs) >= 2 * POINTS and not self.inside:
            two = zip(self.pairs[::2], self.pairs[1::2], strict=True)
            self.pairs = [(min(one[0], other[0]), max(one[1], other[1])) for one, other in two]
            self.blocks *= 2


def peaks(container: Any, report: Callable[[int], None]) -> Peaks:
    """Of the first stream of sound, its channels mixed into one. Raises Unreadable, and what ``report`` raises."""
    stream: Any = main_audio(container)
    decoder(stream).thread_count = 1
    seconds = seconds_of(container, stream) or 0.0
    frames, heard, rate = Frames(container, stream), None, 0
    outline, block, told, end = _Outline(1), 1, -1, time.monotonic() + PATIENCE
    for _, frame in frames:
        if heard is None:
            rate = frame.sample_rate
            block, outline.blocks = _sizes(seconds * rate)
            heard = Sound(_levels(rate, block))
        _note(outline, heard.hear(frame))
        told = _tell(report, told, frame.time, seconds)
        if time.monotonic() > end:
            frames.cut_short = "it is too long to be heard to its end"
            break
    _note(outline, heard.rest() if heard else [])
    return Peaks(rate, block * outline.blocks, outline.pairs, frames.cut_short)


def _tell(report: Callable[[int], None], told: int, at: float | None, seconds: float) -> int:
    """What has been reported now: each per cent once."""
    percent = min(99, int(100 * at / seconds)) if seconds and at is not None else 0
    if percent > told:
        report(percent)
    return max(percent, told)


def _sizes(samples: float) -> tuple[int, int]:
    """Samples in a block and blocks in a stretch, so that there are at most POINTS of these."""
    each = max(16, math.ceil(samples / POINTS))
    blocks = math.ceil(each / LARGEST_BLOCK)
    return math.ceil(each / blocks), blocks


def _levels(rate: int, block: int) -> list[tuple[str, str]]:
    return [
        ("aresample", str(rate)),
        ("aformat", "sample_fmts=flt:channel_layouts=mono"),
        ("asetnsamples", f"n={block}:p=0"),
        ("astats", "metadata=1:reset=1:measure_perchannel=Min_level+Max_level:measure_overall=none"),
    ]


def _note(outline: _Outline, frames: list[Any]) -> None:
    for frame in frames:
        said = frame.metadata
        low, high = (float(said.get(f"lavfi.astats.1.{name}_level", 0)) for name in ("Min", "Max"))
        if math.isfinite(low) and math.isfinite(high):
            outline.add(low, high)


def drawing(found: Peaks, width: int) -> Any:
    """The outline as a picture (pyvips), as wide as asked for within reason."""
    import pyvips

    width = min(width, WIDEST)
    height = max(1, width // SHAPE)
    mask = bytearray(width * height)
    for x, (low, high) in enumerate(_columns(found.pairs, width)):
        top = _row(high, height)
        for y in range(top, max(top + 1, _row(low, height))):
            mask[y * width + x] = 255
    bars = pyvips.Image.new_from_memory(bytes(mask), width, height, 1, "uchar")
    picture = bars.ifthenelse(list(BARS), list(BACKGROUND))
    return picture.cast("uchar").copy(interpretation="srgb").copy_memory()


def _columns(pairs: list[tuple[float, float]], width: int) -> list[tuple[float, float]]:
    """As many as the picture is wide: each of the loudest of its stretches."""
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
