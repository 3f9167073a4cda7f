"""Decoded frames as they are to be seen: turned, with square pixels, in an ordinary screen's colours, in one size."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

#: Transfer functions of high dynamic range (ITU-T H.273): PQ and HLG.
HDR = {16, 18}
#: What swscale calls the colour matrices (H.273 numbers); the rest is left for it to guess.
MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
RANGES = {1: "tv", 2: "pc"}

#: A pixel is never taken for wider or narrower than this: what claims more is damaged.
MOST_ASPECT = 8

Turn = tuple[tuple[str, str], ...]

#: The display matrix' upper left (a, b, c, d), by signs -> the filters that turn the picture as it says.
_TURNS: dict[tuple[int, ...], Turn] = {
    (1, 0, 0, 1): (),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


@dataclass(frozen=True, slots=True)
class Look:
    """All that a filter graph depends on: a frame with another look needs another graph."""

    width: int
    height: int
    format: str
    aspect: Fraction
    turn: Turn
    matrix: str
    range: str
    hdr: bool
    interlaced: bool

    def shown(self) -> tuple[float, float]:
        """Width and height as displayed, in square pixels."""
        width, height = float(self.width), float(self.height)
        if self.aspect > 1:
            width *= float(self.aspect)
        else:
            height /= float(self.aspect)
        return (height, width) if any(name == "transpose" for name, _ in self.turn) else (width, height)


class Looks:
    """The looks of one stream's frames."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._turns: dict[int, Turn] = {}

    def of(self, frame: Any) -> Look:
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        return Look(
            frame.width,
            frame.height,
            frame.format.name,
            aspect if Fraction(1, MOST_ASPECT) <= aspect <= MOST_ASPECT else Fraction(1),
            self._turn(frame),
            MATRICES.get(frame.colorspace, ""),
            RANGES.get(frame.color_range, ""),
            frame.color_trc in HDR,
            bool(frame.interlaced_frame),
        )

    def _turn(self, frame: Any) -> Turn:
        """Read once for each rotation: a frame that was asked for its side data is freed by the garbage collector only,
        and frames are large."""
        rotation = frame.rotation
        if rotation not in self._turns:
            self._turns[rotation] = _turn(frame)
        return self._turns[rotation]


def _turn(frame: Any) -> Turn:
    """How the camera was held, by the display matrix (ISO/IEC 14496-12, 8.3.2); turns by a quarter, and mirrors."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None or matrix.buffer_size < 36:
        return ()
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    most = max(map(abs, (a, b, c, d))) or 1
    signs = tuple(0 if abs(value) < most / 2 else (1 if value > 0 else -1) for value in (a, b, c, d))
    return _TURNS.get(signs, ())


def within(shown: tuple[float, float], width: float, height: float, *, even: bool = False) -> tuple[int, int]:
    """The size in which a picture fits, never larger than it is. ``even``: as video codecs want it."""
    scale = min(1.0, width / shown[0], height / shown[1])
    sides = (max(1, round(side * scale)) for side in shown)
    if even:
        sides = (max(2, side // 2 * 2) for side in sides)
    return next(sides), next(sides)


class Upright:
    """Frames in, frames of one size and format out. A stream may change its mind about what its frames look like: a
    frame of another shape is fitted into the size and framed in black."""

    def __init__(self, size: tuple[int, int], format: str) -> None:
        self._size, self._format = size, format
        self._look: Look | None = None
        self._graph: Any = None

    def show(self, frame: Any, look: Look) -> list[Any]:
        """Usually one frame; where fields must be sorted out, it may come later."""
        left = []
        if look != self._look:
            left = self.rest()
            self._graph, self._look = _graph(look, self._size, self._format, frame.time_base), look
        self._graph.vpush(frame)
        return left + self._pulled()

    def rest(self) -> list[Any]:
        """What is still inside, at the end."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        rest, self._graph, self._look = self._pulled(), None, None
        return rest

    def _pulled(self) -> list[Any]:
        import av

        frames = []
        try:
            while True:
                frames.append(self._graph.vpull())
        except (av.BlockingIOError, av.EOFError):
            return frames


def _graph(look: Look, size: tuple[int, int], format: str, time_base: Fraction) -> Any:
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    shape = {"colorspace": look.matrix, "range": look.range}
    nodes = [
        graph.add(
            "buffer",
            video_size=f"{look.width}x{look.height}",
            pix_fmt=look.format,
            time_base=str(time_base),
            pixel_aspect="1/1",
            **{name: value for name, value in shape.items() if value},
        )
    ]
    if look.interlaced:
        nodes.append(graph.add("bwdif", "mode=send_frame:deint=interlaced"))
    nodes += [graph.add(name, arguments or None) for name, arguments in look.turn]
    nodes += [graph.add(name, arguments) for name, arguments in _fitted(look, size)]
    nodes += [graph.add("format", f"pix_fmts={format}"), graph.add("setsar", "1"), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    return graph


def _fitted(look: Look, size: tuple[int, int]) -> list[tuple[str, str]]:
    width, height = within(look.shown(), *size, even=True) if _differs(look, size) else size
    scale = f"w={width}:h={height}:flags=bicubic"
    if look.hdr:  # swscale maps the brightness that ordinary screens do not have
        scale += ":out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:intent=perceptual"
    filters = [("scale", scale)]
    if (width, height) != size:
        filters.append(("pad", f"w={size[0]}:h={size[1]}:x=-1:y=-1"))
    return filters


def _differs(look: Look, size: tuple[int, int]) -> bool:
    """Whether the shape is another than that of the size, by more than rounding."""
    shown = look.shown()
    return abs(shown[0] * size[1] - shown[1] * size[0]) > 2 * max(*shown, *size)
