"""FFmpeg filter graphs for decoded frames. A stream may change the format of its frames at any time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

#: Names and arguments of filters.
Filters = Sequence[tuple[str, str]]


class StreamFilter:
    """Filters the frames of one stream. A frame of another format replaces the graph."""

    def __init__(self) -> None:
        self._format: Hashable = None
        self._graph: Any = None

    def push_frame(self, frame: Any, frame_format: Hashable, build: Callable[[], Any]) -> list[Any]:
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
        frame_format = (frame.format.name, frame.sample_rate, frame.layout.name, frame.time_base)
        return self.push_frame(frame, frame_format, lambda: self._build(frame))

    def _build(self, frame: Any) -> Any:
        graph = new_graph()
        source = {
            "sample_rate": str(frame.sample_rate),
            "sample_fmt": frame.format.name,
            "time_base": str(frame.time_base),
            "channel_layout": frame.layout.name,
        }
        nodes = [graph.add("abuffer", **source), *(graph.add(name, arguments) for name, arguments in self._filters)]
        graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
        return graph


def new_graph() -> Any:
    """Return an empty graph that runs in this thread."""
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    return graph
