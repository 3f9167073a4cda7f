"""FFmpeg filter graphs for decoded frames: audio through a chain of filters, video as it is displayed.

A stream may change the format of its frames at any time. Displayed frames are rotated, with square pixels, in SDR
colours and one size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

#: Names and arguments of filters.
Filters = Sequence[tuple[str, str]]
#: Transfer functions of high dynamic range (ITU-T H.273) and their names.
HDR = {16: "pq", 18: "hlg"}
#: swscale's names of colour matrices by their H.273 numbers; for others swscale chooses.
MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
RANGES = {1: "tv", 2: "pc"}

#: Beyond this pixel aspect ratio (or its inverse) a file is damaged, and its pixels count as square.
MAX_PIXEL_ASPECT = 8

RotationFilters = tuple[tuple[str, str], ...]

#: Signs of the display matrix' upper left (a, b, c, d) -> the filters that rotate or mirror the picture.
_ROTATIONS: dict[tuple[int, ...], RotationFilters] = {
    (1, 0, 0, 1): (),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


class StreamFilter:
    """Filters the frames of one stream. A frame of another format replaces the graph."""

    def __init__(self) -> None:
        self._format: object = None
        self._graph: Any = None

    def push_frame(self, frame: Any, frame_format: object, build: Callable[[], Any]) -> list[Any]:
        """Return the filtered frames that are ready. ``build`` creates the graph for the frame's format."""
        flushed = []
        if frame_format != self._format:
            flushed = self.flush()
            self._graph, self._format = build(), frame_format
        self._graph.push(frame)
        return flushed + self._ready_frames()

    def flush(self) -> list[Any]:
        """Return the frames that are still in the graph, at the end of the stream."""
        if self._graph is None:
            return []
        self._graph.push(None)
        frames, self._graph, self._format = self._ready_frames(), None, None
        return frames

    def _ready_frames(self) -> list[Any]:
        import av

        frames = []
        try:
            while True:
                frames.append(self._graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return frames


class AudioFilter(StreamFilter):
    """Passes decoded audio through a chain of filters."""

    def __init__(self, filters: Filters) -> None:
        super().__init__()
        self._filters = filters

    def push(self, frame: Any) -> list[Any]:
        frame_format = {
            "sample_rate": str(frame.sample_rate),
            "sample_fmt": frame.format.name,
            "time_base": str(frame.time_base),
            "channel_layout": frame.layout.name,
        }
        return self.push_frame(frame, frame_format, lambda: build_graph("abuffer", frame_format, self._filters))


def build_graph(source: str, frame_format: Mapping[str, str], filters: Filters) -> Any:
    """Return a graph that runs in this thread. ``source`` is ``buffer`` for video, ``abuffer`` for audio."""
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    nodes = [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(graph.add(source, **frame_format), *nodes, graph.add(f"{source}sink")).configure()
    return graph


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """Everything that a filter graph depends on: a frame of another format needs another graph."""

    width: int
    height: int
    format: str
    aspect: Fraction
    rotation: RotationFilters
    matrix: str
    range: str
    hdr: bool
    interlaced: bool

    def displayed_size(self) -> tuple[float, float]:
        """Width and height as displayed, in square pixels."""
        width, height = float(self.width), float(self.height)
        if self.aspect > 1:
            width *= float(self.aspect)
        else:
            height /= float(self.aspect)
        return (height, width) if any(name == "transpose" for name, _ in self.rotation) else (width, height)


class FrameFormats:
    """Determines the formats of one stream's frames."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._rotations: dict[int, RotationFilters] = {}

    def of(self, frame: Any) -> FrameFormat:
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        return FrameFormat(
            frame.width,
            frame.height,
            frame.format.name,
            aspect if Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT else Fraction(1),
            self._rotation_filters(frame),
            MATRICES.get(frame.colorspace, ""),
            RANGES.get(frame.color_range, ""),
            frame.color_trc in HDR,
            bool(frame.interlaced_frame),
        )

    def _rotation_filters(self, frame: Any) -> RotationFilters:
        """Read the display matrix once for each rotation.

        Reading a frame's side data leaves the frame to the garbage collector, and frames are large.
        """
        rotation = frame.rotation
        if rotation not in self._rotations:
            self._rotations[rotation] = _rotation_filters(frame)
        return self._rotations[rotation]


def _rotation_filters(frame: Any) -> RotationFilters:
    """Return filters for the display matrix (ISO/IEC 14496-12, 8.3.2): quarter turns and mirror images."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None or matrix.buffer_size < 36:
        return ()
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    largest = max(map(abs, (a, b, c, d))) or 1
    signs = tuple(0 if abs(value) < largest / 2 else (1 if value > 0 else -1) for value in (a, b, c, d))
    return _ROTATIONS.get(signs, ())


def fit_size(size: tuple[float, float], width: float, height: float, *, even: bool = False) -> tuple[int, int]:
    """Return ``size`` shrunk to fit into width and height, never enlarged. ``even``: for video codecs."""
    scale = min(1.0, width / size[0], height / size[1])
    sides = (max(1, round(side * scale)) for side in size)
    if even:
        sides = (max(2, side // 2 * 2) for side in sides)
    return next(sides), next(sides)


class FrameNormalizer(StreamFilter):
    """Converts frames to one size and pixel format. A frame of another shape is fitted with black borders."""

    def __init__(self, size: tuple[int, int], pixel_format: str) -> None:
        super().__init__()
        self._size, self._pixel_format = size, pixel_format

    def normalize(self, frame: Any, frame_format: FrameFormat) -> list[Any]:
        """Usually returns one frame. Deinterlacing may delay it to a later call."""
        return self.push_frame(frame, frame_format, lambda: self._build(frame_format, frame.time_base))

    def _build(self, frame_format: FrameFormat, time_base: Fraction) -> Any:
        source = {
            "video_size": f"{frame_format.width}x{frame_format.height}",
            "pix_fmt": frame_format.format,
            "time_base": str(time_base),
            "pixel_aspect": "1/1",
            "colorspace": frame_format.matrix,
            "range": frame_format.range,
        }
        filters = [
            *([("bwdif", "mode=send_frame:deint=interlaced")] if frame_format.interlaced else []),
            *frame_format.rotation,
            *_scale_filters(frame_format, self._size),
            ("format", f"pix_fmts={self._pixel_format}"),
            ("setsar", "1"),
        ]
        return build_graph("buffer", {name: value for name, value in source.items() if value}, filters)


def _scale_filters(frame_format: FrameFormat, size: tuple[int, int]) -> list[tuple[str, str]]:
    width, height = size
    if _has_other_shape(frame_format, size):
        width, height = fit_size(frame_format.displayed_size(), *size, even=True)
    scale = f"w={width}:h={height}:flags=bicubic"
    if frame_format.hdr:  # swscale maps the brightness that SDR screens do not have
        scale += ":out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:intent=perceptual"
    filters = [("scale", scale)]
    if (width, height) != size:
        filters.append(("pad", f"w={size[0]}:h={size[1]}:x=-1:y=-1"))
    return filters


def _has_other_shape(frame_format: FrameFormat, size: tuple[int, int]) -> bool:
    """Whether the aspect ratios differ by more than rounding."""
    displayed = frame_format.displayed_size()
    return abs(displayed[0] * size[1] - displayed[1] * size[0]) > 2 * max(*displayed, *size)
