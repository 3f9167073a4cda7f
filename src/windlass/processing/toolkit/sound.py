"""Decoded sound, put through FFmpeg's filters. A stream may change its rate or channels under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Filters = Sequence[tuple[str, str]]


class Sound:
    """Frames in, frames as the last of the filters makes them out. A frame of another shape begins a new graph."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._shape: tuple[Any, ...] | None = None
        self._graph: Any = None

    def hear(self, frame: Any) -> list[Any]:
        shape = (frame.format.name, frame.sample_rate, frame.layout.name, frame.time_base)
        left = []
        if shape != self._shape:
            left = self.rest()
            self._graph, self._shape = _graph(frame, self._filters), shape
        self._graph.push(frame)
        return left + self._pulled()

    def rest(self) -> list[Any]:
        """What is still inside, at the end."""
        if self._graph is None:
            return []
        self._graph.push(None)
        rest, self._graph, self._shape = self._pulled(), None, None
        return rest

    def _pulled(self) -> list[Any]:
        import av

        frames = []
        try:
            while True:
                frames.append(self._graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return frames


def _graph(frame: Any, filters: Filters) -> Any:
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    source = {
        "sample_rate": str(frame.sample_rate),
        "sample_fmt": frame.format.name,
        "time_base": str(frame.time_base),
        "channel_layout": frame.layout.name,
    }
    nodes = [graph.add("abuffer", **source), *(graph.add(name, arguments) for name, arguments in filters)]
    graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
    return graph
